"""What a chip's file can answer, in a few words; as a program, the table of all chips in docs/chips.md."""

from __future__ import annotations

from collections.abc import Sequence

from ecmt_deploy.chips.schema import KINDS, Hardware, covered

#: what can be priced, with the prices it takes
_PARTS = {
    "synapses": ("synop_pj",),
    "neurons": ("neuron_update_active_pj", "neuron_update_idle_pj", "spike_pj"),
    "routing": ("message_pj", "message_in_pj", "tile_pj", "hop_ew_pj", "hop_ns_pj"),
    "chip crossings": ("chip_crossing_pj",),
    "static power": ("static_mw",),
}
#: what a step takes on chips without a clock tick of their own, besides its barrier
_TIMES = ("synop_ns", "neuron_update_active_ns", "neuron_update_idle_ns")


def priced(chip: Hardware) -> list[str]:
    """What the chip's file has prices, times or memories for, in words; ``(part)`` where some are missing."""
    within = covered(chip)
    answers = {
        part: [getattr(chip.prices, name) is not None or name in within for name in names] for part, names in _PARTS.items()
    }
    answers["functions"] = [kind in chip.prices.ecm_op_pj for kind in KINDS]
    times = [bool(chip.times.barrier), *(getattr(chip.times, name) is not None for name in _TIMES)]
    answers["time"] = [True] if chip.times.step_ns is not None else times
    answers["memory"] = [chip.memory is not None]
    return [part if all(known) else f"{part} (part)" for part, known in answers.items() if any(known)]


def size(chip: Hardware) -> str:
    """Cores of a chip and chips of the largest system, as far as they are known."""
    cores, chips = chip.limits.cores_per_chip, chip.limits.chips
    if cores is None:
        return ""
    return f"{cores.value:,.0f}" + (f" x {chips.value:,.0f}" if chips is not None and chips.value > 1 else "")


def markdown(chips: Sequence[Hardware]) -> str:
    """The table of docs/chips.md."""
    rows = [
        "| name | chip | cores (x chips) | neurons per core | memory per core | priced |",
        "|---|---|---|---|---|---|",
    ]
    for chip in chips:
        limits = chip.limits
        memory = limits.memory_bytes_per_core or limits.synaptic_memory_bytes_per_core
        cells = [
            f"`{chip.name}`",
            chip.title,
            size(chip),
            f"{limits.neurons_per_core.value:,.0f}" if limits.neurons_per_core else "",
            f"{memory.value / 1024:,.1f} KiB".replace(".0 ", " ") if memory else "",
            ", ".join(priced(chip)),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    from ecmt_deploy.chips import available, hardware

    print(markdown([hardware(name) for name in available()]), end="")
