"""Placements at both ends of a chip's limits: a limit with a range makes a range of cores and chips."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ecmt_deploy.chips import Figure, Hardware
from ecmt_deploy.placement.result import Placement

#: limits of which more is more room; widths are not among them
_ROOM = (
    "cores_per_chip", "neurons_per_core", "fan_in_per_neuron", "synaptic_memory_bytes_per_core",
    "weights_per_entry_convolution", "weights_per_entry_dense", "state_memory_bytes_per_core", "memory_bytes_per_core",
    "input_axons_per_core", "output_axons_per_core",
)  # fmt: skip


class PlacementBand(NamedTuple):
    """A program on a chip: with the most room that its limits may have, as they are given, and with the least.

    Attributes
    ----------
    low : every limit at its high end, and layers divided at will: as a rule the fewest cores
    value : the placement as :func:`ecmt_deploy.place` gives it, with the ranges of cores and chips over all three
    high : every limit at its low end: as a rule the most cores
    """

    low: Placement
    value: Placement
    high: Placement

    @property
    def ends(self) -> tuple[Placement, ...]:
        """The placements at the ends that are another than the value's."""
        return tuple(each for each in (self.low, self.high) if each is not self.value)


def ends(hardware: Hardware) -> tuple[Hardware, Hardware]:
    """The chip with the most room, and with the least; the chip itself where no limit has a range."""
    halved = hardware.abilities.halved_layers
    free = msgspec.structs.replace(hardware.abilities, halved_layers=None) if halved is not None and halved.value else None
    roomy, tight = _limits(hardware, "high"), _limits(hardware, "low")
    if free is not None:
        roomy = msgspec.structs.replace(roomy, abilities=free)
    return roomy, tight


def _limits(hardware: Hardware, end: str) -> Hardware:
    known: dict[str, Figure | None] = {name: getattr(hardware.limits, name) for name in _ROOM}
    moved = {
        name: msgspec.structs.replace(figure, value=at, low=None, high=None)
        for name, figure in known.items()
        if figure is not None and (at := getattr(figure, end)) is not None and at != figure.value
    }
    if not moved:
        return hardware
    return msgspec.structs.replace(hardware, limits=msgspec.structs.replace(hardware.limits, **moved))


def banded(value: Placement, roomy: Placement, tight: Placement) -> PlacementBand:
    """The three together. Where more, or fewer, units fit on cores at an end, that is not compared with the value: it is left
    out, and this is said."""
    said = [
        f"At the {name} ends of the chip's limits {what} units fit on cores: ranges leave that end out."
        for name, what, end in (("high", "more", roomy), ("low", "fewer", tight))
        if _held(end) != _held(value)
    ]
    low, high = (end if _held(end) == _held(value) else value for end in (roomy, tight))
    chips = sorted(each.chips for each in (low, value, high) if each.chips is not None)
    cores = sorted(each.cores for each in (low, value, high))
    ranged = msgspec.structs.replace(
        value,
        cores_range=(cores[0], cores[-1]),
        chips_range=(chips[0], chips[-1]) if value.chips is not None else None,
        assumptions=(*value.assumptions, *said),
    )
    return PlacementBand(*(ranged if each is value else each for each in (low, value, high)))


def _held(placement: Placement) -> set[str]:
    """Nodes that lie on cores."""
    return {node for unit in placement.units if unit.cores for node in unit.nodes}
