"""A placed integer program that runs core by core: each core has its own weights, axons and state, and sees only messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecmt_deploy.door import ChipLike, as_chip
from ecmt_deploy.errors import DataError, TargetError, listed
from ecmt_deploy.placement.placed import Placed, placed
from ecmt_deploy.program import Program
from ecmt_deploy.simulation.target import Probe, Progress, Run, Unsupported, require_runnable

from .building import layout
from .layout import Layout
from .probing import Recorder
from .reading import read
from .results import activity
from .running import Machine
from .writing import write

if TYPE_CHECKING:
    from ecmt_deploy.chips import Hardware

__all__ = ["CoresTarget", "execute", "export", "laid_out", "read"]


class CoresTarget:
    """Runs integer programs on their placement; state ends with the inference."""

    name = "cores"
    needs_hardware = True

    def missing(self) -> str | None:
        """Nothing: the base dependencies suffice."""
        return None

    def check(self, program: Program, hardware: Hardware | None) -> list[Unsupported]:
        """Integer programs on a chip that is named."""
        reasons = []
        if not program.integer:
            reasons.append("is a float program, and cores compute in integers; add --precision fixed")
        if hardware is None:
            reasons.append("is placed on no chip; name one with --hardware NAME")
        return [Unsupported("the program", reason) for reason in reasons]

    def run(
        self,
        program: Program,
        inputs: np.ndarray,
        timesteps: int,
        *,
        dtype: np.dtype,
        progress: Progress | None = None,
        probes: Sequence[Probe] = (),
        hardware: Hardware | None = None,
    ) -> Run:
        """Run ``inputs`` (N, *input_shape), int64, on the cores of ``hardware``.

        Raises
        ------
        TargetError
            if a unit of the program has no cores there, or no chip is named.
        """
        require_runnable(self, program, hardware)
        assert hardware is not None, "a program without a chip is refused"
        begun = time.perf_counter()
        made = laid_out(placed(program, hardware))
        recorder = Recorder(program, probes, len(inputs), timesteps)
        return execute(made, inputs, timesteps, progress=progress, recorder=recorder, begun=begun)


def laid_out(program: Placed) -> Layout:
    """What every core of a placed program holds.

    Raises
    ------
    TargetError
        if a unit has no cores.
    """
    if program.homeless:
        raise TargetError(
            f"no core of {program.hardware.name} can hold {listed(program.homeless)}, so they cannot run on target cores; "
            "choose another chip, or run on --target reference"
        )
    return layout(program)


def export(program: Program, hardware: ChipLike, path: str | PathLike[str], overwrite: bool = False) -> None:
    """Write what a loader needs to put an integer program on a chip, core by core, into a new directory (docs/cores.md).

    Raises
    ------
    TargetError
        if it is a float program, a unit of it has no cores on the chip, or it takes tokens or several inputs.
    RunError
        if something is in the way, or the directory cannot be written.
    """
    chip = as_chip(hardware)
    require_runnable(CoresTarget(), program, chip)
    if len(program.outside) > 1:
        raise TargetError(
            f"the program takes {program.inputs.sentence}; expected one input of values and no look-ups, which files for cores"
            " do not hold: run the program on target cores instead"
        )
    write(laid_out(placed(program, chip)), Path(path), overwrite)


def execute(
    made: Layout,
    inputs: np.ndarray,
    timesteps: int,
    *,
    progress: Progress | None = None,
    recorder: Recorder | None = None,
    begun: float | None = None,
) -> Run:
    """Run samples on cores, as a program was laid out on them or as it was read from a file.

    Parameters
    ----------
    inputs : (N, *input_shape) int64
    recorder : what it records of the run, where the program is at hand
    begun : when making ready began (``time.perf_counter``)
    """
    begun = time.perf_counter() if begun is None else begun
    expected, found = made.inputs.shape, np.shape(inputs)[1:]
    if found != expected or np.asarray(inputs).dtype.kind != "i":
        raise DataError(f"samples are {np.asarray(inputs).dtype} of shape {found}, expected integers of shape {expected}")
    machine = Machine(made, timesteps)
    outputs = np.zeros((timesteps, len(inputs), *made.nodes[made.of_role("readout")].shape), np.int64)
    built = time.perf_counter()
    for i, sample in enumerate(inputs):

        def watch(name: str, t: int, i: int = i) -> None:
            if recorder:
                recorder.record(machine, name, i, t)

        for t, readout in enumerate(machine.infer(sample, watch)):
            outputs[t, i] = readout
            if progress:
                progress(i * timesteps + t + 1)
    return Run(
        outputs,
        activity(machine, len(inputs)),
        recorder.series if recorder else {},
        build_seconds=built - begun,
        run_seconds=time.perf_counter() - built,
        loads=machine.traffic.loads(len(inputs)),
    )
