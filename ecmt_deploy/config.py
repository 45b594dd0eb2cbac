"""Frozen configurations: of a conversion, which is a preset with its options, and of the torch engine.

A preset is one module of :mod:`ecmt_deploy.conversion.calibration`, or an entry point of the group ``ecmt_deploy.presets`` in
another package. Its name is that of the module or of the entry point, and is known without importing it (docs/presets.md).
"""

from __future__ import annotations

from importlib import import_module
from math import ceil, log2
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

    import numpy as np
    from torch import Tensor, nn

    from ecmt_deploy.conversion.lowering import Lowered
    from ecmt_deploy.program import Program
    from ecmt_deploy.program.ops import Op

#: room for the streams of the torch engine unless one says otherwise
MEMORY_BYTES = 2**30
#: what the torch engine computes in
DTYPES = ("float32", "float64", "bfloat16")

#: samples to calibrate on where nobody says how many
CALIBRATION_SAMPLES = 64
#: the preset where nobody names one; it needs no payloads
DEFAULT_PRESET = "accurate"
GROUP = "ecmt_deploy.presets"
_FOLDER = "ecmt_deploy.conversion.calibration"


def require_timesteps(timesteps: int, what: str = "timesteps") -> None:
    """Refuse what is no number of steps, of at least 1, with a :class:`ConfigError` that says ``what`` it is."""
    if not hasattr(timesteps, "__index__"):
        raise ConfigError(f"{what} is {timesteps!r}; expected a whole number")
    if timesteps < 1:
        raise ConfigError(f"{what} is {timesteps}; a program runs for at least 1 step")


def require_budget(budget: float | None) -> None:
    """Refuse a budget of synaptic events per MAC that is no positive number, with a :class:`ConfigError`."""
    if budget is not None and not 0 < budget < float("inf"):
        raise ConfigError(f"budget is {budget:g}; choose a positive number of synaptic events per MAC, for example 1.0")


class Preset(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """How to convert: fields are options, class attributes say what the preset stands for, ``calibrate`` makes the program.

    A preset derives from this class, and checks its own options in ``__post_init__``. The program keeps them, so their values
    are numbers, words or truth values.

    Attributes
    ----------
    name : what the preset is called, as it is registered
    coding : coding of its programs, ``rate`` or ``differential``
    most_levels : levels n of a neuron (2n thresholds), at most, where ``levels`` does not say
    analog_readout_layer : whether the last linear layer takes its operand analog
    streams : whether ``calibrate`` takes the frames of a clip, ``frames`` (F, *input shape), to tune the program for streams
    least_payload_bits : bits that a chip's spikes must carry for it to be chosen there by itself; 1: none
    timesteps : steps T the program is meant for; the default of every later run
    levels : levels of a neuron, at most; ``None`` is ``most_levels``
    """

    name: ClassVar[str]
    coding: ClassVar[str]
    most_levels: ClassVar[int]
    analog_readout_layer: ClassVar[bool] = False
    least_payload_bits: ClassVar[int] = 1
    streams: ClassVar[bool] = False

    timesteps: int = 4
    levels: int | None = None

    def __post_init__(self) -> None:
        require_timesteps(self.timesteps)
        if self.levels is not None and not 1 <= self.levels <= 32:
            raise ConfigError(f"levels is {self.levels}; choose 1 to 32")

    @property
    def level_limit(self) -> int:
        """Levels of a neuron, at most."""
        return self.most_levels if self.levels is None else self.levels

    @property
    def spike_bits(self) -> int:
        """Bits that tell the spikes of a neuron apart, at most: level and sign, or none."""
        return ceil(log2(2 * self.level_limit + 1))

    def widest_neuron(self, dtype: np.dtype) -> Op:
        """A neuron whose spikes take as many levels, or bits, as any of this preset's: what a program needs at most, before
        anything is measured."""
        import numpy as np

        from ecmt_deploy.program import ops

        one = np.ones((), dtype)
        return ops.MultiThreshold(one, one.copy(), self.level_limit, "nearest", 0.74)

    def within(self, payload_bits: int) -> Preset:
        """The same for a chip whose spikes carry so many bits (1: none).

        Raises
        ------
        ConfigError
            if it cannot be had there.
        """
        return self

    def for_model(self, model: nn.Module) -> Preset:
        """The same, with those options filled in that were left open and depend on the model."""
        return self

    def calibrate(self, lowered: Lowered, batches: list[Tensor], progress: Callable[[str, int], None]) -> Program:
        """The spiking program: the analog one, every neuron with its levels.

        Parameters
        ----------
        lowered : the analog program, with the place of every neuron
        batches : calibration samples, tensors (B, *input shape) in the dtype of the model
        progress : called with a stage (``calibrate``, ``tune``) and how many samples it has seen

        Raises
        ------
        ConversionError
            if the samples do not allow a program of these options.
        """
        raise NotImplementedError(f"preset {self.name} has no calibrate()")

    def record(self) -> dict[str, Any]:
        """What the program keeps of its preset: name and options.

        ``budget`` and ``mlp_bases`` stand in every program, as they always have, ``None`` where the preset has no such option.
        """
        return dict.fromkeys(("preset", "timesteps", "levels", "budget", "mlp_bases")) | {
            "preset": self.name, **msgspec.to_builtins(self)
        }  # fmt: skip


def preset_names() -> list[str]:
    """Names of the presets that are registered; none is imported."""
    return sorted({entry.name for entry in _registered()})


def find_preset(name: str) -> type[Preset]:
    """The preset registered as ``name``; no other is imported.

    Raises
    ------
    ConfigError
        if there is none of that name, if there are several, or if what is registered is no preset of that name.
    """
    entries = {entry.value: entry for entry in _registered() if entry.name == name}
    if not entries:
        raise ConfigError(f"preset is {name!r}; choose one of {', '.join(preset_names())}")
    if len(entries) > 1:
        raise ConfigError(f"preset {name} is registered as {' and as '.join(entries)}; uninstall the package of one of them")
    ((value, entry),) = entries.items()
    try:
        kind = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"preset {name} is registered as {value}, which cannot be imported: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Preset) and getattr(kind, "name", None) == name):
        raise ConfigError(f"preset {name} is registered as {value}; expected a subclass of Preset whose name is {name!r}")
    return kind


def _registered() -> list[EntryPoint]:
    from importlib.metadata import EntryPoint, entry_points  # slow to import

    modules = [module.name for module in iter_modules(import_module(_FOLDER).__path__) if not module.ispkg]
    return [*(EntryPoint(name, f"{_FOLDER}.{name}:PRESET", GROUP) for name in modules), *entry_points(group=GROUP)]


def ConvertConfig(preset: str = DEFAULT_PRESET, **options: Any) -> Preset:  # noqa: N802 - reads as what it makes
    """How to convert a model: a preset by its name, and options of that preset.

    Parameters
    ----------
    preset : one of :func:`preset_names`, such as ``accurate`` (differential coding) or ``paper`` (the method as published)
    options : fields of the preset: ``timesteps`` and ``levels`` of every one, ``budget`` of ``accurate``, ``mlp_bases`` of
        ``paper``; ``None`` for an option of another preset counts as not given

    Raises
    ------
    ConfigError
        if there is no such preset, if it has no such option, or if a value makes no sense.
    """
    kind = find_preset(preset)
    own = kind.__struct_fields__
    for option in (option for option, value in options.items() if value is not None and option not in own):
        takers = [name for name in preset_names() if option in find_preset(name).__struct_fields__]
        hint = f"choose preset {' or '.join(takers)}, or leave it out" if takers else f"it has {', '.join(own)}"
        raise ConfigError(f"preset {preset} has no {option}; {hint}")
    return kind(**{option: value for option, value in options.items() if option in own})


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
