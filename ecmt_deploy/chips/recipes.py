"""Prices of functions by recipe: how often each primitive of an element occurs, times what a chip's file says it costs."""

from __future__ import annotations

from collections.abc import Mapping

from ecmt_deploy.chips.schema import Figure, Hardware, Method, Price
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.ops import OPS
from ecmt_deploy.program.primitives import ACCESSES, ARITHMETIC, Recipe

#: what an element of each kind of elementwise work is made of; of a function ``None`` where nobody has counted it
RECIPES: dict[str, Recipe | None] = {
    **{name: function.recipe for name, function in FUNCTIONS.items()},
    **{op.kernel.ecm_kind: op.recipe for op in OPS.values() if isinstance(getattr(op.kernel, "ecm_kind", None), str)},
}
#: elements of a row that share what occurs once per row: few, so that longer rows cost less than this says
ROW = 16
#: formats that hold a state, the widest first
WIDTHS = ("fp32", "fp16", "int32")


def function_prices(chip: Hardware) -> dict[str, Price]:
    """Prices of functions, ``ecm_op_pj.gelu`` and so on, from the chip's arithmetic, as far as its file prices that.

    The low end is arithmetic alone, as if everything stayed in registers; the value has every load and store, and work that
    occurs once per row shared by :data:`ROW` elements; the high end is rate coding. Without prices of loads and stores they
    are left out, and the price is a lower bound. What the file itself prices is not among these.
    """
    width = widest(chip)
    if width is None:
        return {}
    made = by_recipe(primitives(chip, width), f"recipes, {width} operations", "derived", "C")
    return {name: price for name, price in made.items() if name not in chip.prices}


def widest(chip: Hardware) -> str | None:
    """The widest format of a state in which the chip's file prices an add and a multiply; ``None`` where it prices none."""
    return next((w for w in WIDTHS if {f"{w}_add_pj", f"{w}_mul_pj"} <= chip.operations.keys()), None)


def primitives(chip: Hardware, width: str) -> dict[str, Figure]:
    """What each primitive costs in one format.

    A compare without a price is a subtraction; a load, a store or a table without one is an access to the smallest memory of
    the file's memory model, in proportion to the width.
    """
    operations, memory = chip.operations, chip.memory
    found = {name: operations[key] for name in (*ARITHMETIC, *ACCESSES) if (key := f"{width}_{name}_pj") in operations}
    found.setdefault("compare", found["add"])
    if memory is not None:
        bits = int(width.lstrip("intfp"))
        for name in ACCESSES:
            found.setdefault(name, scaled(memory.sram[0].access, bits / memory.access_bits.value))
    if "load" in found:
        found.setdefault("table", found["load"])
    return found


def scaled(figure: Figure, low: float, value: float | None = None, high: float | None = None) -> Figure:
    """A figure times a factor, or a factor with a range."""
    value = low if value is None else value
    least, most = figure.span
    return Figure(
        value=figure.value * value, low=least * low, high=most * (value if high is None else high), unit=figure.unit,
        source=figure.source, method="derived", grade="C",
    )  # fmt: skip


def by_recipe(costs: Mapping[str, Figure], where: str, method: Method, grade: str) -> dict[str, Price]:
    """Prices of all kinds whose arithmetic has a price, from what each primitive costs."""
    found = {}
    for kind, recipe in RECIPES.items():
        if recipe is None or any(name not in costs for name in ARITHMETIC if name in {**recipe.element, **recipe.row}):
            continue
        element, row, rate = ({n: k for n, k in part.items() if n in costs} for part in recipe)
        used = {name: costs[name] for name in {**element, **row}}
        terms = [f"{times} * {costs[name].value:.12g}" for name, times in element.items()]
        shared = [f"{times} * {costs[name].value:.12g} / {ROW}" for name, times in row.items()]
        found[f"ecm_op_pj.{kind}"] = Price(
            value=sum(k * costs[n].value for n, k in element.items()) + sum(k * costs[n].value for n, k in row.items()) / ROW,
            low=sum(k * costs[n].span[0] for n, k in element.items() if n in ARITHMETIC),
            high=sum(k * costs[n].span[1] for part in (element, rate) for n, k in part.items())
            + sum(k * costs[n].span[1] for n, k in row.items()) / ROW,
            unit="pJ",
            source=tuple(dict.fromkeys(key for figure in used.values() for key in figure.source)),
            where=where,
            method=method,
            grade=grade,  # type: ignore[arg-type]
            bound="exact" if all(name in costs for name in ACCESSES) else "lower",
            derivation=" + ".join(terms + shared),
        )
    return found
