"""Expectation compensation around a nonlinear function.

Source: *Towards High-performance Spiking Transformers from ANN to SNN Conversion* (Huang et al., ACM MM 2024) for ``rate``
coding; its increments for ``differential`` coding.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site
from ecmt_deploy.kernels.integer import Following
from ecmt_deploy.kernels.integers import divided, within
from ecmt_deploy.kernels.streams import WHOLE, Part, Stream, row_by_row, rows, width
from ecmt_deploy.program.functions import FUNCTIONS, Function
from ecmt_deploy.program.functions.integer import IntegerForm
from ecmt_deploy.program.ops.base import CODINGS, Op, Require, Shape, Work, broadcasts, fits, register
from ecmt_deploy.program.ops.format import Aligned
from ecmt_deploy.program.ops.movement import axis_of, from_front
from ecmt_deploy.program.ops.rows import PER_CHANNEL, parameters_of_rows
from ecmt_deploy.program.ops.share import Share, beside, elementwise, moved


class ECMKernel(Kernel):
    """Rate, y_t = t f(X_t / t) - (t-1) f(X_{t-1} / (t-1)); differential, y_t = f(X_t) - f(X_{t-1}), f(X_0) := 0.

    State: the accumulators X (one per operand) and the previous term, so f is evaluated once a step: in differential coding
    from t = 2 on of rows that an event reached, for of others it is what it was. Where f couples rows, of all or none.
    """

    memory = ("accumulators", "previous")
    #: whether all is evaluated, whatever an event reached
    restless = False

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        #: shape that the operands broadcast to, and whether a row of the result follows from the same row of each
        self.broadcast = np.broadcast_shapes(*site.operand_shapes)
        ndim, alike = len(self.broadcast), all(np.ndim(parameter) < 2 for parameter in node.parameters.values())
        self.by_rows = (
            ndim > 1 and alike and node.definition.coupled_axes(node.parameters, ndim) == (ndim - 1,)
            and self.broadcast[:-1] == site.shape[:-1]
        )  # fmt: skip

    @property
    def ecm_kind(self) -> str:
        """The function's name."""
        return str(self.node.function)

    def reset(self) -> None:
        self.accumulators = [self.zeros(shape) for shape in self.site.operand_shapes]
        self.previous = self.zeros(self.site.shape)

    def advance(self, t: int, *operands: Stream) -> Stream:
        evaluated, changed = self.count(operands)
        part = WHOLE if t == 1 or self.restless or self.node.coding == "rate" else Part(evaluated, width(self.broadcast))
        if part.empty:
            return Stream(self.zeros(self.site.shape), changed)
        arrived = zip(self.accumulators, operands, strict=True)
        self.accumulators = [self.accumulated(k, total, x.value) for k, (total, x) in enumerate(arrived)]
        totals = [part.of(total, self.broadcast) for total in self.accumulators]
        if part.rows is not None:  # axes are counted from the front
            totals = [total.reshape(-1, *[1] * (len(self.broadcast) - 2), self.broadcast[-1]) for total in totals]
        before = part.of(self.previous)
        value, now = self.update(self.term(t, totals).reshape(before.shape), before)
        self.previous = part.renewed(self.previous, now)
        return Stream(part.spread(value, self.site.shape), changed)

    def accumulated(self, operand: int, total: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The accumulator of an operand when what the step brings of it has arrived."""
        return total + x

    def term(self, t: int, totals: list[np.ndarray]) -> np.ndarray:
        """What is to have been sent after step ``t``."""
        evaluate, parameters = self.node.definition.evaluate, self.node.parameters
        if self.node.coding == "rate":
            steps = self.dtype.type(t)
            return np.asarray(steps * evaluate(parameters, *(total / steps for total in totals)))
        return evaluate(parameters, *totals)

    def update(self, term: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is sent where ``before`` was sent already, and what was sent then."""
        return term - before, term

    def count(self, operands: tuple[Stream, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Count the elements evaluated, and return which rows are (or, where they go together, whether any is), and the mask of
        the output."""
        shape = self.broadcast
        if self.node.coding == "rate":  # y_t depends on t itself
            reached = np.broadcast_to(np.True_, shape)
        else:
            reached = functools.reduce(np.logical_or, (np.broadcast_to(x.changed, shape) for x in operands))
        if self.by_rows:
            of_rows = row_by_row(reached)
            self.count_elements(int(np.count_nonzero(of_rows)) * shape[-1])
            return of_rows, np.broadcast_to(of_rows[..., None], self.site.shape)
        evaluated = rows(reached, self.node.definition.coupled_axes(self.node.parameters, len(shape)))
        self.count_elements(int(evaluated.sum()))
        reduced = tuple(i for i, (a, b) in enumerate(zip(shape, self.site.shape, strict=True)) if a != b)
        changed = rows(evaluated.any(axis=reduced, keepdims=True) if reduced else evaluated)
        return np.asarray(evaluated.any()), changed


class IntegerECMKernel(Following, ECMKernel):
    """The term is f(X_t), in rate coding t f(X_t / t); sent is its difference to all that was sent before.

    ``previous`` is the sum of everything sent, which equals the term before unless an output saturated.
    """

    def term(self, t: int, totals: list[np.ndarray]) -> np.ndarray:
        steps = t if self.node.coding == "rate" else 1
        means = [np.where(total == self.masked, self.masked, divided(total, steps)) for total in totals]
        evaluate, bits = self.node.integer.evaluate, int(self.node.format.state_bits)
        return self.saturated(steps * self.saturated(evaluate(self.node.parameters, bits, *means)))


@register
@dataclass(eq=False, repr=False)
class ECM(Op):
    """Expectation compensation around a nonlinear ``function`` (:mod:`ecmt_deploy.program.functions`). In an integer program
    ``parameters`` hold the tables and constants of its integer form."""

    arity: ClassVar[int | None] = None
    operands: tuple[str, ...]
    function: str
    coding: str
    parameters: dict[str, Any] = field(default_factory=dict)

    role = "function"
    fields = {"operands": "names", "function": "string", "coding": "string", "parameters": "parameters"}
    takes_masks = True
    format_type = Aligned
    kernel, integer_kernel = ECMKernel, IntegerECMKernel

    @property
    def definition(self) -> Function:
        """What the function is."""
        return FUNCTIONS[self.function]

    @property
    def integer(self) -> IntegerForm:
        """How an integer program computes it."""
        form = self.definition.integer
        assert isinstance(form, IntegerForm), "an integer node was checked to have one"
        return form

    @property
    def needs_code(self) -> str:
        return self.function

    detail = needs_code

    @property
    def keeps_format(self) -> bool:
        form = self.definition.integer
        return isinstance(form, IntegerForm) and form.keeps_format

    @property
    def every_step(self) -> bool:
        return self.coding == "rate"

    @property
    def finite(self) -> bool:
        return self.definition.finite

    @property
    def needs_exact(self) -> bool:
        return self.definition.needs_exact

    @property
    def exact_operands(self) -> tuple[int, ...]:
        return self.definition.exact_operands

    def fit(self, shape: Shape) -> None:
        axis = np.asarray(self.parameters.get("axis", 0.0))
        if axis.ndim == 0 and axis.dtype.kind == "i":
            self.parameters["axis"] = np.asarray(from_front(int(axis), len(shape)))

    def check(self, require: Require) -> None:
        require(self.coding in CODINGS, "coding", repr(self.coding), f"one of {CODINGS}")
        require(self.function in FUNCTIONS, "function", repr(self.function), f"one of {', '.join(FUNCTIONS)}")
        expected = self.definition.operands  # its parameters have rules of their own, which know the operand's shape
        require(len(self.operands) == expected, "operands", len(self.operands), f"{expected} of them")

    def check_format(self, require: Require) -> None:
        self.check(require)
        form = self.definition.integer
        if not isinstance(form, IntegerForm):
            require(False, "function", repr(self.function), f"one with an integer form: {form}")
            return
        require(
            set(self.parameters) == set(form.parameters), "parameters", sorted(self.parameters), str(sorted(form.parameters))
        )
        for key, bound in form.parameters.items():
            _check_parameter(key, np.asarray(self.parameters[key]), bound, require)
        p = self.parameters
        for key in ("shift", "weight_shift", "left_shift", "right_shift"):
            if key in p:  # so that no product shifted to the left leaves 63 bits
                least = -30 if "at_zero" in p else -4 if key == "weight_shift" else -12
                require(int(np.min(p[key])) >= least, f"parameter {key}", int(np.min(p[key])), f"at least {least}")
        for key in ("segment_bits", "fraction_bits", "epsilon"):
            if key in p:
                require(int(p[key]) >= 0, f"parameter {key}", int(p[key]), "not negative")
        wrong = form.check(p)
        require(wrong is None, "parameters", wrong, f"an integer {self.function}")

    def infer(self, *xs: Shape) -> Shape:
        if self.format is not None:
            return self._infer_integer(*xs)
        operand = np.broadcast_shapes(*xs)
        known: dict[str, Any] = {}
        for parameter in self.definition.parameters:
            if parameter.name not in self.parameters:
                fits(not parameter.required, f"parameter {parameter.name} is missing, expected {parameter.expected}")
                continue
            value = np.asarray(self.parameters[parameter.name])
            found = f"{value.item()}" if value.ndim == 0 else f"of shape {value.shape}, {value.dtype}"
            sound = parameter.holds(value, operand, known)
            fits(sound, f"parameter {parameter.name} is {found}, expected {parameter.expected}; the operand is {operand}")
            known[parameter.name] = value
        unknown = sorted(set(self.parameters) - set(known))
        fits(not unknown, f"parameters hold {unknown[:1]}, which {self.function} does not take")
        return self.definition.shape(known, list(xs))

    def _infer_integer(self, *xs: Shape) -> Shape:
        shape = self.definition.shape(self.parameters, list(xs))
        if "groups" in self.parameters:
            groups = int(self.parameters["groups"])
            fits(groups > 0 and shape[0] % groups == 0, f"{groups} groups of {shape}")
        for key in PER_CHANNEL:
            array = np.asarray(self.parameters.get(key, 0))
            if "groups" in self.parameters and array.ndim:
                fits(array.shape == shape[:1], f"{key} of shape {array.shape} on {shape}")
            else:
                broadcasts(key, array, shape)
        if "normalized_axes" in self.parameters:
            fits(0 < int(self.parameters["normalized_axes"]) <= len(shape), f"normalized_axes of {shape}")
        if "axis" in self.parameters:
            axis_of(int(self.parameters["axis"]), shape)
        return shape

    def work(self, shape: Shape, *xs: Shape) -> Work:
        return Work(kind=self.function, elements=prod(np.broadcast_shapes(*xs)))

    def state(self, shape: Shape, *operands: Shape) -> dict[str, Shape]:
        names = ["accumulator"] if len(operands) == 1 else [f"accumulator_{i}" for i in range(len(operands))]
        return {**dict(zip(names, operands, strict=True)), "previous": shape}

    def together(self, operand: int | None, ndim: int) -> tuple[int, ...]:
        axes = (ndim - 1,) if operand is None else self.definition.coupled_axes(self.parameters, ndim)
        return tuple(axis - ndim for axis in axes)

    def share(self, elements: np.ndarray, shape: Shape, *operands: Shape) -> Share:
        """Whole rows: those elements of each operand that one result depends on, one row after another."""
        grid = np.broadcast_shapes(*operands)
        axes = self.coupling(len(grid))
        if not axes:
            return elementwise(self, elements, shape, operands)
        whole = np.arange(prod(shape)).reshape(shape)
        if len(axes) == len(shape):  # one row
            return Share(self, whole, tuple(np.arange(prod(operand)).reshape(operand) for operand in operands))
        taken, made = moved(grid, axes), moved(shape, axes)
        rows = np.flatnonzero(np.isin(made[:, 0], elements))
        fits(made[rows].size == elements.size, f"{elements.size} elements are no whole rows of {shape}")
        parts = tuple(beside(taken[rows], grid, operand) for operand in operands)
        return Share(replace(self, parameters=parameters_of_rows(self, grid, taken[rows])), made[rows], parts)

    @property
    def reductions(self) -> int:
        return self.definition.reductions

    @property
    def maxima(self) -> int:
        return self.definition.maxima

    def coupling(self, ndim: int) -> tuple[int, ...]:
        return tuple(sorted(self.definition.axes(self.parameters, ndim)))


def _check_parameter(key: str, value: np.ndarray, bound: Any, require: Require) -> None:
    """One integer parameter: its magnitude, and how many there are."""
    most, entries = bound if isinstance(bound, tuple) else (bound, 0)
    require(within(value, -most, most), f"parameter {key}", "out of range", f"integers within +-{most}")
    if isinstance(bound, tuple):
        sound = value.ndim == 1 and (len(value) == entries if entries else 2 <= len(value) <= 2**16 + 1)
        require(sound, f"parameter {key}", f"of shape {value.shape}", f"{entries or 'at least 2'} entries")
    elif key not in PER_CHANNEL:
        require(value.ndim == 0, f"parameter {key}", f"of shape {value.shape}", "a single integer")
