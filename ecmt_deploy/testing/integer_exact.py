"""Tokens and masks in an integer program that is drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.program import ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.functions.integer import Formats, IntegerForm
from ecmt_deploy.program.inputs import NamedInput

if TYPE_CHECKING:
    from ecmt_deploy.testing.integer_programs import Builder

#: share of the programs that have such inputs
NAMED_SHARE = 0.3
#: functions with an integer form whose operand must be exact
NEEDS_EXACT = [
    name for name, function in FUNCTIONS.items()
    if function.needs_exact and function.operands == 1 and isinstance(function.integer, IntegerForm)
]  # fmt: skip
ZERO = np.zeros((), np.int8)


def begin(b: Builder, r: np.random.Generator, shape: tuple[int, int]) -> list[NamedInput]:
    """Token ids, the rows of a table that they choose, and a mask that some of them are multiplied by.

    Parameters
    ----------
    b : a program without any node; its stream is then that of the product (*shape)
    r : what is drawn comes from here alone
    """
    rows, columns = shape
    bits = int(r.choice([5, 16, 18]))
    limit = int(r.integers(2, 12))
    ids = NamedInput("00.input", (rows,), "tokens", limit)
    mask = NamedInput("01.input", (rows,), "mask")
    for entry in (ids, mask):
        format = ops.NumberFormat(exponent=0, state_bits=bits)
        node = ops.Input({"input": np.array(entry.shape)}, holds=entry.holds, limit=entry.limit, format=format)
        b.add(node, shape=entry.shape)
    rows_form = ops.LookedUp(
        weight_bits=8, multiplier=r.integers(2**14, 2**15, size=columns).astype(np.int16),
        shift=r.integers(2, 20, size=columns).astype(np.int8), operand_exponents=np.array([0]), exponent=-12, state_bits=24,
    )  # fmt: skip
    table = r.integers(-128, 128, size=(limit, columns)).astype(np.int8).clip(-127, 127)
    words = b.add(ops.Embedding(table, format=rows_form), ids.name, shape=(rows, columns))
    if b.coding == "rate":
        b.hold()
    neuron = b.neuron()
    exact = exact_function(b, r, mask.name)
    if r.random() < 0.5:
        sides, one = (exact, exact_function(b, r, ids.name)), np.asarray(1)
        form = multiplied(one, right_shift=0, left_shift=0, shift=int(r.integers(-4, 8)))
        exact = b.add(ops.ECMProduct(sides, "multiply", "differential", ZERO, ZERO, format=form), *sides)
    column = b.add(ops.Reshape(np.array([rows, 1])), exact, shape=(rows, 1), exponent=b.exponents[exact])
    if b.coding == "rate":
        b.hold()
        column = b.stream
    fires: Any = b.nodes[neuron]
    form, sides = multiplied(fires.unit, left_shift=6, right_shift=0, shift=int(r.integers(0, 8))), (neuron, column)
    b.add(ops.ECMProduct(sides, "multiply", b.coding, ZERO, ZERO, format=form), *sides, shape=b.shapes[words])
    return [ids, mask]


def multiplied(left_unit: np.ndarray, **shifts: int) -> ops.Multiplied:
    """The format of a product whose right operand is analog."""
    one = np.asarray(1)
    return ops.Multiplied(left_unit=left_unit, right_unit=one, operand_bits=16, exponent=-12, state_bits=24, **shifts)


def exact_function(b: Builder, r: np.random.Generator, source: str) -> str:
    """A function of exact operands alone on an exact stream, where there is one with an integer form; its name."""
    if not NEEDS_EXACT:
        return source
    name = str(r.choice(NEEDS_EXACT))
    shape: tuple[int, ...] = b.shapes[source]
    form: Any = FUNCTIONS[name].integer
    given = {key: np.asarray(value) for key, value in FUNCTIONS[name].example.items()}
    exponent = b.exponents[source] if form.keeps_format else -8
    made = form.parameters_for(given, Formats([b.exponents[source]], exponent, 1.0, 24, shape))
    format = ops.Aligned(operand_exponents=np.array([b.exponents[source]]), exponent=exponent, state_bits=24)
    result = FUNCTIONS[name].shape(made, [shape])
    found = b.add(ops.ECM((source,), name, "differential", made, format=format), source, shape=result)
    if result == shape:
        return found
    return b.add(ops.Expand(np.array(shape)), found, shape=shape, exponent=exponent)


def samples(r: np.random.Generator, inputs: list[NamedInput], count: int) -> np.ndarray:
    """Packed samples, float64."""
    drawn = [r.integers(0, (entry.largest or 0) + 1, size=(count, *entry.shape)) for entry in inputs]
    return np.concatenate([values.reshape(count, -1) for values in drawn], axis=1).astype(np.float64)
