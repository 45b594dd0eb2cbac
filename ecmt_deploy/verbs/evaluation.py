"""The verbs ``evaluate`` and ``simulate``: on samples in memory, or on a dataset by name, as a job that can be divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ecmt_deploy.config import Execution
from ecmt_deploy.data import Labels
from ecmt_deploy.door import ChipLike, ProgramLike, as_program, listed, program_file
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.score import Evaluation, write_evaluation
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.files import require_out
from ecmt_deploy.simulation import run as running
from ecmt_deploy.simulation.target import Probe, Progress, Run, Target
from ecmt_deploy.verbs.arguments import require_none, unless

if TYPE_CHECKING:
    from ecmt_deploy.evaluation.checkpoints import Checkpoint
    from ecmt_deploy.runs.directory import StoredRun


@overload
def evaluate(
    model: ProgramLike, batches: Any, timesteps: int | None = ..., batch_size: int = ..., data: str | None = ...,
    progress: Callable[[int], None] | None = ..., *, limit: int | None = ..., labels: Labels = ...,
    execution: Execution | None = ..., workers: int | None = ..., checkpoint: str | PathLike[str] | None = ...,
    quantized_baseline: bool = ..., network: ProgramLike | None = ..., precision: str = ..., hardware: ChipLike | None = ...,
    shard: None = ..., out: str | PathLike[str] | None = ..., say: Callable[[str], None] = ...,
    skip_damaged: bool | None = ...,
) -> Evaluation: ...  # fmt: skip


@overload
def evaluate(
    model: ProgramLike, batches: str, timesteps: int | None = ..., batch_size: int = ..., *, limit: int | None = ...,
    labels: Labels = ..., execution: Execution | None = ..., workers: int | None = ...,
    checkpoint: str | PathLike[str] | None = ..., precision: str = ..., hardware: ChipLike | None = ...,
    shard: str, out: str | PathLike[str] | None = ..., say: Callable[[str], None] = ..., skip_damaged: bool | None = ...,
) -> Checkpoint: ...  # fmt: skip


def evaluate(
    model: ProgramLike,
    batches: Any,
    timesteps: int | None = None,
    batch_size: int = 32,
    data: str | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    limit: int | None = None,
    labels: Labels = "name",
    execution: Execution | None = None,
    workers: int | None = None,
    checkpoint: str | PathLike[str] | None = None,
    quantized_baseline: bool = False,
    network: ProgramLike | None = None,
    precision: str = "float",
    hardware: ChipLike | None = None,
    shard: str | None = None,
    out: str | PathLike[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
    skip_damaged: bool | None = None,
) -> Evaluation | Checkpoint:
    """Measure accuracy after every step, against the analog model, on the torch engine.

    Samples in memory are evaluated in the dtype of the program, on the device the model is on. A dataset by name is a job:
    under torchrun its processes divide it, with ``checkpoint`` it resumes, with ``shard`` it is done in parts.

    Parameters
    ----------
    model : the program: a ``SpikingModel``, a ``Program``, the path of a file, or a ``Run``
    batches : samples (N, *input_shape) and labels (N,): pairs of such, a ``DataLoader``, a dataset, or whatever
        :func:`ecmt_deploy.door.batches` takes; or a dataset by name, such as ``folder:DIR`` (docs/data.md)
    timesteps : steps T; by default those the program was converted for
    batch_size : samples are computed in batches of this size, however they come; the last one is filled up with rows that are
        not counted, so that all are computed alike
    data, progress : of samples in memory: recorded in the result; called with the number of samples finished
    limit : of a dataset by name, as all that follow but ``out`` and ``quantized_baseline``: at most this many samples
    labels : labels find their output by ``name`` or by ``position`` (docs/data.md)
    execution : how the engine runs
    workers : processes that read images (see :meth:`ecmt_deploy.data.Dataset.batches`)
    checkpoint : checkpoint directory; a restarted evaluation resumes from it
    quantized_baseline : measure too with how few bits the same network, plainly quantised, agrees with the analog one as often
        as the program (``quantized`` of the result). It takes two forward passes a width; samples in memory stay there
    network : with ``quantized_baseline``, a program of the same model whose network is quantised: needed where ``model`` is in
        the basis of its principal components, as preset ``graded`` writes it. With an integer program, the float program with
        whose analog network it is compared; without one accuracy alone is measured
    precision : ``float``, or ``fixed``: the integer program of ``model`` for ``hardware`` (``loihi2`` by default), beside the
        analog network of ``model``; a program that is an integer program already runs as it is
    hardware : with precision ``fixed``: chip, its name or ``.toml`` file, whose widths the integers keep
    shard : ``i/n``: only every n-th batch, from the i-th, kept in ``checkpoint``; :func:`ecmt_deploy.merge` adds all n
    say : told, in one line, how much is resumed
    out : file for the result, as ``.json``
    skip_damaged : of a dataset by name: damaged images are left out, and counted; otherwise they are an error

    Returns
    -------
    Evaluation; of a shard its Checkpoint

    Raises
    ------
    ConfigError
        if ``timesteps`` or ``batch_size`` is below 1, or the readout is no vector of classes; if an argument is for samples
        in memory alone, or for a dataset by name; or if plain quantisation is asked for, and the program has no ranges.
    DataError
        if there are no samples, they have no labels, or they are none that the program takes.
    RunError
        if the device has too little memory, or a file cannot be written.
    """
    named = {
        "limit": limit,
        "execution": execution,
        "workers": workers,
        "checkpoint": checkpoint,
        "shard": shard,
        "skip_damaged": skip_damaged,
        "labels": unless(labels, "name"),
    }
    if isinstance(batches, str):
        from ecmt_deploy.evaluation.jobs import EvaluateJob, evaluate_file, evaluate_shard

        require_none("samples in memory", data=data, progress=progress)
        with program_file(model) as path, nullcontext() if network is None else program_file(network) as other:
            job = EvaluateJob(
                program=path, data=batches, timesteps=timesteps, limit=limit, labels=labels, batch_size=batch_size,
                shard=None if shard is None else Shard.parse(shard), out=None if out is None else Path(out), workers=workers,
                checkpoint=None if checkpoint is None else Path(checkpoint), execution=execution or Execution(),
                quantized_baseline=quantized_baseline, network=other, precision=precision, hardware=hardware,
                skip_damaged=bool(skip_damaged),
            )  # fmt: skip
            return evaluate_file(job, say) if job.shard is None else evaluate_shard(job, say)
    from ecmt_deploy.evaluation.evaluate import evaluate as evaluate_samples

    require_none("a dataset by name", **named)
    if out is not None:
        require_out(Path(out), ".json")
    result = evaluate_samples(
        model, batches, timesteps, batch_size, data, progress, quantized_baseline, network, precision, hardware
    )
    if out is not None:
        write_evaluation(Path(out), result)
    return result


@overload
def simulate(
    program: ProgramLike, x: Any, target: str | Target = ..., timesteps: int | None = ..., precision: str = ...,
    hardware: ChipLike | None = ..., dtype: str = ..., progress: Progress | None = ...,
    probes: str | Probe | Sequence[str | Probe] = ..., allow_misfit: bool = ..., *, limit: int | None = ...,
    labels: Labels = ..., out: None = ..., skip_damaged: bool | None = ...,
) -> Run: ...  # fmt: skip


@overload
def simulate(
    program: ProgramLike, x: str, target: str = ..., timesteps: int | None = ..., precision: str = ...,
    hardware: ChipLike | None = ..., *, probes: str | Probe | Sequence[str | Probe] = ..., allow_misfit: bool = ...,
    limit: int | None = ..., labels: Labels = ..., shard: str | None = ..., conformance: bool = ...,
    out: str | PathLike[str], overwrite: bool = ..., say: Callable[[str], None] = ..., skip_damaged: bool | None = ...,
) -> StoredRun: ...  # fmt: skip


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
    *,
    limit: int | None = None,
    labels: Labels = "name",
    shard: str | None = None,
    conformance: bool = False,
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
    skip_damaged: bool | None = None,
) -> Run | StoredRun:
    """Run every sample on a target.

    Parameters
    ----------
    program : path of a ``.nir`` file, ``SpikingModel`` or ``Program``
    x : samples (N, *input_shape), normalised as the program expects: an array or tensor, or whatever
        :func:`ecmt_deploy.door.batches` takes; labels are left alone. Or a dataset by name, such as ``folder:DIR``
    target : ``reference``, ``torch``, ``lava``, or any other that is registered; without ``out`` also a target itself
    timesteps : steps T; by default those the program was converted for
    precision : ``float``, or ``fixed``: the integer program of ``program`` for ``hardware`` (``loihi2`` by default); a
        program that is an integer program already runs as it is
    hardware : chip, its name or ``.toml`` file, that the program must fit: it is placed there, whatever the target
    dtype : ``float64``, in which all targets emit the same spikes, or ``float32``; a run directory is of ``float64``
    progress : called with the number of steps finished, of ``len(x) * timesteps``
    probes : neurons to record at every step: ``NODE`` or ``NODE:spikes``, ``NODE:membrane``
    allow_misfit : run the program also where it does not fit ``hardware``
    limit, labels : of a dataset by name: at most this many samples; how labels find their output, ``name`` or ``position``
    out : run directory to write, with the accuracy on a dataset by name; the arguments that follow need it
    shard : ``i/n``: only every n-th sample, from the i-th; :func:`ecmt_deploy.merge` adds all n
    conformance : the reference target runs the same samples, and the record says whether all counts are equal
    overwrite : replace a run that is there already
    say : told, in one line, whether the program fits ``hardware``
    skip_damaged : of a dataset by name: damaged images are left out, and counted; otherwise they are an error

    Returns
    -------
    Run : outputs (T, N, classes), the readout after every step, the activity, time series (N, T, *shape) of the probes, and the
        program that ran; of a run directory StoredRun, which reads them from there

    Raises
    ------
    ConfigError, DataError, HardwareError, TargetError, ProgramError, RunError
        with one line that says what is wrong and how to mend it.
    """
    if hardware is None:
        require_none("a run on a chip, which hardware names", allow_misfit=allow_misfit)
    if out is None:
        require_none("a run directory, which out names", shard=shard, conformance=conformance, overwrite=overwrite)
        if isinstance(x, str):
            from ecmt_deploy.evaluation.samples import evaluation_data

            program = as_program(program)
            x = evaluation_data(program, x, limit, labels, bool(skip_damaged)).arrays()[0]
        else:
            require_none("a dataset by name", limit=limit, labels=unless(labels, "name"), skip_damaged=skip_damaged)
        return running.simulate(program, x, target, timesteps, precision, hardware, dtype, progress, probes, allow_misfit)
    from ecmt_deploy.runs.simulate import SimulateJob, simulate_file

    if not isinstance(x, str):
        raise ConfigError("a run directory records its dataset and accuracy; pass x as a dataset by name, such as folder:DIR")
    if not isinstance(target, str):
        raise ConfigError("a run directory records its target by name; register it (docs/targets.md), and pass the name")
    require_none("a run without a directory", progress=progress, dtype=unless(dtype, "float64"))
    with program_file(program) as path:
        job = SimulateJob(
            program=path, target=target, data=x, out=Path(out), limit=limit, timesteps=timesteps, precision=precision,
            hardware=hardware, shard=None if shard is None else Shard.parse(shard), labels=labels, conformance=conformance,
            probes=tuple(map(str, listed(probes))), allow_misfit=allow_misfit, overwrite=overwrite,
            skip_damaged=bool(skip_damaged),
        )  # fmt: skip
        return simulate_file(job, say)
