"""Which chips would take a model, before anything is measured: by what they can do, by payloads, and by room."""

from __future__ import annotations

import msgspec

from ecmt_deploy.conversion.checking import Unmeasured
from ecmt_deploy.conversion.choosing import choose
from ecmt_deploy.door import ChipLike, as_chip
from ecmt_deploy.errors import EcmtError
from ecmt_deploy.placement import obstacles, place
from ecmt_deploy.shown import Brief


class Suits(Brief, msgspec.Struct, frozen=True):
    """Whether a chip would take a model.

    Attributes
    ----------
    hardware, title : the chip
    takes : whether a program fits; ``None`` where the chip states no limits, so that nobody knows
    preset, spike_bits : the preset that pays least there, and the bits of its spikes; ``None`` where it runs none
    cores, chips : how many a program with the widest neurons takes, which measured ones do not exceed; ``None`` where it was
        not placed or nobody knows
    why : why the chip does not take it, a sentence each
    unshown : what the program asks of the chip that nobody has shown there, a sentence each
    """

    hardware: str
    title: str
    takes: bool | None
    preset: str | None = None
    spike_bits: int | None = None
    cores: int | None = None
    chips: int | None = None
    why: tuple[str, ...] = ()
    unshown: tuple[str, ...] = ()


def suits(made: Unmeasured, hardware: ChipLike) -> Suits:
    """Whether a chip takes a model, with the preset that pays least there.

    A chip that lacks an ability that the program needs is not placed on: it would take long, and say nothing.

    Raises
    ------
    HardwareError
        if there is no such chip.
    """
    chip = as_chip(hardware)
    try:
        choice = choose(chip).config
        program = made.program(choice)
    except EcmtError as error:
        return Suits(chip.name, chip.title, False, why=(str(error),))
    found = Suits(chip.name, chip.title, False, choice.name, choice.spike_bits)
    missing = tuple(obstacle.sentence for obstacle in obstacles.abilities(program, chip))
    if missing:
        return msgspec.structs.replace(found, why=missing)
    placed = place(program, chip)
    return msgspec.structs.replace(
        found,
        takes=placed.fits if placed.bounded or placed.obstacles else None,
        cores=placed.cores if placed.bounded else None,
        chips=placed.chips,
        why=tuple(obstacle.sentence for obstacle in placed.obstacles),
        unshown=placed.unshown,
    )
