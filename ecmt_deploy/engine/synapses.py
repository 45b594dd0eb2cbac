"""Synapses: linear maps and convolutions. All steps meet the weights in one product."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ecmt_deploy.engine.base import TorchOp, runs
from ecmt_deploy.engine.plan import Hints, Neighbour
from ecmt_deploy.engine.signal import MEAN, SUM, Chunk, Signal, counted, fold, number
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.ops.convolution import Convolution, convolution

#: at most this share of the rows can fire where only those are computed
FIRING_ROWS = 0.75


class Synapses(TorchOp):
    """Linear maps and convolutions."""

    fresh = True
    weight: Tensor
    dense: int

    def tally_synapses(
        self, chunk: Chunk, events: Tensor | None, fan_out: int, changed: tuple[Tensor, int] | None = None
    ) -> None:
        """Count one chunk in which each of ``events`` (``None`` where the operand is analog) met ``fan_out`` weights.

        ``changed`` : of an encoding layer, in a frame that is not the first, how many weights what changed of the image met,
        over ``fan_out``: terms of a sum, and how many times
        """
        dense, tally = self.dense * (chunk.samples or 0), self.own(chunk).tally
        tally.add_at_beginning(self.network_macs * (chunk.samples or 0), "dense_macs")
        if events is not None:
            tally.add(events, synops=fan_out)
        elif changed is not None:
            tally.add(changed[0], macs=fan_out * changed[1])
        elif not self.encoding:
            tally.add(dense, macs=1)
        elif chunk.first:
            tally.add_at_beginning(dense, "macs")

    def changes(self, chunk: Chunk) -> bool:
        """Whether what is computed of an image is what changed since the frame before."""
        return self.encoding and chunk.run.streaming and not chunk.first


@runs(ops.LastAxisLinear)
class Linear(Synapses):
    takes_elements = False

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("weight", self.node.weight)
        self.dense = self.node.weight.size * prod(self.shape[:-1])

    def prepare(self, hints: Hints, operands: Sequence[Neighbour]) -> None:
        """Compute only rows in which a neuron has a level to fire, as where the readout takes one row of many."""
        neuron = operands[0].op.node
        if neuron.role == "neuron":
            rows = np.broadcast_to(neuron.live, self.operand_shapes[0]).any(axis=-1)
            if rows.ndim and rows.sum() <= FIRING_ROWS * rows.size:
                hints.firing_rows = torch.from_numpy(rows)

    def take_bias(self, hints: Hints, constant: ops.Constant) -> None:
        """A constant that is one vector for all rows, and no mask."""
        value = constant.value
        if constant.masks:
            return
        rows = value.reshape(-1, value.shape[-1]) if value.ndim else value.reshape(1, 1)
        if rows.shape[-1] == self.weight.shape[0] and np.array_equal(rows, np.broadcast_to(rows[:1], rows.shape)):
            hints.bias = torch.from_numpy(rows[0].copy())
            hints.bias_form = MEAN if constant.schedule == "every" else SUM

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,), hints = signals, self.hints(chunk)
        completed = x.form == hints.bias_form and not chunk.run.watched
        bias, firing_rows = hints.bias if completed else None, hints.firing_rows
        if firing_rows is None or x.events is None:
            weight, shape = self.weight_for(chunk), (*x.value.shape[:-1], len(self.weight))
            reached = functools.partial(x.rows, chunk, self.operand_spikes[0])
            value = self.renewed(
                chunk, reached, shape, lambda rows: F.linear(x.value if rows is None else x.value[rows], weight, bias)
            )
        else:
            shape = (*x.value.shape[:-1], len(self.weight))
            value = x.value.new_zeros(shape) if bias is None else bias.repeat(*shape[:-1], 1)
            value[:, :, firing_rows] = F.linear(x.value[:, :, firing_rows], self.weight_for(chunk), bias)
        return Signal(value, x.form, x.steady, completed=completed)

    def weight_for(self, chunk: Chunk) -> Tensor:
        """The weights (out, in) that the operand meets."""
        return self.weight

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        (x,), spiking, changed = signals, self.operand_spikes[0], None
        if self.changes(chunk):
            changed = number(chunk, x.reached(chunk, spiking), self.operand_shapes[0])
        self.tally_synapses(chunk, x.event_count(chunk) if spiking else None, len(self.weight), changed)
        return self.marked(chunk, signal, x.rows(chunk, spiking))


@runs(ops.CorrectedLinear)
class CorrectedLinear(Linear):
    """Weights that hold a correction, which the analog network goes without."""

    correction: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("correction", self.node.correction)

    def weight_for(self, chunk: Chunk) -> Tensor:
        return self.weight - self.correction.to(self.weight) if chunk.run.identity else self.weight


@runs(Convolution)
class Conv(Synapses):
    ones: Tensor

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.hold("weight", self.node.weight)
        self.groups = groups = int(self.node.groups)
        self.set_windows()
        self.outputs_per_group = self.weight.shape[0] // groups
        ones = torch.ones(groups, *self.weight.shape[1:])
        self.register_buffer("ones", ones, persistent=False)
        taps = self._taps(torch.ones(1, *self.operand_shapes[0]))
        self.dense = int(taps.sum(dtype=torch.float64).item()) * self.outputs_per_group
        #: whether every element of the result sees more than padding, which no event ever reaches
        self.reaches_all = bool((taps > 0).all())

    def set_windows(self) -> None:
        """Note where its windows lie."""
        self.arguments: Any = convolution(self.node)
        self.conv: Any = F.conv1d if self.node.spatial_axes == 1 else F.conv2d

    def convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution of ``x`` (B, C, ...) by kernels (out, in / groups, ...)."""
        result: Tensor = self.conv(x, weight, **self.arguments)
        return result

    def _taps(self, mask: Tensor) -> Tensor:
        """How many events reach each output position of each group: small integers, exact in float32."""
        return self.convolved(mask.float(), self.ones.float())

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        value = self.convolved(fold(x.value), self.weight)
        steady = x.steady and (x.form != MEAN or self.reaches_all)
        value = value.unflatten(0, x.value.shape[:2])
        return Signal(value if steady == x.steady else value.expand(chunk.steps, *value.shape[1:]), x.form, steady)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        (x,) = signals
        spiking = self.operand_spikes[0]
        if not spiking and signal.steady and not chunk.run.streaming:
            self.tally_synapses(chunk, None, self.outputs_per_group)
            return None
        full = x.reached(chunk, spiking).expand(chunk.steps, chunk.batch, *self.operand_shapes[0])
        taps = self._taps(fold(full)).unflatten(0, full.shape[:2])
        met = counted(chunk, taps).flatten(1).sum(dim=1, dtype=torch.float64).round().long()
        self.tally_synapses(chunk, met if spiking else None, self.outputs_per_group, (met, 1) if self.changes(chunk) else None)
        return self.marked(chunk, signal, taps.repeat_interleave(self.outputs_per_group, dim=2) > 0)
