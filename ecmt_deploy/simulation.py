"""Run a program on a target, whatever it is: the verb ``simulate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

from ecmt_deploy.audit import impossible
from ecmt_deploy.chips import Hardware
from ecmt_deploy.chips import hardware as describe
from ecmt_deploy.config import require_timesteps
from ecmt_deploy.errors import ConfigError, DataError, TargetError
from ecmt_deploy.graph import Program, read
from ecmt_deploy.placement import Placement, place
from ecmt_deploy.probes import parse_probes
from ecmt_deploy.quantization import quantize
from ecmt_deploy.target import Probe, Progress, Run, find, require_runnable

PRECISIONS = ("float", "fixed")
#: obstacles that an error lists; `ecmt-deploy inspect` lists all
_LISTED = 5


def as_program(source: Any) -> Program:
    """The program in ``source``: a :class:`Program`, a path to a file, or a model that carries one (``SpikingModel``)."""
    if isinstance(source, Program):
        return source
    if isinstance(source, str | PathLike):
        return read(source)
    program = getattr(source, "program", None)
    if isinstance(program, Program):
        return program
    raise ConfigError(f"{type(source).__name__} is no program; pass a path, a SpikingModel or a Program")


def as_hardware(chip: Hardware | str | None) -> Hardware | None:
    """The chip of that name or ``.toml`` file, or the chip itself."""
    if chip is None or isinstance(chip, Hardware):
        return chip
    if isinstance(chip, str):
        return describe(chip)
    raise ConfigError(f"{type(chip).__name__} is no chip; pass its name, a .toml file, or what ecmt_deploy.hardware returns")


def fitted(program: Program, chip: Hardware, allow_misfit: bool = False) -> Placement:
    """The placement of a program on the chip it is to run on.

    A limit that the chip does not state is unknown and binds nothing: on a chip without limits every program runs, and
    :attr:`~ecmt_deploy.placement.Placement.verdict` says that nothing is known.

    Raises
    ------
    TargetError
        with the obstacles, if the program does not fit; not if ``allow_misfit``.
    """
    placement = place(program, chip)
    if placement.obstacles and not allow_misfit:
        listed = "; ".join(obstacle.sentence for obstacle in placement.obstacles[:_LISTED])
        more = len(placement.obstacles) - _LISTED
        others = f"; {more} more, which `ecmt-deploy inspect P.nir --hardware {chip.name}` lists" if more > 0 else ""
        raise TargetError(
            f"the program does not fit {chip.name}: {listed}{others}. Choose another chip, or run it all the same with "
            "--allow-misfit (in Python allow_misfit=True)"
        )
    return placement


def simulate(
    program: Program | str | PathLike[str] | Any,
    x: Any,
    target: str = "reference",
    timesteps: int | None = None,
    precision: str = "float",
    hardware: Hardware | str | None = None,
    dtype: str = "float64",
    progress: Progress | None = None,
    probes: Sequence[str | Probe] = (),
    allow_misfit: bool = False,
) -> Run:
    """Run every sample of ``x`` on a target.

    Parameters
    ----------
    program : path of a ``.nir`` file, ``SpikingModel`` or ``Program``
    x : array (N, C, H, W), normalised as the program expects
    target : ``reference``, ``torch``, ``lava``, or any other that is registered
    timesteps : steps T; by default those the program was converted for
    precision : ``float``, or ``fixed``: the integer program of ``program`` for ``hardware`` (``loihi2`` by default); a
        program that is an integer program already runs as it is
    hardware : chip, its name or ``.toml`` file, that the program must fit: it is placed there, whatever the target
    dtype : ``float64``, in which all targets emit the same spikes, or ``float32``
    progress : called with the number of steps finished, of ``len(x) * timesteps``
    probes : neurons to record at every step: ``NODE`` or ``NODE:spikes``, ``NODE:membrane``
    allow_misfit : run the program also where it does not fit ``hardware``

    Returns
    -------
    Run : outputs (T, N, classes), the readout after every step, the activity, and time series (N, T, *shape) of the probes

    Raises
    ------
    ConfigError, DataError, TargetError, ProgramError
        with one line that says what is wrong and how to mend it.
    """
    checked = as_program(program)
    chip = as_hardware(hardware)
    steps = checked.timesteps if timesteps is None else timesteps
    require_timesteps(steps)
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision == "float" and checked.integer:
        raise ConfigError("the program is an integer program; run it with --precision fixed")
    if precision == "fixed" and not checked.integer:
        checked = quantize(checked, chip, steps)
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"dtype is {dtype!r}; choose float32 or float64")
    inputs = np.asarray(x)
    if inputs.shape[1:] != checked.input_shape or inputs.ndim == 0:
        raise DataError(f"input of shape {inputs.shape}; the program expects (N, {', '.join(map(str, checked.input_shape))})")
    if len(inputs) == 0:
        raise DataError("there are no samples to run; pass at least one")
    if not np.isfinite(inputs).all():
        raise DataError("the input holds NaN or infinity; expected finite, normalised images")
    recorded = parse_probes(checked, probes)
    chosen = find(target)
    require_runnable(chosen, checked, chip)
    if chip is not None and not allow_misfit:
        fitted(checked, chip)
    integer = checked.integer
    presented, kind = (integers(checked, inputs), checked.dtype) if integer else (inputs, np.dtype(dtype))
    run = chosen.run(checked, presented, steps, dtype=kind, progress=progress, probes=recorded)
    _require_possible(run, checked, len(inputs), steps, target)
    if not integer:
        return run
    return replace(run, outputs=np.ldexp(run.outputs.astype(np.float64), checked.exponents[checked.output_name]))


def _require_possible(run: Run, program: Program, samples: int, steps: int, target: str) -> None:
    """Refuse what no run can give: targets are found by name, and anybody may register one."""
    counted = (run.activity.n_samples, run.activity.timesteps)
    wrong = impossible(program, run.activity)
    if counted != (samples, steps):
        wrong = f"counts over {counted[0]} samples of {counted[1]} steps, expected {samples} of {steps}"
    if run.outputs.shape != (steps, samples, *program.output_shape):
        wrong = f"outputs of shape {run.outputs.shape}, expected {(steps, samples, *program.output_shape)}"
    if wrong:
        raise TargetError(f"target {target} returned what cannot be: {wrong}; mend the target, or choose another")


def integers(program: Program, inputs: np.ndarray) -> np.ndarray:
    """Samples as an integer program takes them: the nearest multiples of its input's 2**exponent, ties to even."""
    exponent = program.exponents[program.input_name]
    return np.rint(np.ldexp(np.asarray(inputs, np.float64), -exponent)).astype(np.int64)
