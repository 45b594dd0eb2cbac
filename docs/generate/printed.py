"""Tables that commands print, put into the documents: what chips can price, and functions by recipe (docs/chips.md), what
functions are assumed to cost, and the comparison with SANA-FE (docs/energy.md, where SANA-FE is installed).

    python -m docs.generate.printed
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from docs.generate.documents import put, table
from ecmt_deploy.chips import Hardware, available, hardware
from ecmt_deploy.chips.overview import priced, size
from ecmt_deploy.chips.recipes import RECIPES, function_prices
from ecmt_deploy.estimation.assumed import assumed_prices
from ecmt_deploy.estimation.nodes import UNSTATED_V
from ecmt_deploy.report import units

#: functions that are shown as examples
SHOWN = ("gelu", "softmax", "layer_norm")
DOCS = Path(__file__).parents[2] / "docs"


def chips() -> list[str]:
    """The table of the chips that come with the project."""
    rows = []
    for chip in map(hardware, available()):
        limits = chip.limits
        neurons, memory = limits.neurons_per_core, limits.memory_bytes_per_core or limits.synaptic_memory_bytes_per_core
        held = [
            f"{neurons.value:,.0f}" if neurons else "",
            f"{units.kib(memory.value).removesuffix('.0')} KiB" if memory else "",
        ]
        rows.append([f"`{chip.name}`", chip.title, size(chip), *held, ", ".join(priced(chip))])
    return table(["name", "chip", "cores (x chips)", "neurons per core", "memory per core", "priced"], rows)


def recipes() -> list[str]:
    """The recipe of every kind of elementwise work, and its price on the chips that have the arithmetic."""
    priced_by = {chip.name: prices for chip in map(hardware, available()) if (prices := function_prices(chip))}
    rows = []
    for kind, recipe in RECIPES.items():
        if recipe is not None:
            prices = (made[f"ecm_op_pj.{kind}"] for made in priced_by.values())
            bands = [f"{price.low:.3g}, {price.value:.3g}, {price.high:.3g}" for price in prices]
            rows.append([f"`{kind}`", *map(_amounts, recipe), *bands])
    names = [f"`{name}`, pJ: low, value, high" for name in priced_by]
    return table(["kind", "an element", "once per row", "in rate coding", *names], rows)


def assumed() -> list[str]:
    """What functions are assumed to cost on chips that state their process and the memory of a core."""
    arithmetic, rows = hardware("horowitz45"), []
    for chip in map(hardware, available()):
        prices, own = assumed_prices(chip, arithmetic), function_prices(chip)
        if prices and chip.node_nm is not None:
            volts = f"{chip.supply_v.value:g}" if chip.supply_v is not None else f"{UNSTATED_V:g} to {_volts(arithmetic)}"
            made = [f"{p.low:.2g}, {p.value:.2g}, {p.high:.2g}" for p in (prices[f"ecm_op_pj.{kind}"] for kind in SHOWN)]
            known = ", ".join(f"{own[f'ecm_op_pj.{kind}'].value:.3g}" for kind in SHOWN) if own else ""
            rows.append([f"`{chip.name}`", f"{chip.node_nm.value:g}", volts, *made, known])
    heads = [f"`{kind}`, pJ: low, value, high" for kind in SHOWN]
    return table(["chip", "nm", "V", *heads, "its own prices, pJ"], rows)


def _volts(chip: Hardware) -> str:
    return "" if chip.supply_v is None else f"{chip.supply_v.value:g}"


def _amounts(part: Mapping[str, int]) -> str:
    return ", ".join(f"{times} {name}" for name, times in part.items())


def main() -> None:
    """Write all."""
    put(DOCS / "chips.md", "overview", chips())
    put(DOCS / "chips.md", "recipes", recipes())
    put(DOCS / "energy.md", "assumed", assumed())
    if find_spec("sanafe") is None:
        print("docs/energy.md: the comparison stays as it is; SANA-FE is not installed (extra crosscheck)")
        return
    import torch

    from tests.support import sanafe_comparison

    torch.set_num_threads(1)  # several round in another order
    put(DOCS / "energy.md", "sanafe", sanafe_comparison.table().splitlines())
    put(DOCS / "energy.md", "sanafe, all blocks", sanafe_comparison.whole().splitlines())


if __name__ == "__main__":
    main()
