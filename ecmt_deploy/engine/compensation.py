"""Expectation compensation, products of streams, and the running sums: in the form of their coding, the analog network's."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.engine.base import TorchOp, runs
from ecmt_deploy.engine.functions import IN_PLACE, TORCH
from ecmt_deploy.engine.plan import Hints, Neighbour
from ecmt_deploy.engine.signal import FORM, ITSELF, MEAN, SUM, Chunk, Signal, aligned, any_along, fold, news
from ecmt_deploy.program import Program, ops


@runs(ops.Hold)
class Hold(TorchOp):
    """y_t = X_t: what came so far is sent again at every step."""

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        (x,) = signals
        if x.form == SUM and x.steady:
            return Signal(x.value, MEAN, steady=True)
        total, state = x.to(SUM, chunk).value.cumsum(dim=0), self.own(chunk).state
        if "total" in state:
            total = total + state["total"]
        if not chunk.final:
            state["total"] = total[-1:].clone()
        return Signal(total)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        always = torch.ones((1,) * signal.value.ndim, dtype=torch.bool, device=signal.value.device)
        self.charge(chunk, always, self.shape)
        return None if signal.steady else always.expand(chunk.steps, *always.shape[1:])


@runs(ops.Readout)
class Readout(TorchOp):
    """o_t = X_t / t in rate coding, X_t in differential coding."""

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        return Signal(signals[0].to(FORM[self.node.coding], chunk).each(chunk), ITSELF)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor:
        if self.node.coding == "rate":
            changed = everything(chunk, signal)
        else:
            changed = self.rows(chunk, signals)[0].expand(chunk.steps, *[-1] * (signal.value.ndim - 1))
        changed = news(chunk, changed)
        self.charge(chunk, changed, self.shape)
        return changed


@runs(ops.ECM)
class ECM(TorchOp):
    """rate, y_t = t f(X_t / t) - (t-1) f(X_{t-1} / (t-1)); differential, y_t = f(X_t) - f(X_{t-1}), f(X_0) := 0."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.form = FORM[self.node.coding]
        self.broadcast = np.broadcast_shapes(*self.operand_shapes)
        #: whether every row of the result follows from the same row of the only operand
        self.by_rows = (
            self.operand_shapes == [self.shape] and bool(self.shape)
            and {*self.node.definition.coupled_axes(self.node.parameters, len(self.shape))} <= {len(self.shape) - 1, -1}
        )  # fmt: skip
        self.constants: dict[str, Any] = {}
        for key, array in self.node.parameters.items():
            if array.ndim:
                self.hold("parameter_" + key, array)
            else:
                self.constants[key] = array.item()

    fresh = True

    def prepare(self, hints: Hints, operands: Sequence[Neighbour]) -> None:
        if self.node.function in IN_PLACE and operands[0].alone and operands[0].op.fresh:
            hints.overwrites = 0

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        operands = [s.to(self.form, chunk) for s in signals]
        steady = all(s.steady for s in operands)
        arrays = {key: getattr(self, "parameter_" + key) for key in self.node.parameters if key not in self.constants}
        values = [aligned(s.value if steady else s.each(chunk), self.broadcast) for s in operands]
        functions = IN_PLACE if self.hints(chunk).overwrites is not None and chunk.inplace else TORCH
        function, parameters = functions[self.node.function], {**self.constants, **arrays}

        def compute(rows: Tensor | None) -> Tensor:
            if rows is None:
                return function(parameters, *(fold(value) for value in values)).unflatten(0, (-1, chunk.batch))
            picked = values[0][rows]
            return function(parameters, picked.reshape(len(picked), *[1] * (len(self.shape) - 1), -1)).flatten(1)

        if not self.by_rows:
            return Signal(compute(None), self.form, steady)
        reached = functools.partial(signals[0].rows, chunk, self.operand_spikes[0])
        return Signal(self.renewed(chunk, reached, values[0].shape, compute), self.form, steady)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        shape = self.broadcast
        if self.node.coding == "rate":
            self.own(chunk).tally.add_ecm(prod(shape) * (chunk.samples or 0))
            return everything(chunk, signal)
        ndim = len(shape)
        reached = None
        for mask in self.reached(chunk, signals):
            mask = aligned(mask, shape)
            reached = mask if reached is None else reached | mask
        assert reached is not None
        axes = tuple(axis + 2 for axis in self.node.definition.coupled_axes(self.node.parameters, ndim))
        evaluated = any_along(reached, axes)
        self.charge(chunk, evaluated, shape)
        smaller = tuple(i + 2 for i, (a, b) in enumerate(zip(shape, self.shape, strict=True)) if a != b)
        return self.marked(chunk, signal, any_along(any_along(evaluated, smaller), (-1,)))


@runs(ops.ECMProduct)
class Product(TorchOp):
    """With A_t, B_t the sums so far: rate, y_t = A_t B_t / t - A_{t-1} B_{t-1} / (t-1); differential,
    y_t = A_t B_t - A_{t-1} B_{t-1}; what the sums held before enters at t = 1.
    """

    left: Tensor
    right: Tensor
    takes_elements = False
    fresh = True

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.form = FORM[self.node.coding]
        self.matmul = self.node.product == "matmul"
        contracted = self.operand_shapes[0][-1] if self.matmul else 1
        self.hold("left", self.node.left_initial)
        self.hold("right", self.node.right_initial)
        self.moved = bool(self.node.left_initial.any()), bool(self.node.right_initial.any())
        self.dense = prod(self.shape) * contracted

    def prepare(self, hints: Hints, operands: Sequence[Neighbour]) -> None:
        if self.form == SUM:
            for x, initial, moved in zip(operands, (self.left, self.right), self.moved, strict=True):
                if moved and x.alone:
                    x.op.take_offset(x.hints, initial)

    def _operand(self, chunk: Chunk, signal: Signal, initial: Tensor, moved: bool) -> Signal:
        operand = signal.to(self.form, chunk)
        if not moved or signal.completed:
            return operand
        initial = initial.to(operand.value.dtype)
        if self.form == SUM:
            return operand._replace(value=operand.value + initial)
        return operand._replace(value=operand.each(chunk) + initial / chunk.times(operand.value), steady=False)

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        x, y = signals
        a, b = self._operand(chunk, x, self.left, self.moved[0]), self._operand(chunk, y, self.right, self.moved[1])
        left, right = aligned(a.value, self.shape), aligned(b.value, self.shape)
        return Signal(left @ right if self.matmul else left * right, self.form, a.steady and b.steady)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor:
        samples, tally = chunk.samples or 0, self.own(chunk).tally
        tally.add_at_beginning(self.network_macs * samples, "dense_macs")
        for s, spikes, shape in zip(signals, self.operand_spikes, self.operand_shapes, strict=True):
            if spikes:
                tally.add(s.event_count(chunk), synops=self.dense // max(prod(shape), 1))
        always, first = self.node.dense_products(self.operand_spikes, self.operand_once)
        tally.add(self.dense * samples, macs=always)
        if chunk.first:
            tally.add_at_beginning(self.dense * samples * first, "macs")
        if self.node.coding == "rate":
            changed = everything(chunk, signal)
        else:
            a, b = (aligned(mask, self.shape) for mask in self.rows(chunk, signals))
            if self.matmul:  # an event in any row of the right operand reaches every row of the result
                b = any_along(b, (-2,))
            changed = (a | b).expand(chunk.steps, *[-1] * (signal.value.ndim - 1))
        changed = news(chunk, changed)
        self.charge(chunk, changed, self.shape)
        return changed


def everything(chunk: Chunk, signal: Signal) -> Tensor:
    """A mask that is true all along."""
    return torch.ones((chunk.steps, *[1] * (signal.value.ndim - 1)), dtype=torch.bool, device=signal.value.device)
