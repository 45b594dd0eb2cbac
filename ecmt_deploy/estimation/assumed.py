"""Prices of functions for chips that publish none: recipes at 45 nm, scaled to the chip's process. Never in a total unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ecmt_deploy.chips import Hardware, Price
from ecmt_deploy.chips.recipes import by_recipe, primitives, scaled, widest
from ecmt_deploy.chips.schema import Figure
from ecmt_deploy.estimation.bill import band
from ecmt_deploy.estimation.memory import access_pj
from ecmt_deploy.estimation.nodes import scaling
from ecmt_deploy.estimation.result import NOTHING, Band, Row

#: the component that assumed prices are charged to where they are asked for
COMPONENT = "assumed_functions"


def assumed_prices(chip: Hardware, arithmetic: Hardware) -> dict[str, Price]:
    """Prices of functions by recipe, ``ecm_op_pj.gelu`` and so on, from ``arithmetic`` scaled to the chip; grade D.

    The low end is arithmetic alone at the least scale, value and high end have every load and store, in a memory as large as
    a core's. Empty where the chip states no process or no memory, or the arithmetic is not that of a known process.
    """
    limits = chip.limits
    memory = limits.memory_bytes_per_core or limits.state_memory_bytes_per_core or limits.synaptic_memory_bytes_per_core
    if chip.node_nm is None or memory is None:
        return {}
    if arithmetic.node_nm is None or arithmetic.supply_v is None or arithmetic.memory is None:
        return {}
    factor = scaling(chip.node_nm, chip.supply_v, arithmetic.node_nm, arithmetic.supply_v)
    width = widest(arithmetic)
    if factor is None or width is None:
        return {}
    access = access_pj(arithmetic.memory, memory.value, int(width.lstrip("intfp")))
    costs = primitives(arithmetic, width)
    costs |= {name: _of_size(costs[name], access) for name in ("load", "store", "table")}
    at_node = {name: scaled(cost, factor.low, factor.value, factor.high) for name, cost in costs.items()}
    where = f"recipes, {width} operations of {arithmetic.name} scaled to {chip.node_nm.value:g} nm"
    return by_recipe(at_node, where, "assumed", "D")


def _of_size(cost: Figure, access: float) -> Figure:
    return msgspec.structs.replace(cost, value=access, low=None, high=None)


def assume(rows: Iterable[Row], prices: Mapping[str, Price], charge: bool) -> tuple[list[Row], Band | None]:
    """Rows, and what their unpriced functions cost at assumed prices: ``None`` where there are none, or no prices.

    Parameters
    ----------
    prices : by name, ``ecm_op_pj.gelu`` and so on
    charge : whether they are charged, to a component of their own, and then no longer unpriced
    """
    kept, total = [], NOTHING
    for row in rows:
        known = {name: prices[key] for name in row.unpriced if (key := name.replace("ecm_ops.", "ecm_op_pj.")) in prices}
        cost = sum((band(price) * row.unpriced[name] for name, price in known.items()), NOTHING)
        total = total + cost
        if charge and known:
            unpriced = {name: amount for name, amount in row.unpriced.items() if name not in known}
            bounds = tuple(sorted({*row.bounds, *(price.bound for price in known.values())}))
            components = {**row.components_pj, COMPONENT: cost}
            sources = tuple(sorted({*row.sources, *(key for price in known.values() for key in price.source)}))
            row = msgspec.structs.replace(row, components_pj=components, unpriced=unpriced, bounds=bounds, sources=sources)
        kept.append(row)
    return kept, None if total == NOTHING else total
