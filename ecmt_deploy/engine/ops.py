"""Every node of the dialect in torch, batched; written from the equations, not from the kernels, so each checks the other."""

from __future__ import annotations

from math import prod
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine.base import Op, Signal, whole_rows
from ecmt_deploy.engine.functions import TORCH
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.graph.functions import coupled_axes
from ecmt_deploy.graph.shapes import convolution


class Wiring(Op):
    sends_analog = False
    indices: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        if isinstance(self.node, n.Take):
            self.hold("indices", self.node.indices)

    def _rewire(self, *xs: Tensor) -> Tensor:
        node, x = self.node, xs[0]
        if isinstance(node, n.Reshape):
            return x.reshape(x.shape[0], *self.shape)
        if isinstance(node, n.Permute):
            return x.permute(0, *(int(axis) + 1 for axis in node.axes))
        if isinstance(node, n.Slice):
            return x[(slice(None),) * (node.axis + 1) + (slice(node.start, node.stop, node.step),)]
        if isinstance(node, n.Take):
            return x.index_select(node.axis + 1, self.indices)
        if isinstance(node, n.Expand):
            lead = len(self.shape) - (x.ndim - 1)
            return x.reshape(x.shape[0], *[1] * lead, *x.shape[1:]).expand(-1, *self.shape)
        if isinstance(node, n.Pad):
            return F.pad(x, [int(width) for pair in reversed(node.widths.tolist()) for width in pair])
        return torch.cat(xs, dim=node.axis + 1)

    def value(self, t: int, *values: Tensor) -> Tensor:
        return self._rewire(*values)

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        return self._rewire(*(s.changed for s in signals))


class Synapses(Op):
    """Linear maps and convolutions."""

    dense: int

    def charge(self, t: int, synops: Tensor) -> None:
        counts = self.tally.integers
        if t == 1:
            counts["dense_macs"] += self.dense * self.tally.samples
        if self.operand_spikes[0]:
            counts["synops"] += synops
        elif t == 1 or not self.encoding:
            counts["macs"] += self.dense * self.tally.samples


class Linear(Synapses):
    weight: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("weight", self.node.weight)
        self.dense = self.node.weight.size * prod(self.shape[:-1])

    def value(self, t: int, *values: Tensor) -> Tensor:
        return F.linear(values[0], self.weight)

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        (x,) = signals
        self.charge(t, self.tally.of(x.value != 0) * self.weight.shape[0])
        return x.changed.any(dim=-1, keepdim=True).expand_as(value)


class Conv(Synapses):
    weight: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("weight", self.node.weight)
        self.arguments: Any = convolution(self.node)
        self.conv: Any = F.conv1d if isinstance(self.node, nir.Conv1d) else F.conv2d
        self.dense = int(self._ones(torch.ones(1, *self.operand_shapes[0], dtype=torch.float64)).sum().item())

    def _ones(self, x: Tensor) -> Tensor:
        """Convolution with ones: how many events reach each output."""
        return self.conv(x, torch.ones_like(self.weight, dtype=torch.float64), **self.arguments)

    def value(self, t: int, *values: Tensor) -> Tensor:
        return self.conv(values[0], self.weight, **self.arguments)

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        (x,) = signals
        events = self._ones((x.value != 0).double()) if self.operand_spikes[0] else value
        self.charge(t, events[: self.tally.samples].sum().round().long())
        return whole_rows(self._ones(x.changed.double()) > 0)


class Scale(Op):
    scale: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("scale", self.node.scale)

    def value(self, t: int, *values: Tensor) -> Tensor:
        return values[0] * self.scale

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        changed = whole_rows(signals[0].changed)
        self.tally.ecm_ops["scale"] += self.tally.of(changed)
        return changed


class Add(Op):
    def value(self, t: int, *values: Tensor) -> Tensor:
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        changed = whole_rows(torch.stack([s.changed for s in signals]).any(dim=0))
        self.tally.ecm_ops["add"] += self.tally.of(changed) * (len(signals) - 1)
        return changed


class Mean(Op):
    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        ndim = len(self.operand_shapes[0])
        self.axes = sorted((int(axis) % ndim + 1 for axis in self.node.axes), reverse=True)

    def value(self, t: int, *values: Tensor) -> Tensor:
        return values[0].mean(dim=self.axes, keepdim=bool(self.node.keepdims))

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        changed = signals[0].changed
        self.tally.ecm_ops["mean"] += self.tally.of(whole_rows(changed))
        for axis in self.axes:
            changed = changed.any(dim=axis, keepdim=bool(self.node.keepdims))
        return whole_rows(changed)


class Constant(Op):
    constant: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("constant", self.node.value)

    def begin(self, like: Tensor) -> None:
        self.batch = like.shape[0]

    def emit(self, t: int, counting: bool) -> Signal:
        emits = t == 1 or self.node.schedule == "every"
        value = (self.constant if emits else torch.zeros_like(self.constant)).expand(self.batch, *self.shape)
        if not counting:
            return Signal(value, None)
        changed = torch.full_like(value, emits, dtype=torch.bool)
        self.tally.integers["analog_messages"] += self.tally.of(changed)
        return Signal(value, changed)


class Input(Op):
    def emit(self, t: int, x: Tensor, counting: bool) -> Signal:
        value = x if t == 1 else torch.zeros_like(x)
        if not counting:
            return Signal(value, None)
        changed = torch.full_like(x, t == 1, dtype=torch.bool)
        self.tally.integers["analog_messages"] += self.tally.of(changed)
        return Signal(value, changed)


class Output(Op):
    sends_analog = False

    def value(self, t: int, *values: Tensor) -> Tensor:
        return values[0]

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        return signals[0].changed


class Hold(Op):
    def begin(self, like: Tensor) -> None:
        self.total = self.zeros(like, self.shape)

    def value(self, t: int, *values: Tensor) -> Tensor:
        self.total = self.total + values[0]
        return self.total

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        changed = torch.ones_like(value, dtype=torch.bool)
        self.tally.ecm_ops["hold"] += self.tally.of(changed)
        return changed


class Readout(Hold):
    def value(self, t: int, *values: Tensor) -> Tensor:
        total = super().value(t, *values)
        return total / t if self.node.coding == "rate" else total

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        always = self.node.coding == "rate" or t == 1
        changed = torch.ones_like(value, dtype=torch.bool) if always else whole_rows(signals[0].changed)
        self.tally.ecm_ops["readout"] += self.tally.of(changed)
        return changed


class Neuron(Op):
    sends_analog = False
    identity = False
    p: Tensor
    m: Tensor
    lowest: Tensor
    initial: Tensor
    powers: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("p", self.node.positive_base)
        self.hold("m", self.node.negative_base)
        self.hold("lowest", self.node.lowest_level.astype(np.int32))
        self.hold("initial", self.node.initial_membrane)
        self.hold("powers", 2.0 ** np.arange(int(self.node.levels), dtype=self.node.positive_base.dtype))
        self.symmetric = bool(np.array_equal(self.node.positive_base, self.node.negative_base))

    def begin(self, like: Tensor) -> None:
        self.v = self.zeros(like, self.shape) + self.initial.to(like.dtype)

    def value(self, t: int, *values: Tensor) -> Tensor:
        v = self.v + values[0] if t == 1 or not self.identity else values[0]
        if self.identity:
            return v
        base = self.p if self.symmetric else torch.where(v >= 0, self.p, self.m)
        k = self._nearest(v.abs(), base) if self.node.rule == "nearest" else self._published(v.abs(), base)
        k = k.clamp(max=int(self.node.levels) - 1)
        level = base * self.powers[k.clamp(min=0)]
        spikes = torch.where(k >= self.lowest, level.copysign(v), torch.zeros_like(v))
        self.v = v - spikes
        return spikes

    def _nearest(self, size: Tensor, base: Tensor) -> Tensor:
        """The largest k with size >= fraction * base * 2^k, from the exponents alone: exact, for 2^k rounds nothing."""
        mantissa, exponent = torch.frexp(size)
        least, shift = torch.frexp(base * torch.tensor(self.node.fraction, dtype=base.dtype, device=base.device))
        return torch.where(size > 0, exponent - shift - (mantissa < least).int(), -1)

    def _published(self, size: Tensor, base: Tensor) -> Tensor:
        """The largest k with size >= base * 2^k - base / 2."""
        k = torch.full_like(size, -1, dtype=torch.int32)
        for level in range(int(self.node.levels)):
            k += size >= base * 2.0**level - base / 2
        return k

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        if self.identity:
            return signals[0].changed
        fired = value != 0
        spikes = self.tally.of(fired)
        active = self.tally.of(whole_rows(signals[0].changed) | fired)
        counts = self.tally.integers
        counts["spikes"] += spikes
        counts["messages"] += spikes
        counts["neuron_updates_active"] += active
        counts["neuron_updates_idle"] += prod(self.shape) * self.tally.samples - active
        return fired


class ECM(Op):
    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.constants = {}
        for key, array in self.node.parameters.items():
            if array.ndim:
                self.hold("parameter_" + key, array)
            else:
                self.constants[key] = array.item()

    def begin(self, like: Tensor) -> None:
        self.totals = [self.zeros(like, shape) for shape in self.operand_shapes]
        self.previous = self.zeros(like, self.shape)

    def _function(self, *values: Tensor) -> Tensor:
        arrays = {key: getattr(self, "parameter_" + key) for key in self.node.parameters if key not in self.constants}
        return TORCH[self.node.function]({**self.constants, **arrays}, *values)

    def value(self, t: int, *values: Tensor) -> Tensor:
        self.totals = [total + value for total, value in zip(self.totals, values, strict=True)]
        if self.node.coding == "rate":
            term = t * self._function(*(total / t for total in self.totals))
        else:
            term = self._function(*self.totals)
        increment, self.previous = term - self.previous, term
        return increment

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        shape = torch.broadcast_shapes(*(s.value.shape for s in signals))
        if self.node.coding == "rate":
            self.tally.ecm_ops[self.node.function] += prod(shape[1:]) * self.tally.samples
            return torch.ones_like(value, dtype=torch.bool)
        reached = torch.zeros(shape, dtype=torch.bool, device=value.device)
        for s in signals:
            reached = reached | s.changed
        axes = coupled_axes(self.node.function, self.node.parameters, len(shape) - 1)
        evaluated = whole_rows(reached, tuple(axis + 1 for axis in axes))
        self.tally.ecm_ops[self.node.function] += self.tally.of(evaluated)
        for axis in range(1, len(shape)):
            if value.shape[axis] != shape[axis]:
                evaluated = evaluated.any(dim=axis, keepdim=True)
        return whole_rows(evaluated)


class Product(Op):
    left: Tensor
    right: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.times: Any = torch.matmul if self.node.product == "matmul" else torch.mul
        contracted = self.operand_shapes[0][-1] if self.node.product == "matmul" else 1
        self.hold("left", self.node.left_initial)
        self.hold("right", self.node.right_initial)
        self.dense = prod(self.shape) * contracted

    def begin(self, like: Tensor) -> None:
        initial = (self.left.to(like.dtype), self.right.to(like.dtype))
        self.a, self.b = (self.zeros(like, s) + i for s, i in zip(self.operand_shapes, initial, strict=True))
        self.previous = self.zeros(like, self.shape)

    def _align(self, x: Tensor) -> Tensor:
        """Sample axes broadcast from the right; the batch axis stays in front."""
        missing = len(self.shape) + 1 - x.ndim
        return x.reshape(x.shape[0], *[1] * missing, *x.shape[1:]) if missing else x

    def value(self, t: int, *values: Tensor) -> Tensor:
        x, y = values
        a, b = self.a + x, self.b + y
        if self.node.coding == "rate":
            term = self.times(self._align(a), self._align(b)) / t
            increment, self.previous = term - self.previous, term
        else:
            increment = self.times(self._align(x), self._align(b)) + self.times(self._align(self.a), self._align(y))
            if t == 1:  # what the accumulators held before
                increment = increment + self.times(self._align(self.a), self._align(self.b))
        self.a, self.b = a, b
        return increment

    def mask(self, t: int, value: Tensor, *signals: Signal) -> Tensor:
        counts = self.tally.integers
        if t == 1:
            counts["dense_macs"] += self.dense * self.tally.samples
        for s, spikes, shape in zip(signals, self.operand_spikes, self.operand_shapes, strict=True):
            if spikes:
                counts["synops"] += self.tally.of(s.value != 0) * (self.dense // max(prod(shape), 1))
            else:
                counts["macs"] += self.dense * self.tally.samples
        if self.node.coding == "rate" or t == 1:
            changed = torch.ones_like(value, dtype=torch.bool)
        else:
            a, b = (self._align(s.changed) for s in signals)
            if self.node.product == "matmul":
                reached = a.any(dim=-1, keepdim=True) | b.any(dim=-2, keepdim=True)
            else:
                reached = a | b
            changed = whole_rows(reached.expand_as(value))
        self.tally.ecm_ops["product_readout"] += self.tally.of(changed)
        return changed


OPS: dict[type, type[Op]] = {
    **dict.fromkeys(n.WIRING, Wiring),
    nir.Input: Input,
    nir.Output: Output,
    nir.Linear: Linear,
    n.LastAxisLinear: Linear,
    nir.Conv1d: Conv,
    nir.Conv2d: Conv,
    nir.Scale: Scale,
    n.BroadcastScale: Scale,
    n.Add: Add,
    n.Mean: Mean,
    n.Constant: Constant,
    n.Hold: Hold,
    n.MultiThreshold: Neuron,
    n.ECM: ECM,
    n.ECMProduct: Product,
    n.Readout: Readout,
}
