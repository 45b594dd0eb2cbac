"""Which preset for a chip: of those that it can run, the one that pays least there.

What a preset pays follows from what it says of itself. A value costs at most one event a step, so it costs as many as the
preset has steps T; no chip's file has a price that grows with the payload, so that an event has one price, but a long payload
takes several packets. The presets are compared by T x packets per event, and the default preset comes first among equals.
"""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

from ecmt_deploy.chips import Hardware
from ecmt_deploy.config import DEFAULT_PRESET, ConvertConfig, Preset, find_preset, preset_names
from ecmt_deploy.door import ChipLike, as_chip
from ecmt_deploy.errors import ConfigError


class Choice(NamedTuple):
    """A preset with its options, and why it is the one, in a line."""

    config: Preset
    reason: str


def choose(hardware: ChipLike, preset: str | None = None, **options: Any) -> Choice:
    """The preset to convert with for a chip.

    Parameters
    ----------
    hardware : the chip, its name or file
    preset : the preset to use if the chip can run it; ``None`` for the one that pays least
    options : fields of the preset, as of :func:`ecmt_deploy.ConvertConfig`; presets without such an option are not considered

    Raises
    ------
    ConfigError
        if the chip cannot run the preset that is named, or no preset takes these options.
    HardwareError
        if there is no such chip.
    """
    chip = as_chip(hardware)
    if preset is not None:
        config = for_chip(ConvertConfig(preset, **options), chip)
        return Choice(config, f"{_carries(chip)}: preset {config.name}, {_events(config)}")
    bits = _payload_bits(chip)
    able = [name for name in preset_names() if find_preset(name).least_payload_bits <= (bits or 1)]
    # the default first: its complaint about the options is the one that is heard
    found, complaint = [], None
    for name in sorted(able, key=lambda name: (name != DEFAULT_PRESET, name)):
        try:
            found.append(for_chip(ConvertConfig(name, **options), chip))
        except ConfigError as error:
            complaint = complaint or error
    if not found:
        raise complaint or ConfigError(f"{chip.name} runs none of the presets {', '.join(preset_names())}; name one")
    config = min(found, key=lambda config: _cost(config, chip))
    return Choice(config, f"{_carries(chip)}: preset {config.name}, {_events(config)}")


def for_chip(config: Preset, hardware: ChipLike) -> Preset:
    """The same for the payloads of a chip's spikes; where these are unknown, they are taken as wide enough.

    Raises
    ------
    ConfigError
        if the chip cannot run programs of it.
    """
    chip = as_chip(hardware)
    bits = _payload_bits(chip)
    if bits is None:
        return config
    try:
        return config.within(bits)
    except ConfigError as error:
        raise ConfigError(f"{_carries(chip)}: {error}") from None


def _payload_bits(chip: Hardware) -> int | None:
    figure = chip.limits.graded_payload_bits
    return None if figure is None else int(figure.value)


def _cost(config: Preset, chip: Hardware) -> int:
    """Packets that a value takes at most, with the preset's own number of steps: it has one accuracy in mind, whatever T is
    asked for."""
    room, binary = chip.limits.payload_bits_per_packet, _payload_bits(chip) == 1
    packets = 1 if room is None or binary else ceil(config.spike_bits / room.value)
    return type(config)().timesteps * packets


def _carries(chip: Hardware) -> str:
    bits = _payload_bits(chip)
    if bits is None:
        return f"what spikes of {chip.name} carry is unknown"
    return f"{chip.name} carries payloads of {bits} bits" if bits > 1 else f"spikes of {chip.name} carry no payload"


def _events(config: Preset) -> str:
    return "one event per value" if config.timesteps == 1 else f"at most {config.timesteps} events per value"
