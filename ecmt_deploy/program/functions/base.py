"""What a function is: everything that readers ask about it stands in its one file, and is registered here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecmt_deploy.program.functions.integer import IntegerForm
from ecmt_deploy.program.primitives import Primitives, Recipe, compensated

Array = np.ndarray
Parameters = Mapping[str, Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function, and the rule it keeps.

    Attributes
    ----------
    name : its key among the node's parameters
    expected : the rule in words, for errors
    holds : whether an array keeps the rule, given the operand's shape and the parameters before it in the function's list
    required : whether a node must have it
    """

    name: str
    expected: str
    holds: Callable[[np.ndarray, Shape, Parameters], bool]
    required: bool = True


@dataclass(frozen=True)
class Function:
    """A nonlinear function that an ECM may hold.

    Attributes
    ----------
    name : its name in files
    formula : the definition, in words of the field
    numpy : the arithmetic, called with parameters and operands, in the operands' dtype
    integer : how integer programs compute it; a sentence that says why none does
    operands : how many operands (they broadcast)
    parameters : what it takes besides; a rule may look at those before it
    axes : axes that one output element depends on, beyond elementwise, from parameters and number of axes
    reductions : sums over the coupled axes that one value takes (of softmax the maximum and the sum): 0 elementwise
    maxima : maxima over the coupled axes that the value is: 0 where it is none
    reduces : name of the parameter that is an axis which the value has in size 1
    sums_to_one : whether its values along its axis are shares of one, as those of a softmax
    finite : whether it is finite wherever its operands are, up to the largest number there is
    exact_operands : numbers of the operands that a small error would change altogether, as a mask, so that they must follow
        from tokens, masks and constants alone
    needs_exact : whether it is discontinuous (a comparison, an argmax), so that its operands must be exact: tokens, masks, and
        what follows from them alone. On anything else a small error of a stream would be a large one of the value
    aten : ATen operations without parameters of their own that are this function
    stands_for : a Python function of torch, by its path, that is captured as this function instead of the operations it is
        made of; it takes one tensor, and the function is elementwise
    elementary : whether it is arithmetic that modules write out, so that none of them is this function alone
    primitives, row_primitives : arithmetic and accesses of one element, and those that occur once per row, by the names of
        :mod:`~ecmt_deploy.program.primitives`, for chips that price these; empty where nobody has counted them
    example : parameters at which it is tested and shown
    """

    name: str
    formula: str
    numpy: Callable[..., Array]
    integer: IntegerForm | str
    operands: int = 1
    parameters: tuple[Parameter, ...] = ()
    axes: Callable[[Parameters, int], tuple[int, ...]] = lambda parameters, ndim: ()
    reductions: int = 0
    maxima: int = 0
    reduces: str | None = None
    sums_to_one: bool = False
    finite: bool = False
    needs_exact: bool = False
    exact_operands: tuple[int, ...] = ()
    aten: tuple[str, ...] = ()
    stands_for: str | None = None
    elementary: bool = False
    primitives: Primitives = field(default_factory=dict)
    row_primitives: Primitives = field(default_factory=dict)
    example: Parameters = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe | None:
        """What one element costs an ECM that holds the function; ``None`` where its primitives are not counted."""
        return compensated(self.primitives, self.row_primitives, self.operands) if self.primitives else None

    def evaluate(self, parameters: Parameters, *operands: Array) -> Array:
        """Value at ``operands``, in their dtype; infinities are legal in masks, so no warnings."""
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            result: Array = self.numpy(parameters, *operands)
            return result

    def shape(self, parameters: Parameters, shapes: list[Shape]) -> Shape:
        """Shape of the value for operands of ``shapes``; raises ``ValueError`` where they do not broadcast."""
        shape = list(np.broadcast_shapes(*shapes))
        if self.reduces is not None:
            shape[int(parameters[self.reduces])] = 1
        return tuple(shape)

    def coupled_axes(self, parameters: Parameters, ndim: int) -> tuple[int, ...]:
        """Axes that a changed element spreads over when it is evaluated, the last axis (the row) always among them."""
        axes = set(self.axes(parameters, ndim))
        return tuple(sorted(axes | {ndim - 1})) if ndim else ()


#: every function by its name
FUNCTIONS: dict[str, Function] = {}


def register(function: Function) -> Function:
    """Make a function known to whoever reads programs."""
    FUNCTIONS[function.name] = function
    return function


# --- rules of parameters --------------------------------------------------------------------------------------------------


def is_finite(value: np.ndarray) -> bool:
    """Whether these are finite numbers."""
    return value.dtype.kind in "fi" and bool(np.isfinite(value).all())


def is_integer(value: np.ndarray, low: int, high: int) -> bool:
    """Whether this is one integer from ``low`` to ``high``."""
    return value.ndim == 0 and value.dtype.kind == "i" and bool(low <= value <= high)


def number(name: str) -> Parameter:
    """A required parameter that may be any finite number."""
    return Parameter(name, "a finite number", lambda value, shape, p: value.ndim == 0 and is_finite(value))


def one_per(name: str, of: str, shape_of: Callable[[Shape, Parameters], Shape]) -> Parameter:
    """An optional array of finite numbers, one per ``of``."""

    def holds(value: np.ndarray, shape: Shape, p: Parameters) -> bool:
        return value.dtype.kind == "f" and value.shape == shape_of(shape, p) and is_finite(value)

    return Parameter(name, f"finite numbers, one per {of}", holds, required=False)


AXIS = Parameter("axis", "an axis of the operand", lambda value, shape, p: is_integer(value, -len(shape), len(shape) - 1))
EPS = Parameter(
    "eps",
    "a finite number that is not negative",
    lambda value, shape, p: value.ndim == 0 and is_finite(value) and bool(value >= 0),
)


def along_axis(parameters: Parameters, ndim: int) -> tuple[int, ...]:
    """The parameter ``axis``, for :attr:`Function.axes`."""
    return (int(parameters["axis"]) % ndim,)
