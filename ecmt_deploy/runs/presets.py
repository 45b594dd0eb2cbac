"""Programs of several presets, to be compared by a sweep: one for every preset, number of steps and budget."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from ecmt_deploy.config import ConvertConfig, Preset, find_preset
from ecmt_deploy.errors import ConfigError, ConversionError, ProgramError, RunError, listed
from ecmt_deploy.program import Program, read

_logger = logging.getLogger(__name__)
#: below a sweep's directory: the programs that it converted, apart by the number of samples asked for to calibrate on
FOLDER = "programs-{samples}"


def parse_budgets(text: str) -> list[float]:
    """Budgets of synaptic events per MAC, joined by commas, in ascending order.

    Raises
    ------
    ConfigError
        if one is no number.
    """
    try:
        return sorted({float(part) for part in text.split(",")})
    except ValueError:
        raise ConfigError(f"--budget {text}: expected numbers of synaptic events per MAC, such as 0.3,0.5,1") from None


def configs(presets: Sequence[str], timesteps: Sequence[int] | None, budgets: Sequence[float]) -> dict[str, Preset]:
    """Every preset at every number of steps and every budget, by a name for its program.

    Parameters
    ----------
    timesteps : numbers of steps T; ``None`` for each preset's own
    budgets : budgets; presets that know none have one program for all, as every preset has without budgets

    Raises
    ------
    ConfigError
        if there is no such preset, a value makes no sense, or budgets are given and no preset has one.
    """
    kinds = {preset: find_preset(preset) for preset in presets}
    if budgets and not any("budget" in kind.__struct_fields__ for kind in kinds.values()):
        raise ConfigError(f"budget is for presets that have one, and {listed(list(kinds))} has none; leave it out")
    found = {}
    for preset in presets:
        options = [{"budget": budget} for budget in budgets] if "budget" in kinds[preset].__struct_fields__ else []
        for budget in options or [{}]:
            for steps in [{}] if timesteps is None else [{"timesteps": t} for t in timesteps]:
                config = ConvertConfig(preset, **budget, **steps)
                parts = [preset, *(f"b{value:g}" for value in budget.values()), *(f"T{t}" for t in steps.values())]
                found["-".join(parts)] = config
    return found


def programs(
    asked: dict[str, Preset],
    folder: Path,
    model: str,
    data: str,
    make: Callable[[Preset, Path], object],
    say: Callable[[str], None],
) -> list[Path]:
    """The program of every configuration, of which those that are there already are not made again.

    A configuration that cannot be had, such as a budget that is too small, is left out with a warning.

    Parameters
    ----------
    folder : takes ``<name>.nir``
    model, data : what is converted, and on what it is calibrated, by name
    make : converts with a configuration, and writes the program to a path
    say : called with a line before every conversion

    Raises
    ------
    ConversionError
        if none can be had.
    RunError
        if a file in the way is of something else.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made: {error.strerror}; choose another --out") from None
    made, failure = [], None
    for i, (name, config) in enumerate(asked.items(), start=1):
        path = folder / f"{name}.nir"
        if not path.exists():
            say(f"conversion {i} of {len(asked)}: {name}")
            try:
                make(config, path)
            except ConversionError as error:
                failure = failure or ConversionError(f"{name}: {error}")
                _logger.warning("%s is left out: %s", name, error)
                continue
        _require_own(path, config, model, data)
        made.append(path)
    if not made:
        assert failure is not None
        raise failure
    return made


def _require_own(path: Path, config: Preset, model: str, data: str) -> None:
    """Refuse a program that is not this configuration of this model on this data."""
    mend = "remove it, or choose another --out"
    try:
        program: Program = read(path)
    except ProgramError as error:
        raise RunError(f"{error}; {mend}") from None
    source = program.provenance
    kept = source.config or {}
    # what a model decides stands in the program, and not in what was asked for
    differing = [option for option, value in config.record().items() if value is not None and kept.get(option) != value]
    calibrated = source.calibration.spec if source.calibration else None
    for what, found, expected in (
        ("model", source.model, model),
        ("data", calibrated, data),
        *((option, kept.get(option), config.record()[option]) for option in differing),
    ):
        if found != expected:
            raise RunError(f"{path}: a program of another {what} ({found}, not {expected}); {mend}")
