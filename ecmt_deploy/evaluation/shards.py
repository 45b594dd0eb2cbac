"""Long work in shards: a job is divided, a shard resumes from its checkpoint, and all shards of one job add up to the whole.

A job is N samples in ceil(N / B) batches of B, the last one filled up; shard i of n takes batches i - 1, i - 1 + n, .. in this
order (``simulate`` has B = 1). So every batch is computed from the same samples in the same shape whatever n is, and the scores
add up to that of the undivided job, exactly.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.evaluation.score import Whole


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shard ``index``, from 1, of ``count``."""

    index: Whole
    count: Whole

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @staticmethod
    def parse(text: str) -> Shard:
        """The shard that ``i/n`` names, 1 <= i <= n.

        Raises
        ------
        ConfigError
            if it is anything else.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(text))
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shard {text}: expected i/n with 1 <= i <= n, for example 1/4")
        return Shard(int(match[1]), int(match[2]))

    def numbers(self, total: int) -> range:
        """Which of 0 .. total - 1 are this shard's."""
        return range(self.index - 1, total, self.count)


_WORDS = {
    "program_sha256": "program", "samples_sha256": "samples", "n_samples": "number of samples", "timesteps": "time steps",
    "labels": "matching of labels", "hardware": "chip",
}  # fmt: skip


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first field in which two jobs differ, in words, the value of ``one`` first; ``None`` where they are equal."""
    for field, value in one.items():
        if value != other[field]:
            values = [str(each)[: 12 if field.endswith("sha256") else None] for each in (value, other[field])]
            return f"{_WORDS.get(field, field.replace('_', ' '))} {values[0]}, not {values[1]}"
    return None


def require_whole(found: Sequence[tuple[Path, Shard, Mapping[str, Any]]]) -> None:
    """Refuse what is not every shard of one job, each once.

    Parameters
    ----------
    found : for each, where it is, which shard, and what the shards of its job have in common

    Raises
    ------
    RunError
        naming the shard, and what is different or missing.
    """
    path, shard, common = found[0]
    seen: dict[int, Path] = {}
    for other, this, theirs in found:
        if this.count != shard.count:
            raise RunError(f"{other}: shard {this}, but {path} is shard {shard}; merge shards of one job")
        if different := difference(theirs, common):
            raise RunError(f"{other}: of another job than {path}: {different}; merge shards of one job")
        if this.index in seen:
            raise RunError(f"{other}: shard {this} is there twice, also as {seen[this.index]}; name each once")
        seen[this.index] = other
    absent = (f"{i}/{shard.count}" for i in range(1, shard.count + 1) if i not in seen)
    if missing := list(itertools.islice(absent, 6)):
        listed = ", ".join(missing[:5]) + (", .." if len(missing) > 5 else "")
        raise RunError(f"{path}: incomplete without shard {listed}; run it with --shard and name it too")
