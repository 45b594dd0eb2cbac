"""What a run directory says of its run: how it ran, on what, and how well it did."""

from __future__ import annotations

from typing import Any

import msgspec

from ecmt_deploy.evaluation.score import Score, Whole
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.program import Provenance
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.runs.frames import ClipRecord
from ecmt_deploy.runs.machine import Machine
from ecmt_deploy.shown import Brief


class Conformance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run compared with another target's on the same samples.

    Attributes
    ----------
    reference_target, samples : with what, on how many
    spikes_equal, counts_equal : whether every node's spikes, and every count of every node, are equal
    max_abs_logit_difference : of the readouts, over samples, steps and classes
    differences : one line per count that differs
    """

    reference_target: str
    samples: Whole
    spikes_equal: bool
    counts_equal: bool
    max_abs_logit_difference: float
    differences: list[str]


class ShardRecord(Shard, frozen=True, forbid_unknown_fields=True):
    """Which shard of a longer run this is, and its score.

    Attributes
    ----------
    index, count : shard ``index`` of ``count``: samples index - 1, index - 1 + count, .. of the whole
    total, samples_sha256 : number of samples of the whole, and digest of which they are
    right, agreeing : samples right, and samples on which the analog program chooses the same, after every step
    analog_right : samples the analog program gets right
        (``None``, and none agreeing, where the file holds an integer program, which has no analog one)
    """

    total: Whole
    samples_sha256: str
    right: tuple[Whole, ...]
    agreeing: tuple[Whole, ...] | None
    analog_right: Whole | None

    @classmethod
    def made(cls, shard: Shard, total: int, samples_sha256: str, score: Score) -> ShardRecord:
        """The record of a shard with this score."""
        return cls(shard.index, shard.count, total, samples_sha256, score.correct, score.agreeing, score.analog_correct)

    def score(self, activity: Activity) -> Score:
        """The score of the shard, which counted ``activity``."""
        return Score(activity, self.right, self.agreeing, self.analog_right, None, None)


class RunRecord(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run was, and how well it did.

    Attributes
    ----------
    tool_version, target, precision, dtype : how it ran
    timesteps, n_samples, data, labels : on what, and whether classes were matched by ``name`` or by ``position``; ``None`` in
        runs from before that was asked
    program_sha256, provenance : what ran: digest of the run's own file of the program, and what it says of its origin
    accuracy, agreement : share of samples right, and share on which the analog program chooses the same, after every step
    analog_accuracy : share the analog program gets right
        (``None``, and no agreement, where the file holds an integer program, which has no analog one)
    conformance : comparison with the reference, if one was made
    build_seconds, run_seconds : to make the target ready, and to run; summed over shards; ``None`` where it is not known
    shard : which part of a longer run this is, if it is one
    clip : of a stream, whose samples are the frames of a clip with state kept, what it was; such a run has no accuracy
    skipped : how many samples were left out because they are damaged; of a shard, those of the whole
    machine : where it ran; ``None`` in runs from before that was asked, and where the shards of a run were made on several
    hardware, obstacles : the chip the program was placed on, and what did not fit there, a sentence each: it ran all the same
    """

    tool_version: str
    target: str
    precision: str
    dtype: str
    timesteps: Whole
    n_samples: Whole
    data: str
    program_sha256: str
    provenance: Provenance
    accuracy: list[float]
    analog_accuracy: float | None
    agreement: list[float] | None
    conformance: Conformance | None = None
    build_seconds: float | None = None
    run_seconds: float | None = None
    shard: ShardRecord | None = None
    labels: str | None = None
    hardware: str | None = None
    obstacles: list[str] = []
    clip: ClipRecord | None = None
    skipped: Whole = 0
    machine: Machine | None = None


def shares(score: Score) -> dict[str, Any]:
    """The fields of a :class:`RunRecord` that follow from its score."""
    return {
        "n_samples": score.n_samples,
        "accuracy": score.accuracy,
        "analog_accuracy": score.analog_accuracy,
        "agreement": score.agreement,
    }
