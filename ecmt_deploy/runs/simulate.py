"""The verb ``simulate`` for a file: run a program on a target and keep the run as a directory."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ecmt_deploy.door import ChipLike, as_chip
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.samples import Job, evaluation_data, fingerprint
from ecmt_deploy.evaluation.score import chosen_alike
from ecmt_deploy.files import sha256
from ecmt_deploy.program import Program, read
from ecmt_deploy.progress import step_progress
from ecmt_deploy.quantization import quantize
from ecmt_deploy.runs.directory import StoredRun, require_writable, save_run
from ecmt_deploy.runs.machine import this_machine
from ecmt_deploy.runs.record import Conformance, RunRecord, ShardRecord, shares
from ecmt_deploy.simulation.analog import analog_readouts
from ecmt_deploy.simulation.probes import parse_probes
from ecmt_deploy.simulation.run import fitted, simulate
from ecmt_deploy.simulation.target import Run


class SimulateJob(Job, frozen=True, kw_only=True):
    """A run of a file on a target.

    Attributes
    ----------
    target : ``torch``, ``reference``, ``lava``, or any other that is registered
    out : directory for the run
    precision : ``float``, or ``fixed``: a float program is quantised for ``hardware`` first, and the run keeps the integer one
    hardware : chip that the program must fit, unless ``allow_misfit``
    conformance : the reference target runs the same samples, and the record says whether all counts are equal
    probes : neurons to record at every step, as of :func:`ecmt_deploy.simulation.run.simulate`
    overwrite : replace a run that ``out`` holds already
    """

    target: str
    out: Path
    precision: str = "float"
    hardware: ChipLike | None = None
    allow_misfit: bool = False
    conformance: bool = False
    probes: tuple[str, ...] = ()
    overwrite: bool = False


def simulate_file(job: SimulateJob, say: Callable[[str], None] = lambda line: None) -> StoredRun:
    """Run a program on a target and keep the run in ``job.out``, whole or not at all.

    Of ``job.shard`` it runs samples i - 1, i - 1 + n, ..; :func:`ecmt_deploy.runs.merge.merge` adds the shards.

    Parameters
    ----------
    say : told, in one line, whether the program fits ``job.hardware``
    """
    require_writable(job.out, job.overwrite)
    chip = None if job.hardware is None else as_chip(job.hardware)
    digest, program = sha256(job.program) if job.program.is_file() else "", read(job.program)
    made = quantize(program, chip, job.timesteps) if job.precision == "fixed" and not program.integer else program
    probes = parse_probes(made, job.probes)
    placement = fitted(made, chip, job.allow_misfit) if chip else None
    if placement:
        say(f"{placement.hardware}: {placement.verdict}{'; run all the same' if placement.obstacles else ''}")
    whole = evaluation_data(program, job.data, job.limit, job.labels, job.skip_damaged)
    if job.shard and job.shard.count > len(whole):
        raise ConfigError(
            f"--shard {job.shard}: more shards than there are samples, {len(whole)}; use at most n = {len(whole)}"
        )
    x, labels = (whole.take(job.shard.numbers(len(whole))) if job.shard else whole).arrays()
    with step_progress(f"simulate on {job.target}", len(x), job.timesteps or program.timesteps) as bar:
        run = simulate(made, x, job.target, job.timesteps, job.precision, chip, progress=bar, probes=probes, allow_misfit=True)
    conformance = _conformance(made, x, run) if job.conformance else None
    analog = None if program.integer else analog_readouts(program, x, job.target)
    score = chosen_alike(run.outputs, analog, labels, run.activity)
    record = RunRecord(
        tool_version=version("ecmt-deploy"),
        target=job.target,
        precision=job.precision,
        dtype=made.dtype.name if made.integer else run.outputs.dtype.name,
        timesteps=run.activity.timesteps,
        data=job.data,
        labels=job.labels,
        program_sha256=digest,
        provenance=made.provenance.brief,
        conformance=conformance,
        build_seconds=run.build_seconds,
        run_seconds=run.run_seconds,
        hardware=placement.hardware if placement else None,
        obstacles=[obstacle.sentence for obstacle in placement.obstacles] if placement else [],
        shard=ShardRecord.made(job.shard, len(whole), fingerprint(whole), score) if job.shard else None,
        skipped=whole.skipped,
        machine=this_machine(),
        **shares(score),
    )
    return save_run(job.out, record, run, made, job.program if made is program else None, job.overwrite)


def _conformance(program: Program, x: np.ndarray, run: Run) -> Conformance:
    """Compare a run with the reference's on the same samples: every count of every node, and the readouts."""
    precision = "fixed" if program.integer else "float"
    expected = simulate(program, x, "reference", run.activity.timesteps, precision, dtype=run.outputs.dtype.name)
    differences = run.activity.differences(expected.activity)
    return Conformance(
        reference_target="reference",
        samples=len(x),
        spikes_equal=not any(".spikes:" in line for line in differences),
        counts_equal=not differences,
        max_abs_logit_difference=float(np.abs(run.outputs - expected.outputs).max()),
        differences=differences,
    )
