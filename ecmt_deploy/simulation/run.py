"""Run a program on a target, whatever it is: the verb ``simulate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ecmt_deploy.chips import Hardware
from ecmt_deploy.door import ChipLike, ProgramLike, as_chip, as_program, as_samples, as_steps
from ecmt_deploy.errors import ConfigError, DataError, TargetError, plural
from ecmt_deploy.placement import Placement, place
from ecmt_deploy.program import Program
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.probes import parse_probes
from ecmt_deploy.simulation.target import Probe, Progress, Run, Target, find, require_runnable

PRECISIONS = ("float", "fixed")
#: obstacles that an error lists; `ecmt-deploy inspect` lists all
_LISTED = 5


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


def in_precision(program: Program, precision: str, chip: Hardware | None, steps: int) -> Program:
    """The program in the arithmetic it is to run in, quantised to the chip's widths where that is fixed point.

    Raises
    ------
    ConfigError
        if there is no such precision, or an integer program is to run in float.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision == "float" and program.integer:
        raise ConfigError("the program is an integer program; run it with --precision fixed")
    return quantize(program, chip, steps) if precision == "fixed" and not program.integer else program


def simulate(
    program: ProgramLike,
    x: Any,
    target: str | Target = "reference",
    timesteps: int | None = None,
    precision: str = "float",
    hardware: ChipLike | None = None,
    dtype: str = "float64",
    progress: Progress | None = None,
    probes: str | Probe | Sequence[str | Probe] = (),
    allow_misfit: bool = False,
) -> Run:
    """Run samples on a target; arguments and errors as of :func:`ecmt_deploy.simulate`."""
    checked = as_program(program)
    chip = None if hardware is None else as_chip(hardware)
    steps = as_steps(timesteps, checked)
    checked = in_precision(checked, precision, chip, steps)
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"dtype is {dtype!r}; choose float32 or float64")
    checked.require_range(np.dtype(dtype))
    inputs = as_samples(x, checked.inputs)
    if len(inputs) == 0:
        raise DataError("there are no samples to run; pass at least one")
    recorded = parse_probes(checked, [probes] if isinstance(probes, str | Probe) else probes)
    chosen = find(target)
    require_runnable(chosen, checked, chip)
    if chip is not None and not allow_misfit:
        fitted(checked, chip)
    integer = checked.integer
    presented, kind = (integers(checked, inputs), checked.dtype) if integer else (inputs, np.dtype(dtype))
    on = {"hardware": chip} if getattr(chosen, "needs_hardware", False) else {}
    run = chosen.run(checked, presented, steps, dtype=kind, progress=progress, probes=recorded, **on)
    _require_possible(run, checked, len(inputs), steps, chosen.name)
    outputs = np.ldexp(run.outputs.astype(np.float64), checked.exponents[checked.output_name]) if integer else run.outputs
    return replace(run, outputs=outputs, program=checked)


def _require_possible(run: Run, program: Program, samples: int, steps: int, target: str) -> None:
    """Refuse what no run can give: targets are found by name, and anybody may register one."""
    counted = (run.activity.n_samples, run.activity.timesteps)
    wrong = impossible(program, run.activity)
    if counted != (samples, steps):
        wrong = f"counts over {plural(counted[0], 'sample')} of {plural(counted[1], 'step')}, expected {samples} of {steps}"
    if run.outputs.shape != (steps, samples, *program.output_shape):
        wrong = f"outputs of shape {run.outputs.shape}, expected {(steps, samples, *program.output_shape)}"
    if wrong:
        raise TargetError(f"target {target} returned what cannot be: {wrong}; mend the target, or choose another")


def integers(program: Program, inputs: np.ndarray) -> np.ndarray:
    """Samples as an integer program takes them: the nearest multiples of its input's 2**exponent, ties to even."""
    return np.rint(np.ldexp(np.asarray(inputs, np.float64), -program.input_exponents)).astype(np.int64)
