"""The part of an evaluation that one process has computed, as a file: a killed run goes on from it, and ``merge`` adds it.

An evaluation is N samples in ceil(N / B) batches of B, the last one filled up. Part i of n takes batches i - 1, i - 1 + n, ..
in this order. So every batch is computed from the same samples in the same shape whatever n is, and the totals are those of
the undivided evaluation, exactly.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.errors import RunError, reading
from ecmt_deploy.evaluation.totals import LARGEST, RESOLUTION, Totals, nothing
from ecmt_deploy.files import write_atomically
from ecmt_deploy.untrusted.text import require_plain

_NAME = re.compile(r"part-([1-9]\d{0,8})-of-([1-9]\d{0,8})\.json")
#: share of the time that writing parts may take
_WRITING = 0.02


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a part is of; parts of one evaluation have all of it in common.

    Attributes
    ----------
    program_sha256, model : digest of the program's file, and the model's name in it
    data, samples_sha256, n_samples : the data as it was asked for; digest of which samples and of their labels; how many
    timesteps, batch_size : steps T, and samples computed at once
    dtype, device, memory_bytes, compiled : in what, on what kind of device, with what room for streams, in fused kernels or not
    tool_version, torch_version : by what
    """

    program_sha256: str
    model: str | None
    data: str
    samples_sha256: str
    n_samples: int
    timesteps: int
    batch_size: int
    dtype: str
    device: str
    memory_bytes: int
    compiled: bool
    tool_version: str
    torch_version: str

    def difference(self, other: Origin) -> str | None:
        """The first field in which two differ, in words, this one's value first; ``None`` where they are equal."""
        for field in self.__struct_fields__:
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine != theirs:
                values = [value[:12] if field.endswith("sha256") else str(value) for value in (mine, theirs)]
                return f"{_WORDS.get(field, field.replace('_', ' '))} {values[0]}, not {values[1]}"
        return None


_WORDS = {"program_sha256": "program", "samples_sha256": "samples", "n_samples": "number of samples", "timesteps": "time steps"}


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Part ``index``, from 1, of ``count``, with the totals of the first ``done`` of its batches."""

    origin: Origin
    index: int
    count: int
    done: int
    totals: Totals

    @property
    def batches(self) -> range:
        """Numbers of the batches that are this part's."""
        return range(self.index - 1, -(-self.origin.n_samples // self.origin.batch_size), self.count)

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

    def plus(self, totals: Totals) -> Part:
        """With one more batch done, ``totals`` being those of all batches done."""
        return msgspec.structs.replace(self, done=self.done + 1, totals=totals)


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part in a file, with the digest of its text: a file that was damaged or edited is no part any more."""

    sha256: str
    part: msgspec.Raw


class Keeper:
    """Writes a part to its file as it grows: as often as writing takes at most 2 % of the time, and when told to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due = 0.0
        self._kept: Part | None = None

    def keep(self, part: Part, now: bool = False) -> None:
        """Write it, if it is due or must be ``now``."""
        begin = time.monotonic()
        if part is self._kept or not (now or begin >= self._due):
            return
        write_part(self._path, part)
        end = time.monotonic()
        self._due, self._kept = end + (end - begin) / _WRITING, part


def part_path(folder: Path, index: int, count: int) -> Path:
    """The file of a part."""
    return folder / f"part-{index}-of-{count}.json"


def find_parts(folder: Path) -> list[Path]:
    """The files of parts in a folder, by count and index."""
    if not folder.is_dir():
        return []
    named = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for match, path in sorted(named, key=lambda found: (int(found[0][2]), int(found[0][1])))]


def write_part(path: Path, part: Part) -> None:
    """Write a part, whole or not at all."""
    text = msgspec.json.encode(part)
    write_atomically(path, msgspec.json.encode(_Sealed(hashlib.sha256(text).hexdigest(), msgspec.Raw(text))))


def read_part(path: Path) -> Part:
    """Read a part, and check that it can be what its name says.

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
        part = msgspec.json.decode(sealed.part, type=Part)
    require_plain(part, str(path), RunError)
    name = part_path(path.parent, part.index, part.count).name
    if path.name != name:
        raise RunError(f"{path}: holds {name}; it was renamed or copied, delete it or give it its name back")
    if wrong := _impossible(part):
        raise RunError(f"{path}: {wrong}; {MEND}")
    return part


#: what to do about a part that is none
MEND = "delete it, and evaluate computes it anew"


def _impossible(part: Part) -> str | None:
    """Why nothing can have computed this part."""
    origin, totals = part.origin, part.totals
    if min(origin.n_samples, origin.timesteps, origin.batch_size, part.index, part.count) < 1 or part.index > part.count:
        return "sizes below 1, or an index beyond the count"
    if not 0 <= part.done <= len(part.batches):
        return f"{part.done} batches done, but it has {len(part.batches)}"
    if totals.n_samples != part.n_samples:
        return f"counts {totals.n_samples} samples, but its {part.done} batches hold {part.n_samples}"
    spreads = totals.cosine, totals.relative_error
    by_step = totals.correct, totals.agreeing, *spreads
    if {totals.activity.timesteps, *map(len, by_step)} != {origin.timesteps}:
        return f"its totals are not of {origin.timesteps} time steps"
    shares = [*totals.correct, *totals.agreeing, totals.analog_correct]
    if not 0 <= min(shares) <= max(shares) <= part.n_samples:
        return f"more samples right than the {part.n_samples} there are, or fewer than none"
    for values in (step for spread in spreads for step in spread):
        if sum(values.values()) != part.n_samples or min(values.values(), default=1) < 1:
            return f"its cosines or errors are not of {part.n_samples} samples"
        if values and not -1 <= min(values) * RESOLUTION <= max(values) * RESOLUTION <= LARGEST:
            return "cosines or errors that are none"
    try:
        vector = totals.vector(sorted(totals.kinds))
    except OverflowError:
        return "counts beyond 64 bits"
    return "negative counts" if vector.min() < 0 else None


def resume(folder: Path, origin: Origin, index: int, count: int, nodes: Iterable[str]) -> Part:
    """What there is of a part in a folder, which is made if it is not there; the empty part, if nothing.

    Raises
    ------
    RunError
        if the folder cannot be had, holds something of another evaluation, or a damaged part.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made a directory for checkpoints: {error.strerror}; choose another") from None
    path = part_path(folder, index, count)
    for other in find_parts(folder):
        there = _NAME.fullmatch(other.name)
        if there and int(there[2]) != count:
            raise RunError(
                f"{other}: one of {there[2]} parts, this evaluation is divided in {count}; go on in {there[2]} (torchrun "
                f"processes, or --shard i/{there[2]}), or choose another --checkpoint"
            )
    if not path.exists():
        return empty_part(origin, index, count, nodes)
    part = read_part(path)
    if (difference := part.origin.difference(origin)) or part.totals.activity.keys() != list(nodes):
        raise RunError(
            f"{path}: of another evaluation: {difference or 'other nodes'}; evaluate the same, or choose another --checkpoint"
        )
    return part


def empty_part(origin: Origin, index: int, count: int, nodes: Iterable[str]) -> Part:
    """A part nothing of which is done."""
    return Part(origin, index, count, 0, nothing(nodes, origin.timesteps))
