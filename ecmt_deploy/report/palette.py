"""One colour and one hatch for each component of the energy, the same in every chart."""

from __future__ import annotations

from ecmt_deploy.report.svg import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

YELLOW, GREY, DARK, PALE = "#F0E442", "#999999", "#4d4d4d", "#e8ecef"
#: colour and hatch: whoever does not see the one sees the other
_LOOKS = {
    "synapse": (BLUE, ""),
    "product": (SKY, "////"),
    "mac": (VERMILION, "\\\\\\\\"),
    "neuron": (GREEN, "...."),
    "ecm": (PURPLE, "xxxx"),
    "routing": (ORANGE, "----"),
    "chip_crossing": (YELLOW, "||||"),
    "static": (GREY, "++++"),
}
_OTHERS = ((DARK, ""), (DARK, "////"), (DARK, "...."), (PALE, "\\\\\\\\"), (PALE, "xxxx"), (PALE, "oooo"))


def looks(names: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and hatch of each name; names that are no components take what is left, in alphabetical order."""
    others = sorted(set(names) - set(_LOOKS))
    return {name: _LOOKS[name] if name in _LOOKS else _OTHERS[others.index(name) % len(_OTHERS)] for name in names}
