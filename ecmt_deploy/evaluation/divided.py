"""The verb ``evaluate`` for a file: alone, divided over the processes of torchrun, or part by part without them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from ecmt_deploy.config import Execution
from ecmt_deploy.data import Dataset, Labels
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import RunError
from ecmt_deploy.evaluation.accuracy import finish, require_batch
from ecmt_deploy.evaluation.distributed import choose_device, process_group
from ecmt_deploy.evaluation.parts import MEND, Keeper, Origin, Part, empty_part, part_path, resume
from ecmt_deploy.evaluation.ranks import place, refuse
from ecmt_deploy.evaluation.shards import fingerprint, parse_shard
from ecmt_deploy.evaluation.totals import Evaluation, write_evaluation
from ecmt_deploy.files import require_out, sha256
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.progress import progress
from ecmt_deploy.runs.pipeline import evaluation_data


def evaluate_file(
    path: Path,
    data: str,
    timesteps: int | None = None,
    batch_size: int = 32,
    limit: int | None = None,
    out: Path | None = None,
    execution: Execution | None = None,
    checkpoint: Path | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    labels: Labels = "name",
) -> Evaluation:
    """Evaluate a program on a dataset; the calibration hold-out of a single split is left out.

    Under torchrun the processes divide the batches, each returns the whole result, and the first writes it to ``out``. What
    each has is kept in ``checkpoint``, and gone on from; ``say`` is then told. ``execution`` says how
    the engine runs, ``workers`` how many processes read (see :meth:`ecmt_deploy.data.Dataset.batches`), ``labels`` how labels
    find their output (docs/data.md).
    """
    with process_group() as group:
        first = group.rank == 0

        def begin() -> _Work:
            if out is not None and first:
                require_out(out, ".json")
            shard = group.rank + 1, group.size
            return _begin(path, data, shard, timesteps, batch_size, limit, execution, checkpoint, workers, labels)

        work = group.together(begin)
        origin = work.part.origin
        for rank, other in enumerate(group.gather(origin)):
            if difference := other.difference(origin):
                refuse(f"process {rank} evaluates something else: {difference}; give all processes the same files and options")
        group.use(work.model.device)
        before = sum(group.gather(work.part.n_samples))
        if first and before:
            say(f"{checkpoint}: {before} of {origin.n_samples} samples are counted already")
        processes = f" (process 1 of {group.size})" if group.size > 1 else ""
        part = work.finish(f"evaluate {path.name}{processes}", show=first)
        result = group.total(part.totals).evaluation(data, origin.model)
        if out is not None and first:
            write_evaluation(out, result)
    return result


def evaluate_shard(
    path: Path,
    data: str,
    shard: str,
    checkpoint: Path,
    timesteps: int | None = None,
    batch_size: int = 32,
    limit: int | None = None,
    execution: Execution | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    labels: Labels = "name",
) -> Part:
    """Compute part ``i/n`` of :func:`evaluate_file`'s work and keep it in ``checkpoint``; ``merge_parts`` adds the parts."""
    if place().launched:
        refuse("--shard is for processes that torchrun did not start; leave it out, torchrun's divide the work by themselves")
    numbers = parse_shard(shard)
    assert numbers is not None
    work = _begin(path, data, numbers, timesteps, batch_size, limit, execution, checkpoint, workers, labels)
    if work.part.done:
        say(f"{checkpoint}: {work.part.done} of the {len(work.part.batches)} batches of part {shard} are done already")
    return work.finish(f"evaluate {path.name}, part {shard}")


@dataclass(frozen=True)
class _Work:
    """What one process has to do of an evaluation: ``part`` is what is done of it, ``keeper`` writes it as it grows."""

    model: SpikingModel
    dataset: Dataset
    part: Part
    keeper: Keeper | None
    workers: int | None

    def finish(self, what: str, show: bool = True) -> Part:
        """Do what is left; ``what`` names it in the progress."""
        left = self.dataset.take(self.part.remaining)
        pinned = self.model.device.type == "cuda"
        batches = left.batches(self.part.origin.batch_size, workers=self.workers, pin_memory=pinned)
        with progress(what, len(left)) if show else nullcontext(None) as bar:
            return finish(self.model, self.part, bar.reading(batches) if bar else batches, self.keeper, bar)


def _begin(
    path: Path,
    data: str,
    shard: tuple[int, int],
    timesteps: int | None,
    batch_size: int,
    limit: int | None,
    execution: Execution | None,
    checkpoint: Path | None,
    workers: int | None,
    labels: Labels,
) -> _Work:
    """Everything about a part of an evaluation that can fail early."""
    run = execution or Execution()
    model = load(path).to(choose_device(run.device))
    model.use(run)
    program = model.program
    steps = program.timesteps if timesteps is None else timesteps
    require_batch(batch_size, steps)
    dataset = evaluation_data(program, data, limit, labels)
    origin = Origin(
        program_sha256=sha256(path),
        model=program.provenance.model,
        data=data,
        samples_sha256=fingerprint(dataset.indices, dataset.labels),
        n_samples=len(dataset),
        timesteps=steps,
        batch_size=batch_size,
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        memory_bytes=model.memory_bytes,
        compiled=run.compiled,
        tool_version=version("ecmt-deploy"),
        torch_version=str(torch.__version__),
    )
    if checkpoint is None:
        return _Work(model, dataset, empty_part(origin, *shard, program.nodes), None, workers)
    part = resume(checkpoint, origin, *shard, program.nodes)
    if wrong := impossible(program, part.totals.activity):
        raise RunError(f"{part_path(checkpoint, *shard)}: {wrong}; {MEND}")
    return _Work(model, dataset, part, Keeper(part_path(checkpoint, *shard)), workers)
