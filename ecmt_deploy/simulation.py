"""Run a program on a target, whatever it is: the verb ``simulate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.config import require_timesteps
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.graph import Program, read
from ecmt_deploy.probes import parse_probes
from ecmt_deploy.quantization import quantize
from ecmt_deploy.target import Probe, Progress, Run, find, require_runnable

if TYPE_CHECKING:
    from ecmt_deploy.chips import Hardware

PRECISIONS = ("float", "fixed")


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


def simulate(
    program: Program | str | PathLike[str] | Any,
    x: Any,
    target: str = "reference",
    timesteps: int | None = None,
    precision: str = "float",
    hardware: Hardware | None = None,
    dtype: str = "float64",
    progress: Progress | None = None,
    probes: Sequence[str | Probe] = (),
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
    hardware : limits the target should respect, if any
    dtype : ``float64``, in which all targets emit the same spikes, or ``float32``
    progress : called with the number of steps finished, of ``len(x) * timesteps``
    probes : neurons to record at every step: ``NODE`` or ``NODE:spikes``, ``NODE:membrane``

    Returns
    -------
    Run : outputs (T, N, classes), the readout after every step, the activity, and time series (N, T, *shape) of the probes

    Raises
    ------
    ConfigError, DataError, TargetError, ProgramError
        with one line that says what is wrong and how to mend it.
    """
    checked = as_program(program)
    steps = checked.timesteps if timesteps is None else timesteps
    require_timesteps(steps)
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision == "float" and checked.integer:
        raise ConfigError("the program is an integer program; run it with --precision fixed")
    if precision == "fixed" and not checked.integer:
        checked = quantize(checked, hardware, steps)
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"dtype is {dtype!r}; choose float32 or float64")
    checked.require_range(np.dtype(dtype))
    inputs = np.asarray(x)
    if inputs.shape[1:] != checked.input_shape or inputs.ndim == 0:
        raise DataError(f"input of shape {inputs.shape}; the program expects (N, {', '.join(map(str, checked.input_shape))})")
    if len(inputs) == 0:
        raise DataError("there are no samples to run; pass at least one")
    if not np.isfinite(inputs).all():
        raise DataError("the input holds NaN or infinity; expected finite, normalised images")
    recorded = parse_probes(checked, probes)
    chosen = find(target)
    require_runnable(chosen, checked, hardware)
    if not checked.integer:
        return chosen.run(checked, inputs, steps, dtype=np.dtype(dtype), progress=progress, probes=recorded)
    run = chosen.run(checked, integers(checked, inputs), steps, dtype=checked.dtype, progress=progress, probes=recorded)
    return replace(run, outputs=np.ldexp(run.outputs.astype(np.float64), checked.exponents[checked.output_name]))


def integers(program: Program, inputs: np.ndarray) -> np.ndarray:
    """Samples as an integer program takes them: the nearest multiples of its input's 2**exponent, ties to even."""
    exponent = program.exponents[program.input_name]
    return np.rint(np.ldexp(np.asarray(inputs, np.float64), -exponent)).astype(np.int64)
