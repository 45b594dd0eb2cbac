"""Checkpoints of an evaluation: a restarted shard resumes from its own, and ``merge`` adds those of all shards."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.errors import RunError, plural, reading
from ecmt_deploy.evaluation.score import LARGEST, RESOLUTION, Positive, Score, Whole, zero
from ecmt_deploy.evaluation.shards import Shard, difference
from ecmt_deploy.files import write_atomically
from ecmt_deploy.program.activity import INTEGER_COUNTS, summed
from ecmt_deploy.program.audit import MOST
from ecmt_deploy.untrusted.text import require_plain

_NAME = re.compile(r"part-([1-9]\d{0,8})-of-([1-9]\d{0,8})\.json")
#: share of the time that writing checkpoints may take
_WRITING = 0.02
#: what to do about a checkpoint that cannot be used
MEND = "delete it, and evaluate computes it anew"


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a checkpoint is of; those of one evaluation have all of it in common.

    Attributes
    ----------
    program_sha256, model : digest of the program's file, and the model's name in it
    data, samples_sha256, n_samples : the data as it was asked for; digest of which samples and of their labels; how many
    timesteps, batch_size : steps T, and samples computed at once
    dtype, device, memory_bytes, compiled : in what, on what kind of device, with what room for streams, in fused kernels or not
    tool_version, torch_version : by what
    integers : of an integer program, its chip and widths; ``None`` where it computes in floats
    compared : whether there is an analog program that it is compared with
    skipped : how many samples were left out because they are damaged
    """

    program_sha256: str
    model: str | None
    data: str
    samples_sha256: str
    n_samples: Positive
    timesteps: Positive
    batch_size: Positive
    dtype: str
    device: str
    memory_bytes: int
    compiled: bool
    tool_version: str
    torch_version: str
    integers: str | None = None
    compared: bool = True
    skipped: Whole = 0


class Checkpoint(Shard, frozen=True, forbid_unknown_fields=True):
    """A shard of an evaluation, with the score of the first ``done`` of its batches."""

    origin: Origin
    done: Whole
    score: Score = msgspec.field(name="totals")

    @property
    def batches(self) -> range:
        """Numbers of the batches that are this shard's."""
        return self.numbers(-(-self.origin.n_samples // self.origin.batch_size))

    @property
    def complete(self) -> bool:
        """Whether all its batches are done."""
        return self.done == len(self.batches)

    @property
    def n_samples(self) -> int:
        """Samples in the batches that are done."""
        origin, n = self.origin, self.done * self.origin.batch_size
        fills_up = self.done > 0 and (self.batches[self.done - 1] + 1) * origin.batch_size > origin.n_samples
        return n - (-origin.n_samples % origin.batch_size) if fills_up else n

    @property
    def remaining(self) -> np.ndarray:
        """Positions in the data of the samples that are to do, batch after batch."""
        size = self.origin.batch_size
        positions = np.asarray(self.batches[self.done :], np.int64)[:, None] * size + np.arange(size)
        return positions[positions < self.origin.n_samples]

    def plus(self, score: Score) -> Checkpoint:
        """With one more batch done, whose score is ``score``."""
        return msgspec.structs.replace(self, done=self.done + 1, score=self.score + score)


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checkpoint in a file, with the digest of its text: a file that was damaged or edited is none any more."""

    sha256: str
    part: msgspec.Raw


class Saver:
    """Writes a checkpoint as it grows: as often as writing takes at most 2 % of the time, and at the end, however it ends.

    Parameters
    ----------
    path : the file, or ``None`` to write nothing
    checkpoint : what is done already
    """

    def __init__(self, path: Path | None, checkpoint: Checkpoint) -> None:
        self.latest = checkpoint
        self._path = path
        self._due = 0.0
        self._written: Checkpoint | None = None

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def save(self, checkpoint: Checkpoint) -> None:
        """Take what is done now, and write it if that is due."""
        self.latest = checkpoint
        if time.monotonic() >= self._due:
            self._write()

    def _write(self) -> None:
        if self._path is None or self.latest is self._written:
            return
        begin = time.monotonic()
        write_checkpoint(self._path, self.latest)
        end = time.monotonic()
        self._due, self._written = end + (end - begin) / _WRITING, self.latest


def checkpoint_path(folder: Path, shard: Shard) -> Path:
    """The file of a shard's checkpoint."""
    return folder / f"part-{shard.index}-of-{shard.count}.json"


def find_checkpoints(folder: Path) -> dict[Path, Shard]:
    """The checkpoints in a folder and their shards, by count and index."""
    if not folder.is_dir():
        return {}
    found = {path: Shard(int(match[1]), int(match[2])) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))}
    return dict(sorted(found.items(), key=lambda item: (item[1].count, item[1].index)))


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    text = msgspec.json.encode(checkpoint)
    write_atomically(path, msgspec.json.encode(_Sealed(hashlib.sha256(text).hexdigest(), msgspec.Raw(text))))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, and check that it can be what its name says.

    Raises
    ------
    RunError
        naming what is wrong with it.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such file; {MEND}")
    with reading(RunError, f"{path}: damaged", MEND):
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        if hashlib.sha256(sealed.part).hexdigest() != sealed.sha256:
            raise ValueError("its content is not what was written")
        checkpoint = msgspec.json.decode(sealed.part, type=Checkpoint)
    require_plain(checkpoint, str(path), RunError)
    name = checkpoint_path(path.parent, checkpoint).name
    if path.name != name:
        raise RunError(f"{path}: holds {name}; it was renamed or copied, delete it or give it its name back")
    if wrong := _impossible(checkpoint):
        raise RunError(f"{path}: {wrong}; {MEND}")
    return checkpoint


def _impossible(checkpoint: Checkpoint) -> str | None:
    """Why nothing can have computed this checkpoint, beyond what its types say."""
    origin, score = checkpoint.origin, checkpoint.score
    if not 1 <= checkpoint.index <= checkpoint.count:
        return f"shard {checkpoint}, expected an index of 1 to the count"
    if checkpoint.done > len(checkpoint.batches):
        return f"{checkpoint.done} batches done, but it has {len(checkpoint.batches)}"
    n = checkpoint.n_samples
    if score.n_samples != n:
        return f"counts {plural(score.n_samples, 'sample')}, but its {plural(checkpoint.done, 'batch')} hold {n}"
    compared = score.agreeing, score.analog_correct, score.cosine, score.relative_error
    if any((part is not None) != origin.compared for part in compared):
        return "a comparison with no analog program" if not origin.compared else "no comparison with the analog program"
    agreeing, cosine, error = score.agreeing or (), score.cosine or (), score.relative_error or ()
    by_step = (score.correct, agreeing, cosine, error) if origin.compared else (score.correct,)
    if {score.activity.timesteps, *map(len, by_step)} != {origin.timesteps}:
        return f"its totals are not of {origin.timesteps} time steps"
    if max(*score.correct, *agreeing, score.analog_correct or 0) > n:
        return f"more samples right than the {n} there are"
    for histogram in (*cosine, *error):
        if sum(histogram.values()) != n:
            return f"its cosines or errors are not of {n} samples"
        if histogram and not -1 <= min(histogram) * RESOLUTION <= max(histogram) * RESOLUTION <= LARGEST:
            return "cosines or errors that are none"
    nodes, steps = score.activity.nodes, score.activity.steps
    if len(steps) not in (0, origin.timesteps) or any(each.keys() != nodes.keys() for each in steps):
        return f"counts per step that are not of its {plural(origin.timesteps, 'step')} and its nodes"
    for name, counts in (item for part in (nodes, *steps) for item in part.items()):
        numbers = [*(getattr(counts, field) for field in INTEGER_COUNTS), *counts.ecm_ops.values()]
        if not 0 <= min(numbers) <= max(numbers) <= MOST:
            return f"counts of node {name} that are negative or beyond 64 bits"
    if steps and summed(steps) != nodes:
        return "counts per step that do not add up to its counts"
    return None


def resume(folder: Path | None, origin: Origin, shard: Shard, nodes: Iterable[str]) -> Checkpoint:
    """The checkpoint of a shard in a folder, which is made if it is not there; that of nothing done, if there is none.

    Raises
    ------
    RunError
        if the folder cannot be had, holds something of another evaluation, or a damaged checkpoint.
    """
    nothing = Checkpoint(shard.index, shard.count, origin, 0, zero(nodes, origin.timesteps, origin.compared))
    if folder is None:
        return nothing
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made a directory for checkpoints: {error.strerror}; choose another") from None
    for path, there in find_checkpoints(folder).items():
        if there.count != shard.count:
            raise RunError(
                f"{path}: one of {there.count} shards, this evaluation is divided in {shard.count}; go on in {there.count} "
                f"(torchrun processes, or --shard i/{there.count}), or choose another --checkpoint"
            )
    path = checkpoint_path(folder, shard)
    if not path.exists():
        return nothing
    checkpoint = read_checkpoint(path)
    different = difference(msgspec.structs.asdict(checkpoint.origin), msgspec.structs.asdict(origin))
    if different or checkpoint.score.activity.keys() != nothing.score.activity.keys():
        raise RunError(
            f"{path}: of another evaluation: {different or 'other nodes'}; evaluate the same, or choose another --checkpoint"
        )
    return checkpoint
