"""Streams: frames through one program whose state is kept from frame to frame, on any target that can."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ecmt_deploy.config import require_timesteps
from ecmt_deploy.door import ChipLike, ProgramLike, as_chip, as_program
from ecmt_deploy.errors import ConfigError, DataError, TargetError
from ecmt_deploy.program import Program
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.program.frames import COLUMNS, FrameCounts
from ecmt_deploy.program.gate import Gate, require_differential
from ecmt_deploy.simulation.probes import parse_probes
from ecmt_deploy.simulation.run import fitted, in_precision, integers
from ecmt_deploy.simulation.target import Frame, FrameRun, Probe, Run, StreamingTarget, Target, find, require_runnable


def prepared(program: ProgramLike, precision: str, hardware: ChipLike | None, steps: int, allow_misfit: bool) -> Program:
    """The program that runs: checked, quantised where it is to be, and placed on the chip it is to fit.

    Raises
    ------
    ConfigError, ProgramError, TargetError
        as of :func:`stream`.
    """
    checked = as_program(program)
    require_timesteps(steps, "steps_per_frame")
    require_differential(checked)
    chip = None if hardware is None else as_chip(hardware)
    checked = in_precision(checked, precision, chip, steps)
    if chip is not None and not allow_misfit:
        fitted(checked, chip)
    return checked


def frame_runs(
    program: Program, frames: Iterable[np.ndarray], target: str | Target, steps: int, gate: Gate, dtype: str,
    probes: Sequence[Probe] = (),
) -> Iterator[FrameRun]:  # fmt: skip
    """What a target makes of every frame, one after another, as frames come.

    Parameters
    ----------
    program : as of :func:`prepared`
    frames : (*input_shape) each

    Raises
    ------
    DataError
        if a frame has another shape than the program's input, or holds what is no number.
    TargetError
        if the target keeps no state, or fails.
    """
    chosen = find(target)
    if not isinstance(chosen, StreamingTarget):
        raise TargetError(f"target {chosen.name} begins every inference anew; streams run on torch, reference and lava")
    require_runnable(chosen, program, None)
    kind = program.dtype if program.integer else np.dtype(dtype)
    shares: deque[float] = deque()
    for run in chosen.stream(program, _sent(program, frames, gate, shares), steps, dtype=kind, probes=probes):
        if run.rows.shape != (steps, len(program.nodes), COLUMNS) or run.outputs.shape != (steps, *program.output_shape):
            raise TargetError(f"target {chosen.name} returned what is no frame of this program; mend it, or choose another")
        if program.integer:
            run = replace(run, outputs=np.ldexp(run.outputs.astype(np.float64), program.exponents[program.output_name]))
        yield replace(run, patches_sent=shares.popleft())


def _sent(program: Program, frames: Iterable[np.ndarray], gate: Gate, shares: deque[float]) -> Iterator[Frame]:
    """Frames as the gate lets them through, and to ``shares`` how much of each that is."""
    for frame in frames:
        shown = np.asarray(frame)
        if shown.shape != program.input_shape:
            raise DataError(f"a frame of shape {shown.shape}; the program expects {program.input_shape}")
        sent = gate.send((integers(program, shown) if program.integer else shown)[None])
        shares.append(sent.share)
        yield Frame(sent.held[0], sent.sent[0], sent.begins)


def stream(
    program: ProgramLike,
    frames: Any,
    target: str | Target = "torch",
    steps_per_frame: int = 1,
    gate: float | None = None,
    precision: str = "float",
    hardware: ChipLike | None = None,
    dtype: str = "float32",
    probes: str | Probe | Sequence[str | Probe] = (),
    allow_misfit: bool = False,
    cuts: bool = True,
) -> Run:
    """Run the frames of one stream; arguments and errors as of :func:`ecmt_deploy.stream`."""
    checked = prepared(program, precision, hardware, steps_per_frame, allow_misfit)
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"dtype is {dtype!r}; choose float32 or float64")
    checked.require_range(np.dtype(dtype))
    recorded = parse_probes(checked, [probes] if isinstance(probes, str | Probe) else probes)
    runs = list(frame_runs(checked, frames, target, steps_per_frame, Gate(checked, gate, cuts), dtype, recorded))
    if not runs:
        raise DataError("there are no frames to run; pass at least one")
    counts = FrameCounts(checked, steps_per_frame, np.stack([run.rows for run in runs]), np.array([run.begun for run in runs]))
    if wrong := impossible(checked, counts.total):
        raise TargetError(f"target {target} returned what cannot be: {wrong}; mend the target, or choose another")
    series = {probe: np.stack([run.probes[probe] for run in runs]) for probe in recorded}
    return Run(np.stack([run.outputs for run in runs], axis=1), counts.total, series, program=checked, frames=counts)
