"""Counts as arrays of integers, step by step, and frame by frame of a stream: their sums are an activity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ecmt_deploy.errors import plural
from ecmt_deploy.program.activity import INTEGER_COUNTS, Activity, Counts
from ecmt_deploy.program.graph import Program
from ecmt_deploy.shown import Plotted, Tabular

#: counts of a node in a row: the integers in the order of ``INTEGER_COUNTS``, then the elements evaluated
COLUMNS = len(INTEGER_COUNTS) + 1
#: where the elements evaluated stand among the fields of ``Counts``
_ECM_OPS = Counts.__struct_fields__.index("ecm_ops")


def row_of(counts: Counts) -> list[int]:
    """Counts of a node as a row of integers."""
    return [*(getattr(counts, name) for name in INTEGER_COUNTS), sum(counts.ecm_ops.values())]


def counts_of(row: Sequence[int], kind: str | None) -> Counts:
    """Counts from a row, with the ``kind`` under which the node's elementwise work is counted."""
    fields: list[Any] = [int(value) for value in row]
    elements = fields.pop()
    fields.insert(_ECM_OPS, {kind: elements} if kind else {})
    return Counts(*fields)


def activity_of(program: Program, rows: np.ndarray, samples: int, continued: int = 0) -> Activity:
    """The activity of a run.

    Parameters
    ----------
    rows : (T, nodes, :data:`COLUMNS`) int64, counts at every step over all samples, in the order of the program's nodes
    samples, continued : as of :class:`~ecmt_deploy.program.activity.Activity`
    """
    kinds = [program.work(name).kind for name in program.nodes]
    *steps, total = (
        dict(zip(program.nodes, map(counts_of, step, kinds), strict=True))
        for step in np.concatenate([rows, rows.sum(axis=0, keepdims=True)]).tolist()
    )
    return Activity(samples, len(rows), total, continued, tuple(steps))


@dataclass(frozen=True, repr=False)
class FrameCounts(Tabular, Plotted):
    """Counts of streams that ran side by side through one program, frame by frame.

    Attributes
    ----------
    program : what ran
    timesteps : steps of a frame
    rows : (F, S, nodes, :data:`COLUMNS`) int64: counts of every step of every frame, in the order of the program's nodes
    begun : (F,) bool, frames that began anew, as the first of a stream does; all others went on from the one before
    streams : streams that were counted together
    """

    charts = ("frames",)

    program: Program
    timesteps: int
    rows: np.ndarray
    begun: np.ndarray
    streams: int = 1

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        steps = f"{plural(self.timesteps, 'step')} each"
        return f"FrameCounts({plural(len(self), 'frame')} of {plural(self.streams, 'stream')}, {steps})"

    def __getitem__(self, frame: int) -> Activity:
        """The counts of one frame."""
        number = range(len(self))[frame]
        return self._activity(slice(number, number + 1))

    @cached_property
    def total(self) -> Activity:
        """The counts of all frames together."""
        return self._activity(slice(None))

    def since(self, frame: int) -> Activity:
        """The counts of frame ``frame`` and all that follow it, together."""
        return self._activity(slice(frame, None))

    def _activity(self, frames: slice) -> Activity:
        rows, begun = self.rows[frames], self.begun[frames]
        continued = self.streams * int(np.count_nonzero(~begun))
        return activity_of(self.program, rows.sum(axis=0), len(rows) * self.streams, continued)

    def of(self, count: str) -> np.ndarray:
        """One count, (F, nodes)."""
        column: np.ndarray = self.rows[..., INTEGER_COUNTS.index(count)].sum(axis=1)
        return column

    @property
    def events_per_mac(self) -> np.ndarray:
        """Synaptic events per multiply-accumulate of the ANN in every frame, (F,); encoding layers are left out of both."""
        outside = np.array([name not in self.program.encoding for name in self.program.nodes])
        work, dense = self.of("synops") + self.of("macs"), self.of("dense_macs")
        with np.errstate(invalid="ignore"):
            share: np.ndarray = work[:, outside].sum(axis=1) / dense[:, outside].sum(axis=1)
        return share
