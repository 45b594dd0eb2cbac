"""Frozen configuration of a conversion; every field has a default."""

from __future__ import annotations

import msgspec

from ecmt_deploy.errors import ConfigError


def require_timesteps(timesteps: int) -> None:
    """Refuse what is no number of steps, of at least 1, with a :class:`ConfigError`."""
    if not hasattr(timesteps, "__index__"):
        raise ConfigError(f"timesteps is {timesteps!r}; expected a whole number")
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
    bases : ``published`` puts the smallest level at the 99th percentile of the calibration data, as the paper does;
        ``sensitivity`` puts it where the readout's error is worth the spikes, and lets neurons spike only what is not expected
    levels : most levels a neuron has where the configuration does not say
    analog_readout_layer : whether the last linear layer takes its operand analog, as the paper does
    """

    coding: str
    rule: str
    fraction: float
    bases: str
    levels: int
    analog_readout_layer: bool


#: room for the streams of the torch engine unless one says otherwise
MEMORY_BYTES = 2**30
#: what the torch engine computes in
DTYPES = ("float32", "float64", "bfloat16")

PRESETS: dict[str, Preset] = {
    "paper": Preset("rate", "paper", 0.74, "published", 8, True),
    "accurate": Preset("differential", "nearest", 0.74, "sensitivity", 15, False),
}


class ConvertConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to convert a model.

    Attributes
    ----------
    preset : ``accurate`` (differential coding) or ``paper`` (rate coding, the method as published)
    timesteps : steps T the program is meant for, and ``accurate`` is tuned for; the default of every later run
    levels : levels n of each multi-threshold neuron (2n thresholds): in ``paper`` 8 unless said, in ``accurate`` as many as its
        range needs and at most this many (15 unless said, what a payload of 16 bits can tell apart)
    budget : most synaptic events per MAC after ``timesteps`` steps, for ``accurate``; ``None`` is as many as a good answer
    needs
    mlp_bases : bases of the neurons before the second layer of an MLP with GELU, for ``paper``: ``fixed`` to 0.25 and 0.08, or
        ``measured`` like all others; ``None`` is ``fixed`` in a plain vision transformer and ``measured`` in any other model,
        as in the authors' code

    Raises
    ------
    ConfigError
        if a value makes no sense.
    """

    preset: str = "accurate"
    timesteps: int = 4
    levels: int | None = None
    budget: float | None = None
    mlp_bases: str | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError(f"preset is {self.preset!r}; choose one of {', '.join(sorted(PRESETS))}")
        require_timesteps(self.timesteps)
        if self.levels is not None and not 1 <= self.levels <= 32:
            raise ConfigError(f"levels is {self.levels}; choose 1 to 32")
        if self.budget is not None and self.recipe.bases == "published":
            raise ConfigError(f"preset {self.preset} has no budget: its bases are as published; choose preset accurate")
        if self.budget is not None and not 0 < self.budget < float("inf"):
            raise ConfigError(
                f"budget is {self.budget:g}; choose a positive number of synaptic events per MAC, for example 1.0"
            )
        if self.mlp_bases not in (None, "fixed", "measured"):
            raise ConfigError(f"mlp_bases is {self.mlp_bases!r}; choose fixed or measured")
        if self.mlp_bases is not None and self.recipe.bases != "published":
            raise ConfigError(f"preset {self.preset} has no mlp_bases: all its bases are tuned; choose preset paper")

    @property
    def recipe(self) -> Preset:
        """The preset's settings."""
        return PRESETS[self.preset]

    @property
    def level_limit(self) -> int:
        """Levels of a neuron, at most."""
        return self.recipe.levels if self.levels is None else self.levels


class Execution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the torch engine runs a program.

    Attributes
    ----------
    device : ``cpu``, ``cuda``, or ``None`` for a GPU where there is one
    dtype : ``float32``, ``float64``, ``bfloat16``, or ``None`` for the program's own
    memory_bytes : room for streams; a batch that needs more runs in pieces
    compiled : whether neurons run as fused kernels

    Raises
    ------
    ConfigError
        if a value makes no sense.
    """

    device: str | None = None
    dtype: str | None = None
    memory_bytes: int = MEMORY_BYTES
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in (None, *DTYPES):
            raise ConfigError(f"dtype is {self.dtype!r}; choose one of {', '.join(DTYPES)}")
        if self.memory_bytes < 1:
            raise ConfigError(f"memory is {self.memory_bytes} bytes; streams need some room, for example 1 GiB")
