"""Plain quantisation: what a spiking program must beat, with nothing of a spiking program in it.

The operands of every linear layer and of both products of the attention (softmax's output is one of them) are rounded to
symmetric integers of b bits, -(2**(b - 1) - 1) to 2**(b - 1) - 1; the patch embedding takes the image as it is, and weights
stay floating point. One event is sent for every nonzero integer. A scale is that of a whole operand, or one of each channel
where a weight can absorb it: the operand of a linear layer, and the values of the attention, whose columns (one a head and
channel) are those of what the projection behind it takes. Queries, keys and softmax's output have one scale whatever is asked,
as what takes them sums over their columns.

Events are counted as ``Activity.events_per_mac`` counts them: a nonzero operand of a linear layer reaches all outputs, one of
a product a column or a row of the other operand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

BATCH = 64
#: products of two activations, and what hides one
PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm)
#: what makes the weights of attention; dropout gives them back as they are
SOFTMAX = (functional.softmax, torch.softmax, Tensor.softmax)
HIDDEN = (functional.scaled_dot_product_attention, functional.multi_head_attention_forward, torch.einsum)
#: what a clip may be, as shares of the largest magnitude
CLIPS = torch.logspace(-2, 0, 60).tolist()
#: of the calibration samples, those that decide whether clips help, every so many
HELD_OUT = 4
#: what quantisation does to an operand: its place in the forward pass, and the axes, counted from the end, along which a weight
#: absorbs factors
Change = Callable[[int, tuple[int, ...], Tensor], Tensor]


class Operands(TorchFunctionMode):
    """While it is entered, ``change`` is asked what linear layers and products compute with; counts what that takes.

    Attributes
    ----------
    events, dense : synaptic events, and multiply-accumulates of the unquantised network, over all samples
    """

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change
        self.place = self.events = self.dense = 0
        self.attention: Tensor | None = None  # the last output of softmax

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in HIDDEN:
            raise ValueError(f"{func.__name__} hides the operands of its products; build the model without fused attention")
        if func is functional.linear:
            x, weight, *bias = args
            self.dense += x.numel() * len(weight)
            args = (self.changed(x, len(weight), (-1,)), weight, *bias)
        elif func in PRODUCTS:
            left, right = args
            rows, columns = left.shape[-2], right.shape[-1]
            self.dense += left.numel() * columns
            absorbed = (*range(1 - right.ndim, -2), -1) if left is self.attention else ()
            args = self.changed(left, columns, ()), self.changed(right, rows, absorbed)
        result = func(*args, **(kwargs or {}))
        if func in SOFTMAX:
            self.attention = result
        return result

    def changed(self, x: Tensor, fan_out: int, absorbed: tuple[int, ...]) -> Tensor:
        """What is computed with in place of the operand ``x``; ``absorbed`` as of :data:`Change`."""
        x = self.change(self.place, absorbed, x)
        self.place += 1
        self.events += int(x.count_nonzero()) * fan_out
        return x


class Answers(NamedTuple):
    """What came out, and what it took: readouts (N, classes), and events and dense MACs of all samples."""

    readouts: Tensor
    events: int
    dense: int

    @property
    def events_per_mac(self) -> float:
        """Synaptic events per multiply-accumulate, encoding layers left out."""
        return self.events / self.dense


@torch.no_grad()
def answers(module: nn.Module, x: Tensor, change: Change) -> Answers:
    """Run samples (N, *input shape) with changed operands."""
    readouts, events, dense = [], 0, 0
    for part in x.split(BATCH):
        with Operands(change) as operands:
            readouts.append(module(part))
        events, dense = events + operands.events, dense + operands.dense
    return Answers(torch.cat(readouts), events, dense)


@dataclass(frozen=True)
class Plain:
    """A quantisation: bits of all operands, and the scale of each in order of the forward pass, which broadcasts to it."""

    bits: int
    scales: tuple[Tensor, ...]

    def __call__(self, place: int, absorbed: tuple[int, ...], x: Tensor) -> Tensor:
        return rounded(x, self.scales[place], self.bits)


def largest(bits: int) -> int:
    """The largest integer of ``bits`` with a sign."""
    return int(2 ** (bits - 1)) - 1


def rounded(x: Tensor, scale: Tensor, bits: int) -> Tensor:
    """The nearest multiples of ``scale`` that ``bits`` hold."""
    return (x / scale).round().clamp(-largest(bits), largest(bits)) * scale


def plain_quantisations(module: nn.Module, x: Tensor, bits: int) -> Iterator[tuple[str, Plain]]:
    """Of so many bits, by name: per tensor by the largest magnitude; per tensor and per channel, each at its best.

    At its best: either the largest magnitude or the clip of least squared error of every operand, whichever answers better on
    calibration samples that neither has seen; then of all calibration samples (N, *input shape).
    """
    held_out = torch.arange(len(x)) % HELD_OUT == 0
    few, every = _operands(module, x[~held_out]), _operands(module, x)
    expected = answers(module, x[held_out], _unchanged).readouts
    for name, by_channel in (("per tensor", False), ("per channel", True)):

        def error(clipped: bool, by_channel: bool = by_channel) -> float:
            tried = Plain(bits, _scales(few, bits, by_channel, clipped))
            return float((answers(module, x[held_out], tried).readouts - expected).norm(dim=-1).mean())

        if not by_channel:
            yield f"{name}, largest magnitude", Plain(bits, _scales(every, bits, by_channel, False))
        best = min((False, True), key=error)
        yield f"{name}, at its best", Plain(bits, _scales(every, bits, by_channel, best))


def _unchanged(place: int, absorbed: tuple[int, ...], x: Tensor) -> Tensor:
    return x


def _operands(module: nn.Module, x: Tensor) -> list[tuple[tuple[int, ...], Tensor]]:
    """Every operand of the unquantised network, and the axes along which a weight absorbs factors."""
    seen: dict[int, list[Tensor]] = {}
    absorbing: dict[int, tuple[int, ...]] = {}

    def see(place: int, absorbed: tuple[int, ...], operand: Tensor) -> Tensor:
        absorbing[place] = absorbed
        seen.setdefault(place, []).append(operand)
        return operand

    answers(module, x, see)
    return [(absorbing[place], torch.cat(parts)) for place, parts in seen.items()]


def _scales(operands: list[tuple[tuple[int, ...], Tensor]], bits: int, by_channel: bool, clipped: bool) -> tuple[Tensor, ...]:
    return tuple(_scale(x, bits, absorbed if by_channel else (), clipped) for absorbed, x in operands)


def _scale(x: Tensor, bits: int, own: tuple[int, ...], clipped: bool) -> Tensor:
    """The scale of one operand (N, ...), or one for each place along the axes ``own``; all other axes but N are kept as one."""
    axes = tuple(axis for axis in range(x.ndim) if axis - x.ndim not in own)
    most = x.abs().amax(axes, keepdim=True)[0]
    most = torch.where(most > 0, most, most.max() if most.max() > 0 else torch.ones(()))  # of channels that were silent
    if not clipped:
        return most / largest(bits)
    tried = torch.stack([most * clip / largest(bits) for clip in CLIPS])
    errors = torch.stack([(rounded(x, scale, bits) - x).square().mean(axes, keepdim=True)[0] for scale in tried])
    return tried.gather(0, errors.argmin(0, keepdim=True)).squeeze(0)
