"""What a page about a stream shows, as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from ecmt_deploy.chips import Hardware, Source
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.estimation.result import Energy
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.report.model import whole
from ecmt_deploy.runs.directory import StoredRun
from ecmt_deploy.runs.frames import FrameRow
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.shown import Brief

#: pictures of a page, at most
PICTURES = 12


class Picture(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frame as a picture.

    Attributes
    ----------
    frame : its number
    height, width, pixels : (height, width, 3), a byte a value
    heat : synaptic events by patch, as of :attr:`Film.patches`, (h, w); ``None`` where nobody knows where they fell
    """

    frame: int
    height: int
    width: int
    pixels: bytes
    heat: list[list[float]] | None

    @property
    def array(self) -> np.ndarray:
        """(height, width, 3) uint8."""
        return np.frombuffer(self.pixels, np.uint8).reshape(self.height, self.width, 3)


class StreamReport(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the page shows.

    Attributes
    ----------
    record, rows : the run, and a row for every frame
    film : some frames as pictures
    energies, placements, cores_per_chip, sources : of a mean frame, as of :class:`~ecmt_deploy.report.model.Report`
    saturations : integers clipped per frame, by node; nodes without are absent
    nodes : number of nodes
    """

    record: RunRecord
    rows: list[FrameRow]
    film: list[Picture]
    energies: list[Energy]
    placements: list[Placement]
    cores_per_chip: list[int | None]
    sources: list[dict[str, Source]]
    saturations: dict[str, float]
    nodes: int

    def __post_init__(self) -> None:
        if self.record.clip is None:
            raise ConfigError("the record is of no stream; a page about a stream is made of one")


def make_stream_report(stored: StoredRun, chips: Sequence[tuple[Hardware, Placement, Energy]]) -> StreamReport:
    """Collect what the page of a stored stream shows.

    Raises
    ------
    RunError
        if its rows or pictures are missing, damaged, or of another run.
    """
    activity: Activity = stored.activity
    counts = dict(activity.items())
    return StreamReport(
        record=stored.record,
        rows=stored.frames(),
        film=_pictures(stored.film()),
        energies=[energy for _, _, energy in chips],
        placements=[placement for _, placement, _ in chips],
        cores_per_chip=[whole(hardware.limits.cores_per_chip) for hardware, _, _ in chips],
        sources=[hardware.sources for hardware, _, _ in chips],
        saturations={name: c.saturations / activity.n_samples for name, c in counts.items() if c.saturations},
        nodes=len(stored.program.nodes),
    )


def _pictures(film: Mapping[str, np.ndarray]) -> list[Picture]:
    """At equal distances, the first and the last among them."""
    frames, pictures, events = film["frames"], film["pictures"], film["events"]
    if not len(frames):
        return []
    patches = _coarse(film["patches"])
    chosen = np.unique(np.linspace(0, len(frames) - 1, PICTURES).round().astype(int))
    height, width = pictures.shape[1:3]
    return [
        Picture(
            frame=int(frames[i]),
            height=height,
            width=width,
            pixels=pictures[i].tobytes(),
            heat=events[i][patches].tolist() if events.shape[1] else None,
        )
        for i in chosen
    ]


def _coarse(patches: np.ndarray) -> np.ndarray:
    """A map of patches (H, W) with as few rows and columns as say the same."""
    for axis in (0, 1):
        lines = np.moveaxis(patches, axis, 0)
        edges = np.flatnonzero((lines[1:] != lines[:-1]).any(axis=1)) + 1
        step = int(np.gcd.reduce([*edges.tolist(), len(lines)]))
        patches = np.moveaxis(lines[::step], 0, axis)
    return patches
