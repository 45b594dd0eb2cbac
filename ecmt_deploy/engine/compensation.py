"""Expectation compensation, products of streams, and the running sums: nodes with a memory, all steps at once.

The sums so far of all steps are one cumulative sum; what a step adds is the difference of two of its neighbours.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from ecmt_deploy.engine.base import Op, same_when
from ecmt_deploy.engine.functions import TORCH
from ecmt_deploy.engine.signal import EACH, FIRST, SAME, Chunk, Signal, any_along, fold
from ecmt_deploy.graph import Program
from ecmt_deploy.graph.functions import coupled_axes


class Hold(Op):
    silent_without_input = False

    def total(self, chunk: Chunk, signal: Signal) -> Signal:
        """Sum so far at every step."""
        return Signal(self.running_sum(chunk, signal, "total"), SAME if signal.when == FIRST else EACH)

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        return self.total(chunk, signals[0])

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        always = torch.ones((1,) * signal.value.ndim, dtype=torch.bool, device=signal.value.device)
        self.charge(chunk, "hold", always, self.shape)
        return always.expand(chunk.steps, *always.shape[1:]) if signal.when == EACH else None


class Readout(Hold):
    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        total = self.total(chunk, signals[0]).each(chunk)
        return Signal(total / chunk.times(total) if self.node.coding == "rate" else total)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor:
        if self.node.coding == "rate":
            changed = torch.ones((chunk.steps, *[1] * (signal.value.ndim - 1)), dtype=torch.bool, device=signal.value.device)
        else:
            (changed,) = self.rows(chunk, signals)
            changed = changed.clone()
            if chunk.first:
                changed[0] = True
        self.charge(chunk, "readout", changed, self.shape)
        return changed


class ECM(Op):
    """rate, y_t = t f(X_t / t) - (t-1) f(X_{t-1} / (t-1)); differential, y_t = f(X_t) - f(X_{t-1}), f(X_0) := 0."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.silent_without_input = self.node.coding == "differential"
        self.constants: dict[str, Any] = {}
        for key, array in self.node.parameters.items():
            if array.ndim:
                self.hold("parameter_" + key, array)
            else:
                self.constants[key] = array.item()

    def _function(self, *values: Tensor) -> Tensor:
        arrays = {key: getattr(self, "parameter_" + key) for key in self.node.parameters if key not in self.constants}
        steps = max(len(value) for value in values)
        folded = [fold(value.expand(steps, *value.shape[1:])) for value in values]
        return TORCH[self.node.function]({**self.constants, **arrays}, *folded).unflatten(0, (steps, -1))

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        totals = [self.running_sum(chunk, s, f"total{i}") for i, s in enumerate(signals)]
        if self.node.coding == "rate":
            t = chunk.times(totals[0])
            terms = t * self._function(*(total / chunk.times(total) for total in totals))
        else:
            terms = self._function(*totals)
        when = FIRST if self.node.coding == "differential" and same_when(signals) == FIRST else EACH
        return Signal(self.increments(chunk, terms, "previous"), when)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        shape = torch.broadcast_shapes(*self.operand_shapes)
        function = self.node.function
        if self.node.coding == "rate":
            self.tally.ecm_ops[function] += prod(shape) * chunk.steps * (chunk.samples or 0)
            return torch.ones((chunk.steps, *[1] * (signal.value.ndim - 1)), dtype=torch.bool, device=signal.value.device)
        ndim = len(shape)
        reached = None
        for mask in self.reached(chunk, signals):
            aligned = mask.reshape(*mask.shape[:2], *[1] * (ndim + 2 - mask.ndim), *mask.shape[2:])
            reached = aligned if reached is None else reached | aligned
        assert reached is not None
        axes = tuple(axis + 2 for axis in coupled_axes(function, self.node.parameters, ndim))
        evaluated = any_along(reached, axes)
        self.charge(chunk, function, evaluated, tuple(shape))
        if signal.when != EACH:
            return None
        smaller = tuple(i + 2 for i, (a, b) in enumerate(zip(shape, self.shape, strict=True)) if a != b)
        return any_along(any_along(evaluated, smaller), (-1,))


class Product(Op):
    """With A_t, B_t the sums so far: rate, y_t = A_t B_t / t - A_{t-1} B_{t-1} / (t-1); differential,
    y_t = A_t B_t - A_{t-1} B_{t-1}; what the sums held before enters at t = 1.
    """

    left: Tensor
    right: Tensor
    silent_without_input = False

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        self.matmul = self.node.product == "matmul"
        contracted = self.operand_shapes[0][-1] if self.matmul else 1
        self.hold("left", self.node.left_initial)
        self.hold("right", self.node.right_initial)
        self.moved = bool(self.node.left_initial.any()), bool(self.node.right_initial.any())
        self.dense = prod(self.shape) * contracted

    def _align(self, x: Tensor) -> Tensor:
        """Sample axes broadcast from the right; steps and batch stay in front."""
        missing = len(self.shape) + 2 - x.ndim
        return x.reshape(*x.shape[:2], *[1] * missing, *x.shape[2:]) if missing else x

    def stream(self, chunk: Chunk, *signals: Signal) -> Signal:
        x, y = signals
        a = self._align(self.running_sum(chunk, x, "a", self.left.to(x.value.dtype) if self.moved[0] else None))
        b = self._align(self.running_sum(chunk, y, "b", self.right.to(y.value.dtype) if self.moved[1] else None))
        terms = a @ b if self.matmul else a * b
        if self.node.coding == "rate":
            terms = terms / chunk.times(terms)
        return Signal(self.increments(chunk, terms.expand(chunk.steps, *terms.shape[1:]), "previous"))

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor:
        counts, samples = self.tally.integers, chunk.samples or 0
        if chunk.first:
            counts["dense_macs"] += self.dense * samples
        for s, spikes, shape in zip(signals, self.operand_spikes, self.operand_shapes, strict=True):
            if spikes:
                counts["synops"] += s.spikes(chunk) * (self.dense // max(prod(shape), 1))
            else:
                counts["macs"] += self.dense * chunk.steps * samples
        if self.node.coding == "rate":
            changed = torch.ones((chunk.steps, *[1] * (signal.value.ndim - 1)), dtype=torch.bool, device=signal.value.device)
        else:
            if self.matmul:
                a = self._align(signals[0].rows(chunk, self.operand_spikes[0]))
                b = self._align(any_along(signals[1].reached(chunk, self.operand_spikes[1]), (-2,)))
                reached = a | b
            else:
                a, b = (self._align(mask) for mask in self.reached(chunk, signals))
                reached = a | b
            changed = any_along(reached, (-1,)).clone()
            if chunk.first:
                changed[0] = True
        self.charge(chunk, "product_readout", changed, self.shape)
        return changed
