"""The verb ``evaluate`` for a file: at once, divided over the processes of torchrun, or one shard of it, each resumed."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ecmt_deploy import data as datasets
from ecmt_deploy.config import Execution
from ecmt_deploy.door import ChipLike, as_steps
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import ConfigError, RunError, plural
from ecmt_deploy.evaluation.checkpoints import MEND, Checkpoint, Origin, Saver, checkpoint_path, resume
from ecmt_deploy.evaluation.evaluate import Engines, require_batch_size, score_batch, with_baseline
from ecmt_deploy.evaluation.samples import Job, evaluation_data, fingerprint
from ecmt_deploy.evaluation.score import Evaluation, Score, write_evaluation
from ecmt_deploy.evaluation.shards import Shard, difference
from ecmt_deploy.evaluation.torchrun import process_group, refuse, this_process
from ecmt_deploy.files import require_out, sha256
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.progress import progress


class EvaluateJob(Job, frozen=True, kw_only=True):
    """An evaluation of a file.

    Attributes
    ----------
    batch_size : samples computed at once
    execution : how the engine runs
    checkpoint : checkpoint directory; a restarted job resumes from it
    workers : processes that read samples (see :meth:`ecmt_deploy.data.Dataset.batches`)
    quantized_baseline : measure the fewest bits of the plainly quantised network too; not of a shard
    network : program of the same model whose network is quantised, and with which an integer program is compared; ``None`` for
        the program itself
    precision, hardware : ``float``, or ``fixed``: the integer program of the program for that chip, ``loihi2`` by default
    """

    batch_size: int = 32
    execution: Execution = Execution()
    checkpoint: Path | None = None
    workers: int | None = None
    quantized_baseline: bool = False
    network: Path | None = None
    precision: str = "float"
    hardware: ChipLike | None = None


def evaluate_file(job: EvaluateJob, say: Callable[[str], None] = lambda line: None) -> Evaluation:
    """Evaluate a program on a dataset.

    Under torchrun every rank does its shard of the batches and returns the whole result, and rank 0 writes it to ``job.out``.

    Parameters
    ----------
    say : told, in one line, how much is resumed
    """
    if job.shard is not None:
        raise ConfigError(f"shard {job.shard} is not the whole; evaluate_shard evaluates it")
    with process_group() as process:
        first = process.rank == 0

        def begin() -> tuple[Engines, SpikingModel, datasets.Dataset, Checkpoint]:
            if job.out is not None and first:
                require_out(job.out, ".json")
            engines, dataset, checkpoint = _begin(job, Shard(process.rank + 1, process.size))
            network = engines.baseline(job.network) if job.quantized_baseline else engines.model
            if network not in engines:
                network.use(job.execution)
            return engines, network, dataset, checkpoint

        engines, network, dataset, checkpoint = process.together(begin)
        origin = checkpoint.origin
        for rank, other in enumerate(process.gather(origin)):
            if different := difference(msgspec.structs.asdict(other), msgspec.structs.asdict(origin)):
                refuse(f"process {rank} evaluates something else: {different}; give all processes the same files and options")
        before = sum(process.gather(checkpoint.n_samples))
        if first and before:
            say(f"{job.checkpoint}: {before} of {plural(origin.n_samples, 'sample')} are counted already")
        processes = f" (process 1 of {process.size})" if process.size > 1 else ""
        done = _finish(job, engines, dataset, checkpoint, f"evaluate {job.program.name}{processes}", show=first)
        score = functools.reduce(operator.add, process.gather(done.score))
        result = score.evaluation(job.data, origin.model, origin.integers, origin.skipped, origin.program_sha256)
        if job.quantized_baseline:
            result = _with_baseline(job, result, network, score, dataset, done, process.gather, show=first)
        if job.out is not None and first:
            write_evaluation(job.out, result)
    return result


def evaluate_shard(job: EvaluateJob, say: Callable[[str], None] = lambda line: None) -> Checkpoint:
    """Evaluate ``job.shard`` alone and keep it in ``job.checkpoint``; :func:`ecmt_deploy.runs.merge.merge` adds the shards.

    Parameters
    ----------
    say : told, in one line, how much is resumed
    """
    if job.shard is None or job.checkpoint is None:
        refuse(f"--shard {job.shard or 'i/n'} needs --checkpoint DIR, where the shard is kept for merge")
    if job.out is not None:
        refuse(f"--shard {job.shard} has no whole result to write; leave out --out, and give it to merge when all are done")
    if this_process().launched:
        refuse("--shard is for processes that torchrun did not start; leave it out, torchrun's divide the work by themselves")
    if job.quantized_baseline:
        refuse("--quantized-baseline needs the agreement on all samples; leave it out with --shard, or evaluate undivided")
    engines, dataset, checkpoint = _begin(job, job.shard)
    if done := checkpoint.done:
        say(f"{job.checkpoint}: {done} of the {plural(len(checkpoint.batches), 'batch')} of shard {job.shard} are done already")
    return _finish(job, engines, dataset, checkpoint, f"evaluate {job.program.name}, shard {job.shard}")


def _begin(job: EvaluateJob, shard: Shard) -> tuple[Engines, datasets.Dataset, Checkpoint]:
    """Everything about a shard that can fail early: the program, the whole data, and what of the shard is done."""
    source = load(job.program).to(choose_device(job.execution.device))
    steps = as_steps(job.timesteps, source.program)
    require_batch_size(job.batch_size)
    engines = Engines.of(source, job.precision, job.hardware, steps, job.network, job.quantized_baseline)
    for each in dict.fromkeys(engines):
        if each is not None:
            each.use(job.execution)
    model, program = engines.model, engines.model.program
    dataset = evaluation_data(program, job.data, job.limit, job.labels, job.skip_damaged)
    origin = Origin(
        program_sha256=sha256(job.program),
        model=program.provenance.model,
        data=job.data,
        samples_sha256=fingerprint(dataset),
        n_samples=len(dataset),
        timesteps=steps,
        batch_size=job.batch_size,
        dtype=program.dtype.name if program.integer else str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        memory_bytes=model.memory_bytes,
        compiled=job.execution.compiled,
        tool_version=version("ecmt-deploy"),
        torch_version=str(torch.__version__),
        integers=engines.integers,
        compared=engines.network is not None,
        skipped=dataset.skipped,
    )
    checkpoint = resume(job.checkpoint, origin, shard, program.nodes)
    if job.checkpoint and (wrong := impossible(program, checkpoint.score.activity)):
        raise RunError(f"{checkpoint_path(job.checkpoint, shard)}: {wrong}; {MEND}")
    return engines, dataset, checkpoint


def _finish(
    job: EvaluateJob, engines: Engines, dataset: datasets.Dataset, done: Checkpoint, what: str, show: bool = True
) -> Checkpoint:
    """Do what is left of a shard; ``what`` names it in the progress. Whatever stops it, the batches done by then are kept."""
    left = dataset.take(done.remaining)
    batches = left.batches(job.batch_size, workers=job.workers, pin_memory=engines.model.device.type == "cuda")
    path = checkpoint_path(job.checkpoint, done) if job.checkpoint else None
    with progress(what, len(left)) if show else nullcontext() as bar, Saver(path, done) as saver:
        for images, labels in bar.reading(batches) if bar else batches:
            saver.save(saver.latest.plus(score_batch(engines, images, labels, done.origin.timesteps, job.batch_size)))
            if bar:
                bar(saver.latest.n_samples - done.n_samples)
    return saver.latest


def _with_baseline(
    job: EvaluateJob, result: Evaluation, model: SpikingModel, score: Score, dataset: datasets.Dataset, shard: Checkpoint,
    gather: Callable[[Any], list[Any]], show: bool,
) -> Evaluation:  # fmt: skip
    """The result with the fewest bits of the plainly quantised network, on this process's samples and the others'."""
    size, own = job.batch_size, dataset.take(msgspec.structs.replace(shard, done=0).remaining)

    def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return own.batches(size, workers=job.workers, pin_memory=model.device.type == "cuda")

    ((first, _),) = dataset.take(range(min(size, len(dataset)))).batches(size)
    with progress("plain quantisation", None) if show else nullcontext() as bar:

        def tell(bits: int) -> None:
            if bar:
                bar(0, f"plain quantisation to {bits} bits")

        return with_baseline(result, model, score, read, first, gather=gather, progress=tell)


def choose_device(asked: str | None) -> torch.device:
    """The device of this process: its own GPU, or the CPU.

    Parameters
    ----------
    asked : ``cpu``, ``cuda``, or ``None`` for CUDA where there is any

    Raises
    ------
    ConfigError
        if there is no such device.
    """
    if asked == "cpu" or (asked is None and not torch.cuda.is_available()):
        return torch.device("cpu")
    if asked not in (None, "cuda"):
        raise ConfigError(f"device is {asked!r}; choose cpu or cuda")
    if not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: torch finds no CUDA device; use --device cpu, or a torch built for this machine's GPU"
        )
    local, there = this_process().local, torch.cuda.device_count()
    if local >= there:
        raise ConfigError(
            f"process {local} of this machine has no GPU of its own: torch finds {there}; use --nproc-per-node {there}"
        )
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    return device
