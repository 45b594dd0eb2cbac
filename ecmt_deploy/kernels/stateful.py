"""Nodes with a memory: multi-threshold neurons, expectation compensation, products, hold and readout.

Source of every equation: *Towards High-performance Spiking Transformers from ANN to SNN Conversion* (Huang et al., ACM MM
2024) for ``rate`` coding; its increments for ``differential`` coding. All state is zero before t = 1.
"""

from math import prod

import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.functions import evaluate
from ecmt_deploy.kernels.streams import Stream, rows
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.functions import coupled_axes


class NeuronKernel(Kernel):
    """``MultiThreshold``: v <- v + x; the largest level whose threshold v reaches fires; v <- v - s.

    Conservation: sum of spikes + v = initial membrane + sum of inputs.
    """

    memory = ("v",)

    node: n.MultiThreshold
    emits_spikes = True

    def __init__(self, node: n.MultiThreshold, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.prepare()

    def prepare(self) -> None:
        """Levels and thresholds."""
        self.positive = n.thresholds(self.node, cast(self.node.positive_base, self.dtype))
        self.negative = n.thresholds(self.node, cast(self.node.negative_base, self.dtype))

    def reset(self) -> None:
        self.v = self.zeros(self.site.shape) + cast(self.node.initial_membrane, self.dtype)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        v = self.v + x.value
        spikes = self.zeros(v.shape)
        for k, (positive, negative) in enumerate(zip(self.positive, self.negative, strict=True)):
            # from the smallest level up, so the largest that is reached remains
            fires = k >= self.node.lowest_level
            for sign, (level, threshold) in ((1, positive), (-1, negative)):
                spikes = np.where(fires & (sign * v >= threshold), sign * level, spikes)
        self.v = v - spikes
        return self.emit(x, spikes, spikes != 0)

    def emit(self, x: Stream, spikes: np.ndarray, fired: np.ndarray) -> Stream:
        """Count one step in which ``x`` arrived and ``spikes`` leave."""
        active = int((rows(x.changed) | fired).sum())
        self._counts.update(
            spikes=int(fired.sum()),
            messages=int(fired.sum()),
            neuron_updates_active=active,
            neuron_updates_idle=spikes.size - active,
        )
        return Stream(spikes, fired)


class IdentityKernel(Kernel):
    """A neuron that passes its membrane on as it is: with it, a program computes the analog network."""

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        return Stream(x.value + cast(self.node.initial_membrane, self.dtype), x.changed) if t == 1 else x


class ECMKernel(Kernel):
    """``ECM``: rate, y_t = t f(X_t / t) - (t-1) f(X_{t-1} / (t-1)); differential, y_t = f(X_t) - f(X_{t-1}), f(X_0) := 0.

    State: the accumulators X (one per operand) and the previous term, so f is evaluated once a step.
    """

    memory = ("accumulators", "previous")

    node: n.ECM

    @property
    def ecm_kind(self) -> str:
        """The function's name."""
        return self.node.function

    def reset(self) -> None:
        self.accumulators = [self.zeros(shape) for shape in self.site.operand_shapes]
        self.previous = self.zeros(self.site.shape)

    def advance(self, t: int, *operands: Stream) -> Stream:
        self.accumulators = [total + x.value for total, x in zip(self.accumulators, operands, strict=True)]
        function, parameters = self.node.function, self.node.parameters
        if self.node.coding == "rate":
            steps = self.dtype.type(t)
            term = steps * evaluate(function, parameters, *(total / steps for total in self.accumulators))
        else:
            term = evaluate(function, parameters, *self.accumulators)
        value, self.previous = term - self.previous, term
        return Stream(value, self._count(t, operands))

    def _count(self, t: int, operands: tuple[Stream, ...]) -> np.ndarray:
        """Count the elements evaluated and return the mask of the output."""
        shape = np.broadcast_shapes(*(x.value.shape for x in operands))
        reached = np.zeros(shape, bool)
        for x in operands:
            reached |= x.changed
        evaluated = rows(reached, coupled_axes(self.node.function, self.node.parameters, len(shape)))
        if self.node.coding == "rate":
            evaluated = np.ones(shape, bool)  # y_t depends on t itself
        self.count_elements(int(evaluated.sum()))
        reduced = tuple(i for i, (a, b) in enumerate(zip(shape, self.site.shape, strict=True)) if a != b)
        return rows(evaluated.any(axis=reduced, keepdims=True) if reduced else evaluated)


class ProductKernel(Kernel):
    """``ECMProduct``: with A_t, B_t the running sums, rate, y_t = A_t B_t / t - A_{t-1} B_{t-1} / (t-1);
    differential, y_t = a_t B_t + A_{t-1} b_t, which is A_t B_t - A_{t-1} B_{t-1}; A_0 B_0 enters at t = 1.
    """

    memory = ("a", "b", "previous")

    ecm_kind = "product_readout"

    node: n.ECMProduct

    def __init__(self, node: n.ECMProduct, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        a, b = site.operand_shapes
        matmul = node.product == "matmul"
        self.dense_macs = prod(site.shape) * (a[-1] if matmul else 1)
        #: output terms one event of each operand takes part in
        self.fan_out = (self.dense_macs // max(prod(a), 1), self.dense_macs // max(prod(b), 1))

    def reset(self) -> None:
        initial = (self.node.left_initial, self.node.right_initial)
        shapes = self.site.operand_shapes
        self.a, self.b = (self.zeros(s) + cast(i, self.dtype) for s, i in zip(shapes, initial, strict=True))
        self.previous = self.zeros(self.site.shape)

    def _multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a @ b if self.node.product == "matmul" else a * b

    def advance(self, t: int, *operands: Stream) -> Stream:
        x, y = operands
        a, b = self.a + x.value, self.b + y.value
        if self.node.coding == "rate":
            term = self._multiply(a, b) / self.dtype.type(t)
            value, self.previous = term - self.previous, term
        else:
            value = self._multiply(x.value, b) + self._multiply(self.a, y.value)
            if t == 1:
                value = value + self._multiply(self.a, self.b)
        self.a, self.b = a, b
        return Stream(value, self._count(t, x, y))

    def _count(self, t: int, x: Stream, y: Stream) -> np.ndarray:
        if t == 1:
            self._counts["dense_macs"] += self.dense_macs
        for stream, spiking, fan_out in zip((x, y), self.site.spiking, self.fan_out, strict=True):
            if spiking:
                self._counts["synops"] += int(np.count_nonzero(stream.value)) * fan_out
            else:
                self._counts["macs"] += self.dense_macs
        if self.node.product == "matmul":
            reached = x.changed.any(axis=-1)[..., :, None] | y.changed.any(axis=-2)[..., None, :]
        else:
            reached = x.changed | y.changed
        changed = rows(reached)
        if self.node.coding == "rate" or t == 1:
            changed = np.ones(self.site.shape, bool)
        self.count_elements(int(changed.sum()))
        return changed


class HoldKernel(Kernel):
    """``Hold``: y_t = x_1 + .. + x_t, an event in every step."""

    memory = ("total",)

    ecm_kind = "hold"

    def reset(self) -> None:
        self.total = self.zeros(self.site.shape)

    def advance(self, t: int, *operands: Stream) -> Stream:
        self.total = self.total + operands[0].value
        self.count_elements(self.total.size)
        return Stream(self.total, np.ones(self.site.shape, bool))


class ReadoutKernel(Kernel):
    """``Readout``: o_t = (x_1 + .. + x_t) / t in rate coding, x_1 + .. + x_t in differential coding."""

    memory = ("total",)

    ecm_kind = "readout"

    node: n.Readout

    def reset(self) -> None:
        self.total = self.zeros(self.site.shape)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        self.total = self.total + x.value
        rate = self.node.coding == "rate"
        changed = np.ones(self.site.shape, bool) if rate or t == 1 else rows(x.changed)
        self.count_elements(int(changed.sum()))
        return Stream(self.read(t), changed)

    def read(self, t: int) -> np.ndarray:
        """The readout after step ``t``."""
        return self.total / self.dtype.type(t) if self.node.coding == "rate" else self.total
