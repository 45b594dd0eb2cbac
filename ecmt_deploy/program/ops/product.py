"""Products of two streams, compensated: attention scores and values, gates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.integer import Following
from ecmt_deploy.kernels.integers import EXACT_BITS, divided, limit, shifted, within
from ecmt_deploy.kernels.streams import MACS_PER_ELEMENT, Part, Stream, row_by_row, rows, width
from ecmt_deploy.program.ops.base import CODINGS, NOTHING, Op, Require, Shape, Work, broadcasts, finite, fits, register
from ecmt_deploy.program.ops.multiplied import Multiplied
from ecmt_deploy.program.ops.share import Share, of_columns, of_matrices, picked
from ecmt_deploy.program.primitives import Recipe

PRODUCTS = ("matmul", "multiply")


class ProductKernel(Kernel):
    """With A_t, B_t the running sums, rate, y_t = A_t B_t / t - A_{t-1} B_{t-1} / (t-1);
    differential, y_t = a_t B_t + A_{t-1} b_t, which is A_t B_t - A_{t-1} B_{t-1}; A_0 B_0 enters at t = 1.
    """

    memory = ("a", "b", "previous")
    ecm_kind = "product_readout"

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        work = node.work(site.shape, *site.operand_shapes)
        self.dense_macs = work.dense_macs
        #: output terms one event of each operand takes part in
        self.fan_out = tuple(most for _, most in work.fan_out)

    def reset(self) -> None:
        initial = (self.node.left_initial, self.node.right_initial)
        shapes = self.site.operand_shapes
        self.a, self.b = (self.zeros(s) + cast(i, self.dtype) for s, i in zip(shapes, initial, strict=True))
        self.previous = self.zeros(self.site.shape)

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The product itself."""
        return a @ b if self.node.product == "matmul" else a * b

    def advance(self, t: int, *operands: Stream) -> Stream:
        x, y = operands
        changed = self.count(t, x, y)
        return Stream(self.result(t, x, y), changed)

    def result(self, t: int, x: Stream, y: Stream) -> np.ndarray:
        """What a step brings."""
        a, b = self.a + x.value, self.b + y.value
        if self.node.coding == "rate":
            term = self.multiply(a, b) / self.dtype.type(t)
            value, self.previous = term - self.previous, term
        elif t == 1:
            value = self.multiply(x.value, b) + self.multiply(self.a, y.value) + self.multiply(self.a, self.b)
        else:
            value = self.change(x, y, self.a, b)
        self.a, self.b = a, b
        return value

    def change(self, x: Stream, y: Stream, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """x b + a y, of which only terms with an event are computed: rows of x, and of a product of matrices rows of y, that
        one reached in any of the leading axes."""
        shape = self.site.shape
        if self.node.product == "multiply":
            by_rows = x.value.shape == y.value.shape == shape
            reached = x.changed | y.changed
            part = Part(row_by_row(reached) if by_rows else np.asarray(reached.any()), width(shape))
            if part.empty:
                return np.zeros(shape, a.dtype)
            return part.spread(part.of(x.value) * part.of(b) + part.of(a) * part.of(y.value), shape)
        value = np.zeros(shape, a.dtype)
        share = self.dense_macs // MACS_PER_ELEMENT
        rows_of_x, rows_of_y = (Part(any_leading(row_by_row(s.changed)), share // s.value.shape[-2]) for s in (x, y))
        if not rows_of_x.empty:
            some = slice(None) if rows_of_x.rows is None else rows_of_x.rows
            value[..., some, :] = x.value[..., some, :] @ b
        if not rows_of_y.empty:
            some = slice(None) if rows_of_y.rows is None else rows_of_y.rows
            value += a[..., some] @ y.value[..., some, :]
        return value

    def count(self, t: int, x: Stream, y: Stream) -> np.ndarray:
        """Count a step and return the mask of the output."""
        once = self.site.once or (False, False)
        for stream, spiking, fan_out in zip((x, y), self.site.spiking, self.fan_out, strict=True):
            if spiking:
                self.tally["synops"] += int(np.count_nonzero(stream.value)) * fan_out
        always, first = self.node.dense_products(self.site.spiking, once)
        self.tally["macs"] += self.dense_macs * (always + (first if t == 1 else 0))
        if self.node.product == "matmul":  # an event in any row of the right operand reaches every row of the result
            reached = row_by_row(x.changed)[..., None] | y.changed.any(axis=(-2, -1))[..., None, None]
            changed = np.broadcast_to(reached, self.site.shape)
        else:
            changed = rows(x.changed | y.changed)
        if self.node.coding == "rate" or t == 1:
            changed = np.ones(self.site.shape, bool)
        self.count_elements(int(changed.sum()))
        return changed


class IntegerProductKernel(Following, ProductKernel):
    """The running sums A, B (payload times unit, saturated), brought to ``operand_bits``, are multiplied exactly.

    The term is A B, in rate coding t (A / t) (B / t), in the stream's format; sent is its difference to all that was sent
    before. A B changes by a B + A' b only, where a spike is: what did not change is not multiplied again.
    """

    def reset(self) -> None:
        super().reset()
        form = self.node.format
        #: of the step before: the operands as the multiplier took them
        self.factors = self.a, self.b
        self.left_unit, self.right_unit = (np.asarray(u, np.int64) for u in (form.left_unit, form.right_unit))

    def factor(self, operand: int, total: np.ndarray, steps: int, shift: int) -> np.ndarray:
        """A running sum, as the multiplier takes it: in double precision, in which these products are exact."""
        narrowed = shifted(divided(total, steps), int(shift))
        return self.saturated(narrowed, limit(self.node.format.operand_bits), operand).astype(np.float64)

    def result(self, t: int, x: Stream, y: Stream) -> np.ndarray:
        form, anew = self.node.format, t == 1 or self.node.coding == "rate"
        if not (anew or self.restless or x.changed.any() or y.changed.any()):
            return self.zeros(self.site.shape)
        self.a = self.saturated(self.a + x.value * self.left_unit, operand=0)
        self.b = self.saturated(self.b + y.value * self.right_unit, operand=1)
        steps = t if self.node.coding == "rate" else 1
        left, right = self.factor(0, self.a, steps, form.left_shift), self.factor(1, self.b, steps, form.right_shift)
        if anew:
            self.product = self.multiply(left, right)
        else:
            a, b = self.factors
            of_left, of_right = (Stream(now - before, now != before) for now, before in ((left, a), (right, b)))
            self.product = self.product + self.change(of_left, of_right, a, right)
        self.factors = left, right
        term = self.saturated(steps * self.saturated(shifted(self.product.astype(np.int64), int(form.shift))))
        change, self.previous = self.update(term, self.previous)
        return change


def any_leading(mask: np.ndarray) -> np.ndarray:
    """Of a mask (.., n), whether it holds in any of the leading axes: (n,)."""
    return mask if mask.ndim == 1 else mask.reshape(-1, mask.shape[-1]).any(axis=0)


@register
@dataclass(eq=False, repr=False)
class ECMProduct(Op):
    """Expectation compensation of a product of two streams: ``matmul`` (batched over leading axes) or ``multiply``.

    ``left_initial`` and ``right_initial`` (broadcast to the operands) are the accumulators before t = 1: what was expected of
    operands whose spikes tell the rest. Zero in rate coding.
    """

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]
    product: str
    coding: str
    left_initial: np.ndarray = field(default_factory=lambda: NOTHING)
    right_initial: np.ndarray = field(default_factory=lambda: NOTHING)

    role = "product"
    fields = {
        "operands": "names", "product": "string", "coding": "string", "left_initial": "floats", "right_initial": "floats",
    }  # fmt: skip
    needs_code = "product"
    takes_spikes = True
    format_type = Multiplied
    kernel, integer_kernel = ProductKernel, IntegerProductKernel
    recipe = Recipe({"add": 1, "load": 2, "store": 1}, rate={"mul": 1})

    @property
    def detail(self) -> str:
        return self.product

    @property
    def layer(self) -> str:
        """A product element by element is elementwise like any other function."""
        return "matmul" if self.product == "matmul" else "elements"

    @property
    def initials(self) -> tuple[np.ndarray, ...]:
        return self.left_initial, self.right_initial

    @property
    def every_step(self) -> bool:
        return self.coding == "rate"

    def dense_products(self, spiking: Iterable[bool], once: Iterable[bool]) -> tuple[int, int]:
        """How many times all products are formed for operands that are analog: at every step, and at t = 1 besides.

        An exact operand enters at t = 1 alone, and then meets what the other's sum held before: nothing, where that is zero and
        spikes follow. Two exact operands meet once.

        Parameters
        ----------
        spiking, once : of each operand, whether it holds spikes, and whether it is exact
        """
        once = tuple(once)
        always = sum(not spikes and not exact for spikes, exact in zip(spiking, once, strict=True))
        held = (bool(np.any(initial)) for initial in reversed(self.initials))
        return always, int(all(once) or any(exact and there for exact, there in zip(once, held, strict=True)))

    def together(self, operand: int | None, ndim: int) -> tuple[int, ...]:
        """An event in any row of the right operand of a product of matrices reaches every row of the result."""
        if self.product == "matmul":
            return ((), (-2, -1))[operand] if operand is not None else (-1,)
        return (-1,)

    def share(self, elements: np.ndarray, shape: Shape, *operands: Shape) -> Share:
        """Of matrices, whole rows of the left and whole columns of the right, of some heads."""
        a, b = operands
        made, taken = (of_matrices if self.product == "matmul" else of_columns)(elements, shape, a, b)
        form: Multiplied = self.format
        node = replace(
            self, left_initial=picked(self.left_initial, a, taken[0]), right_initial=picked(self.right_initial, b, taken[1]),
            format=replace(
                form, left_unit=picked(form.left_unit, a, taken[0]), right_unit=picked(form.right_unit, b, taken[1])
            ),
        )  # fmt: skip
        return Share(node, made, taken)

    def _check_words(self, require: Require) -> None:
        require(self.coding in CODINGS, "coding", repr(self.coding), f"one of {CODINGS}")
        require(self.product in PRODUCTS, "product", repr(self.product), f"one of {PRODUCTS}")
        require(len(self.operands) == 2, "operands", len(self.operands), "2 of them")

    def _check_initial(self, name: str, require: Require) -> None:
        allowed = self.coding == "differential" or not np.any(getattr(self, name))
        require(allowed, name, "not zero", "zero in rate coding")

    def check(self, require: Require) -> None:
        self._check_words(require)
        for name in ("left_initial", "right_initial"):
            finite(self, name, require)
            self._check_initial(name, require)

    def check_format(self, require: Require) -> None:
        self._check_words(require)
        bits = self.format.state_bits
        for name in ("left_initial", "right_initial"):
            sound = within(getattr(self, name), -limit(bits), limit(bits))
            require(sound, name, "out of range", f"integers of {bits} bits")
            self._check_initial(name, require)

    def check_integer(self, operands: list[Shape], spiking: bool, bits: int, require: Any) -> None:
        form = self.format
        inner = operands[0][-1] if self.product == "matmul" and operands[0] else 1
        width = 2 * int(form.operand_bits) + int(inner).bit_length()
        sound = width + max(0, -int(form.shift)) <= EXACT_BITS + 8 and width <= EXACT_BITS
        require(sound, f"its products take {width} bits, more than the {EXACT_BITS} that are exact")

    def infer(self, a: Shape, b: Shape) -> Shape:
        broadcasts("left_initial", self.left_initial, a)
        broadcasts("right_initial", self.right_initial, b)
        if self.format is not None:
            broadcasts("left_unit", self.format.left_unit, a)
            broadcasts("right_unit", self.format.right_unit, b)
        if self.product == "multiply":
            return np.broadcast_shapes(a, b)
        fits(len(a) >= 2 and len(b) >= 2 and a[-1] == b[-2], f"matmul of {a} and {b}")
        return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])

    def work(self, shape: Shape, a: Shape, b: Shape) -> Work:
        dense = prod(shape) * (a[-1] if self.product == "matmul" else 1)
        fan_out = tuple((dense // max(prod(x), 1),) * 2 for x in (a, b))
        return Work(dense, fan_out, "product_readout", prod(shape))

    def state(self, shape: Shape, *operands: Shape) -> dict[str, Shape]:
        return dict(zip(("accumulator_left", "accumulator_right", "previous"), (*operands, shape), strict=True))

    def words(self, shape: Shape, *operands: Shape) -> int:
        """Besides the running sums of a product of matrices, which stand where weights do: those of one element by element,
        and the previous term in rate coding."""
        return (0 if self.layer == "matmul" else 2) + (self.coding == "rate")
