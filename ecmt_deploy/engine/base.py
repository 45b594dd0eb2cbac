"""What a node of the batched engine is: buffers that move with the model, state of one batch, and counts."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ecmt_deploy.activity import Counts
from ecmt_deploy.graph import Program


class Signal(NamedTuple):
    """One step of one stream of a batch: ``value`` (B, ...), and ``changed`` (B, ...) bool while counting, else ``None``."""

    value: Tensor
    changed: Any


class Tally:
    """Counts of one node: integers as tensors until somebody asks. Only the first ``samples`` of a batch are counted."""

    def __init__(self, samples: int = 0) -> None:
        self.samples = samples
        self.integers: dict[str, Any] = defaultdict(int)
        self.ecm_ops: dict[str, Any] = defaultdict(int)

    def of(self, mask: Tensor) -> Tensor:
        """Number of true elements among the samples that count."""
        return mask[: self.samples].sum(dtype=torch.int64)

    def counts(self) -> Counts:
        """The counts as plain integers."""
        integers = {name: int(value) for name, value in self.integers.items()}
        return Counts(**integers, ecm_ops={kind: int(value) for kind, value in self.ecm_ops.items()})


class Op(nn.Module):
    """One node of a program, batched.

    Parameters
    ----------
    program : the program
    name : the node's name in it
    """

    #: neurons and wiring send no analog values of their own
    sends_analog = True

    def __init__(self, program: Program, name: str) -> None:
        super().__init__()
        self.node: Any = program.nodes[name]
        self.shape = program.shapes[name]
        self.operand_shapes = [program.shapes[source] for source in program.operands[name]]
        self.operand_spikes = [source in program.spiking for source in program.operands[name]]
        self.encoding = name in program.encoding
        self.tally = Tally()

    def hold(self, name: str, array: Any) -> None:
        """Register an array of the node as a buffer that is not part of the state dict: the program holds it."""
        self.register_buffer(name, torch.from_numpy(array.copy()), persistent=False)

    def begin(self, like: Tensor) -> None:
        """Forget the last batch; ``like`` (B, ...) has the batch size, dtype and device of the next."""

    def zeros(self, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Zero state of ``shape`` for every sample of the batch."""
        return like.new_zeros((like.shape[0], *shape))

    def forward(self, t: int, *signals: Signal) -> Signal:
        """One step; masks and counts only where the signals carry masks."""
        value = self.value(t, *(s.value for s in signals))
        if any(s.changed is None for s in signals):
            return Signal(value, None)
        if t == 1:
            # at the first step every row is news
            signals = tuple(
                s if spikes else Signal(s.value, torch.ones_like(s.value, dtype=torch.bool))
                for s, spikes in zip(signals, self.operand_spikes, strict=True)
            )
        changed = self.mask(t, value, *signals)
        if self.sends_analog:
            if t == 1:
                changed = torch.ones_like(value, dtype=torch.bool)
            self.tally.integers["analog_messages"] += self.tally.of(changed)
        return Signal(value, changed)

    def value(self, t: int, *values: Tensor) -> Tensor:
        """The node's equation."""
        raise NotImplementedError

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        """Elements an event reached, and the node's counts of this step."""
        raise NotImplementedError


def whole_rows(mask: Tensor, axes: tuple[int, ...] = (-1,)) -> Tensor:
    """Spread a mask (B, ...) over ``axes``, the row by default."""
    if mask.ndim == 1:
        return mask
    return mask.any(dim=axes[0], keepdim=True).expand_as(mask) if len(axes) == 1 else _spread(mask, axes)


def _spread(mask: Tensor, axes: tuple[int, ...]) -> Tensor:
    reduced = mask
    for axis in axes:
        reduced = reduced.any(dim=axis, keepdim=True)
    return reduced.expand_as(mask)
