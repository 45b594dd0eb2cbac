"""Expectation compensation in integers: the accumulators saturate, and what was sent is remembered, so nothing drifts."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.kernels.fixed.arithmetic import divided, shifted
from ecmt_deploy.kernels.fixed.base import Integer
from ecmt_deploy.kernels.fixed.functions import evaluate
from ecmt_deploy.kernels.stateful import ECMKernel, ProductKernel
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program import fixed as f


class FixedECMKernel(Integer, ECMKernel):
    """``FixedECM``: the term is f(X_t), in rate coding t f(X_t / t); sent is its difference to all that was sent before.

    ``previous`` is the sum of everything sent, which equals the term before unless an output saturated.
    """

    node: f.FixedECM

    def advance(self, t: int, *operands: Stream) -> Stream:
        totals = [self.accumulated(total, x.value) for total, x in zip(self.accumulators, operands, strict=True)]
        steps = t if self.node.coding == "rate" else 1
        means = [np.where(total == self.masked, self.masked, divided(total, steps)) for total in totals]
        value = self.saturated(evaluate(self.node.function, self.node.parameters, int(self.node.state_bits), *means))
        change = self.sent(self.saturated(steps * value), self.previous)
        self.accumulators, self.previous = totals, self.previous + change
        return Stream(change, self._count(t, operands))


class FixedProductKernel(Integer, ProductKernel):
    """``FixedECMProduct``: the running sums A, B (payload times unit, saturated), brought to ``operand_bits``, are
    multiplied exactly.

    The term is A B, in rate coding t (A / t) (B / t), in the stream's format; sent is its difference to all that was sent
    before. Since A B changes by a B + A' b only, where a spike is, hardware need not multiply what did not change.
    """

    node: f.FixedECMProduct

    def reset(self) -> None:
        super().reset()
        self.left_unit, self.right_unit = (np.asarray(u, np.int64) for u in (self.node.left_unit, self.node.right_unit))

    def operand(self, total: np.ndarray, steps: int, shift: int) -> np.ndarray:
        """A running sum, as the multiplier takes it: in double precision, in which these products are exact."""
        narrowed = shifted(divided(total, steps), int(shift))
        return self.saturated(narrowed, f.limit(self.node.operand_bits)).astype(np.float64)

    def advance(self, t: int, *operands: Stream) -> Stream:
        x, y = operands
        self.a = self.saturated(self.a + x.value * self.left_unit)
        self.b = self.saturated(self.b + y.value * self.right_unit)
        steps = t if self.node.coding == "rate" else 1
        left, right = self.operand(self.a, steps, self.node.left_shift), self.operand(self.b, steps, self.node.right_shift)
        product = self._multiply(left, right).astype(np.int64)
        term = self.saturated(steps * self.saturated(shifted(product, int(self.node.shift))))
        change = self.sent(term, self.previous)
        self.previous = self.previous + change
        return Stream(change, self._count(t, x, y))
