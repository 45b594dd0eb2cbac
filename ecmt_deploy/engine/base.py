"""What a node of the batched engine is: buffers that move with the model, and its equation. What changes while it runs is the
context's, so that one model serves many threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy.engine.context import NodeRun
from ecmt_deploy.engine.plan import Hints, Neighbour
from ecmt_deploy.engine.signal import MEAN, SUM, Chunk, Signal, news, number
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.graph import unrepeated

_Torch = TypeVar("_Torch", bound="TorchOp")
#: at most this share of the rows is picked out of them and computed alone
FEW_ROWS = 0.5
#: the op that runs each node type, and the one that runs it in an integer program
_RUNS: dict[type[ops.Op], type[TorchOp]] = {}
_RUNS_INTEGERS: dict[type[ops.Op], type[TorchOp]] = {}


def runs(*nodes: type[ops.Op], integers: bool = False) -> Callable[[type[_Torch]], type[_Torch]]:
    """Register a class as what runs these types of node (with ``integers`` those with a number format), and those that derive
    from them."""

    def register(cls: type[_Torch]) -> type[_Torch]:
        for node in nodes:
            (_RUNS_INTEGERS if integers else _RUNS)[node] = cls
        return cls

    return register


def torch_op(program: Program, name: str) -> TorchOp:
    """The op that runs a node.

    Raises
    ------
    MissingTraitError
        if nobody has written one for its type.
    """
    node = program.nodes[name]
    known, room, how = (_RUNS, "engine", "") if node.format is None else (_RUNS_INTEGERS, "engine/integer", ", integers=True")
    for cls in type(node).__mro__:
        if cls in known:
            return known[cls](program, name)
    raise ops.MissingTraitError(
        f"node {name}: the torch engine has no op for {node.kind}; write one in ecmt_deploy/{room} and register it with "
        f"runs({node.kind}{how}), or run it with --target reference"
    )


class TorchOp(nn.Module):
    """One node of a program, for all samples and steps of a chunk at once.

    Parameters
    ----------
    program : the program
    name : the node's name in it
    """

    #: neurons and wiring send no analog values of their own
    sends_analog = True
    #: whether counting needs to know of single spikes of its operands, not only of how many came in each row
    takes_elements = True

    def __init__(self, program: Program, name: str) -> None:
        super().__init__()
        self.name = name
        self.node: Any = program.nodes[name]
        self.shape = program.shapes[name]
        self.operand_shapes = [program.shapes[source] for source in program.operands[name]]
        self.operand_spikes = [source in program.spiking for source in program.operands[name]]
        self.operand_once = [source in program.exact for source in program.operands[name]]
        self.spikes = name in program.spiking
        self.encoding = name in program.encoding
        self.network_macs = program.network_macs(name)

    #: whether the result is memory of its own, which who takes it alone may overwrite
    fresh = False
    #: whether it moves rows (the last axis) as wholes
    keeps_rows = False

    def prepare(self, hints: Hints, operands: Sequence[Neighbour]) -> None:
        """Note what this node may do for its neighbours, and they for it."""

    def take_bias(self, hints: Hints, constant: ops.Constant) -> None:
        """Add the constant that the only consumer adds, where that can be done early."""

    def take_offset(self, hints: Hints, initial: Tensor) -> None:
        """Add what the only consumer's running sum begins with to the sums it gives, where that can be done early."""

    def hints(self, chunk: Chunk) -> Hints:
        """What it may do in the run that the chunk belongs to."""
        return chunk.run.plan[self.name]

    def own(self, chunk: Chunk) -> NodeRun:
        """What changes of this node in the run that the chunk belongs to."""
        return chunk.run.nodes[self.name]

    def hold(self, name: str, array: Any) -> None:
        """Register an array of the node as a buffer: the program's own memory wherever torch can use it.

        What computes must never write to it in place. ``to``, ``double`` and the like make new ones. The model puts the
        program's parameters into its state dict, whatever ops make of them.
        """
        self.register_buffer(name, as_tensor(array), persistent=False)

    def tallied(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Signal:
        """Count what the node did; its stream, with what an event reached. Values are not looked at."""
        changed = self.count(chunk, signal, *signals)
        if changed is not None:
            changed = news(chunk, changed)
        if self.sends_analog:
            self._tally_sent(chunk, signal, changed)
        return signal if changed is None else signal._replace(changed=changed)

    def _tally_sent(self, chunk: Chunk, signal: Signal, changed: Tensor | None) -> None:
        tally, size = self.own(chunk).tally, prod(self.shape) * (chunk.samples or 0)
        if changed is not None:
            value, times = number(chunk, changed, self.shape)
            tally.add(value, analog_messages=times)
        elif signal.form == MEAN:
            tally.add(size, analog_messages=1)
        elif chunk.first:
            tally.add_at_beginning(size, "analog_messages")

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        """The node's stream over a chunk: its equation."""
        raise NotImplementedError

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        """Count; for an analog stream, return what an event reached, broadcastable to (steps, B, ...), as :meth:`marked`."""
        raise NotImplementedError

    def marked(self, chunk: Chunk, signal: Signal, changed: Tensor) -> Tensor | None:
        """What an event reached of an analog stream; ``None`` where it entered at t = 1 and follows from that."""
        return None if signal.steady and not chunk.run.streaming else changed

    def renewed(
        self, chunk: Chunk, reached: Callable[[], Tensor], shape: Sequence[int], compute: Callable[[Tensor | None], Tensor]
    ) -> Tensor:
        """The value (1, B, ..., n) of a node that computes row by row: in a stream, where few rows are new, those alone.

        Which are new, counting says: where nothing is counted, all are.

        Parameters
        ----------
        reached : which rows an event reached, (1, B, ..., 1)
        shape : of the value
        compute : the rows (k, n) of a mask (1, B, ...), or with ``None`` the whole value
        """
        state = self.own(chunk).state
        if not chunk.run.streaming or chunk.steps > 1 or chunk.samples is None:
            state.pop("value", None)  # what was kept is of an earlier step
            return compute(None)
        before = state.get("value")
        if before is None or chunk.first:
            state["value"] = compute(None)
            return state["value"]
        rows = reached()[..., 0].expand(shape[:-1])
        if int(rows.count_nonzero()) > FEW_ROWS * rows.numel():
            state["value"] = compute(None)
        elif rows.any():
            before[rows] = compute(rows)
        return state["value"]

    def reached(self, chunk: Chunk, signals: tuple[Signal, ...]) -> list[Tensor]:
        """What an event reached of each operand."""
        return [s.reached(chunk, spikes) for s, spikes in zip(signals, self.operand_spikes, strict=True)]

    def rows(self, chunk: Chunk, signals: tuple[Signal, ...]) -> list[Tensor]:
        """Which rows of each operand an event reached."""
        return [s.rows(chunk, spikes) for s, spikes in zip(signals, self.operand_spikes, strict=True)]

    def charge(self, chunk: Chunk, mask: Tensor, shape: tuple[int, ...], times: int = 1) -> None:
        """Count the elements evaluated."""
        value, repeated = number(chunk, mask, shape)
        self.own(chunk).tally.add_ecm(value, repeated * times)


def as_tensor(array: np.ndarray) -> Tensor:
    """A tensor in the memory of an array wherever torch can use that, so that a model is no second copy of its weights."""
    own = np.require(unrepeated(array), requirements=("C", "W"))
    return torch.from_numpy(own).expand(array.shape)


def in_one_form(chunk: Chunk, signals: tuple[Signal, ...]) -> tuple[str, bool, list[Signal]]:
    """The operands in the form they have in common, by need in sums; which form, and whether all are steady in it."""
    forms = {s.form for s in signals}
    form = forms.pop() if len(forms) == 1 else SUM
    same = [s.to(form, chunk) for s in signals]
    return form, all(s.steady for s in same), same
