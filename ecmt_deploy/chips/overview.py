"""What a chip's file can answer, in a few words."""

from __future__ import annotations

from ecmt_deploy.chips.actions import ACTIONS, COMPONENTS, FUNCTION_PRICES
from ecmt_deploy.chips.recipes import function_prices
from ecmt_deploy.chips.schema import Hardware, component_of, covered

#: components in words
_PARTS = {"synapse": "synapses", "neuron": "neurons", "chip_crossing": "chip crossings", "static": "static power"}
#: what a step takes on chips without a clock tick of their own, besides its barrier
_TIMES = ("synop_ns", "neuron_update_active_ns", "neuron_update_idle_ns")


def priced(chip: Hardware) -> list[str]:
    """What the chip's file has prices, times or memories for, in words; ``(part)`` where some are missing."""
    known = chip.prices.keys() | covered(chip.prices).keys() | function_prices(chip).keys()
    answers: dict[str, list[bool]] = {}
    for component in ("synapse", "neuron", "routing", "chip_crossing", "static"):
        usual = [entry.price for name, entry in ACTIONS.items() if entry.component == component and "." not in name]
        answers[_PARTS.get(component, component)] = [price in known for price in usual if price]
    answers["functions"] = [name in known for name in FUNCTION_PRICES]
    own = (component_of(name) for name, price in chip.prices.items() if price.per)
    answers |= {component: [True] for component in own if component not in COMPONENTS}
    times = [bool(chip.barrier), *(name in chip.times for name in _TIMES)]
    answers["time"] = [True] if "step_ns" in chip.times else times
    answers["memory"] = [chip.memory is not None]
    return [part if all(known) else f"{part} (part)" for part, known in answers.items() if any(known)]


def size(chip: Hardware) -> str:
    """Cores of a chip and chips of the largest system, as far as they are known."""
    cores, chips = chip.limits.cores_per_chip, chip.limits.chips
    if cores is None:
        return ""
    return f"{cores.value:,.0f}" + (f" x {chips.value:,.0f}" if chips is not None and chips.value > 1 else "")
