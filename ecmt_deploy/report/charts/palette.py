"""Colours, and one colour and one hatch for each component of the energy, the same in every chart."""

from __future__ import annotations

INK, SOFT, LINE = "#1f2933", "#5b6773", "#d9dee3"
#: Okabe and Ito's palette, without black and yellow, which is too light for a line: safe for colour-blind readers
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
YELLOW, GREY, DARK, PALE = "#F0E442", "#999999", "#4d4d4d", "#e8ecef"
WHITE = "#ffffff"
#: colours that follow the theme of a page, by the name of its variable: with them a chart is legible on dark ground
THEMED = {
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
    WHITE: "--paper",
    DARK: "--chart-dark",
    PALE: "--chart-pale",
    YELLOW.lower(): "--chart-yellow",
}
#: colour and hatch: whoever does not see the one sees the other (hatches of lines alone: dots make large files)
_LOOKS = {
    "synapse": (BLUE, ""),
    "product": (SKY, "////"),
    "mac": (VERMILION, "\\\\\\\\"),
    "neuron": (GREEN, "||||"),
    "ecm": (PURPLE, "xxxx"),
    "routing": (ORANGE, "----"),
    "chip_crossing": (YELLOW, "//"),
    "static": (GREY, "++++"),
    # views (a) and (c)
    "arithmetic": (BLUE, ""),
    "encoding": (VERMILION, "\\\\\\\\"),
    "memory": (DARK, "//"),
    "weight_memory": (DARK, "//"),
    "state_memory": (GREY, "++++"),
    "operand_memory": (SKY, "xxxx"),
    "delivery_memory": (ORANGE, "----"),
    "output_memory": (PALE, "----"),
}
_OTHERS = ((DARK, ""), (DARK, "////"), (DARK, "||||"), (PALE, "\\\\\\\\"), (PALE, "xxxx"), (PALE, "++"))


def looks(names: list[str]) -> dict[str, tuple[str, str, str]]:
    """Colour, hatch and the hatch's colour of each name; names that are no components take what is left, alphabetically."""
    others = sorted(set(names) - set(_LOOKS))
    chosen = {name: _LOOKS[name] if name in _LOOKS else _OTHERS[others.index(name) % len(_OTHERS)] for name in names}
    return {name: (colour, hatch, SOFT if colour in (YELLOW, PALE) else WHITE) for name, (colour, hatch) in chosen.items()}
