"""Frozen configuration of a conversion; every field has a default."""

from __future__ import annotations

import msgspec

from ecmt_deploy.errors import ConfigError


def require_timesteps(timesteps: int) -> None:
    """Refuse a number of steps below 1 with a :class:`ConfigError`."""
    if timesteps < 1:
        raise ConfigError(f"timesteps is {timesteps}; a program runs for at least 1 step")


class Preset(msgspec.Struct, frozen=True):
    """What a preset stands for.

    Attributes
    ----------
    coding : ``rate`` or ``differential``
    rule : firing rule of the neurons, ``paper`` or ``nearest``
    fraction : c of rule ``nearest``: a level fires at c times its value. Not dyadic, or an accumulated input that returns to
        zero leaves a membrane exactly on a threshold and rounding decides
    bases : ``percentile`` puts the smallest level at the 99th percentile of the calibration data (the paper's);
        ``maximum`` puts the largest level at the largest magnitude seen, per channel where a weight can absorb it
    analog_readout_layer : whether the last linear layer takes its operand analog, as the paper does
    """

    coding: str
    rule: str
    fraction: float
    bases: str
    analog_readout_layer: bool


PRESETS: dict[str, Preset] = {
    "paper": Preset("rate", "paper", 0.74, "percentile", True),
    "accurate": Preset("differential", "nearest", 0.74, "maximum", False),
}


class ConvertConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to convert a model.

    Attributes
    ----------
    preset : ``accurate`` (differential coding) or ``paper`` (rate coding, the method as published)
    timesteps : steps T the program is meant for; the default of every later run
    levels : levels n of each multi-threshold neuron (2n thresholds)
    budget : reserved for an event budget; only ``None`` is accepted for now

    Raises
    ------
    ConfigError
        if a value makes no sense.
    """

    preset: str = "accurate"
    timesteps: int = 4
    levels: int = 8
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError(f"preset is {self.preset!r}; choose one of {', '.join(sorted(PRESETS))}")
        require_timesteps(self.timesteps)
        if not 1 <= self.levels <= 32:
            raise ConfigError(f"levels is {self.levels}; choose 1 to 32")
        if self.budget is not None:
            raise ConfigError("budget is not implemented yet; leave it None")

    @property
    def recipe(self) -> Preset:
        """The preset's settings."""
        return PRESETS[self.preset]
