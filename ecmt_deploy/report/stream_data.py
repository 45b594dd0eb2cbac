"""The numbers of every chart of a stream as a table: what the chart draws, and its CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import isnan
from statistics import fmean
from typing import Any

from ecmt_deploy.program.frames import FrameCounts
from ecmt_deploy.report.csv import Cell, Table
from ecmt_deploy.report.stream import Picture
from ecmt_deploy.runs.frames import ClipRecord, FrameRow

#: points along a chart, at most: of longer clips each is the mean of as many frames as it takes
POINTS = 400
#: every so many frames the network runs, where nobody compared anything
EVERY = (2, 4, 8)
#: classes that have a row of their own
CLASSES = 12
OTHER = "other classes"


def blocks(rows: Sequence[FrameRow]) -> list[Sequence[FrameRow]]:
    """Frames that are one point."""
    size = -(-len(rows) // POINTS)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def priced_chips(rows: Sequence[FrameRow]) -> list[str]:
    """Chips with a price for anything that the stream did."""
    return [chip for chip in rows[0].chips_pj if any(row.chips_pj.get(chip) for row in rows)]


def per_frame(clip: ClipRecord, rows: Sequence[FrameRow]) -> Table:
    """Energy, events, pixels and patches over time; ``begun`` counts the frames with which the stream began anew."""
    chips = priced_chips(rows)
    header = ("frame", "frames", "begun", "snn_pj", "ann_pj", "events_per_mac", "pixels_changed", "patches_sent")
    found: list[tuple[Cell, ...]] = []
    for block in blocks(rows):
        events = [row.events_per_mac for row in block if row.events_per_mac is not None]
        found.append((
            block[0].frame, len(block), sum(row.begun for row in block), _mean(block, lambda row: row.snn_pj), clip.ann_pj,
            fmean(events) if events else None, _mean(block, lambda row: row.pixels_changed),
            _mean(block, lambda row: row.patches_sent), *(fmean(row.chips_pj[chip] for row in block) for chip in chips),
        ))  # fmt: skip
    return Table((*header, *(f"{chip}_pj" for chip in chips)), found)


def events(result: Any) -> Table:
    """Events per multiply-accumulate of every frame, and whether the stream begins with it; no rows where there are no frames.

    Parameters
    ----------
    result : a ``StreamResult``, the ``FrameCounts`` of a stream, or a run, kept or not
    """
    counted = result if isinstance(result, FrameCounts) else getattr(result, "frames", None)
    found: list[tuple[Cell, ...]]
    if isinstance(counted, FrameCounts):
        shares = (None if isnan(share) else share for share in counted.events_per_mac.tolist())
        found = [(i, share, bool(anew)) for i, (share, anew) in enumerate(zip(shares, counted.begun, strict=True))]
    else:  # rows of a result, or of a run that was kept, which reads them
        rows = getattr(result, "rows", None) or (counted() if callable(counted) and result.record.clip else ())
        found = [(row.frame, row.events_per_mac, row.begun) for row in rows]
    return Table(("frame", "events_per_mac", "begun"), found)


def _mean(block: Sequence[FrameRow], value: Callable[[FrameRow], float]) -> float:
    return fmean(map(value, block))


def cumulative(clip: ClipRecord, rows: Sequence[FrameRow]) -> Table:
    """Energy from the first frame on, in pJ, a column each: the stream as it was, all else at its mean a frame.

    Without a comparison the network's rows are known all the same: on every k-th frame it takes a k-th.
    """
    means = {row.name: row.pj_per_frame for row in clip.alternatives if row.kind not in ("stream", "frozen")}
    if not clip.alternatives:
        means = {"the network, every frame": clip.ann_pj}
        means |= {f"the network, every {k} frames": clip.ann_pj / k for k in EVERY if k < len(rows)}
    known = {name: pj for name, pj in means.items() if pj is not None}
    sums, done = list(accumulate(row.snn_pj for row in rows)), 0
    found: list[tuple[Cell, ...]] = []
    for block in blocks(rows):
        done += len(block)
        found.append((block[-1].frame, sums[done - 1], *(pj * done for pj in known.values())))
    return Table(("frame", "this stream", *known), found)


def errors(rows: Sequence[FrameRow]) -> Table:
    """How far the answer is from the network's in the frames in which that ran, over the spread of its answers."""
    known = [row for row in rows if row.network_error is not None]
    found: list[tuple[Cell, ...]] = []
    for block in blocks(known) if known else ():
        values = [row.network_error for row in block if row.network_error is not None]
        found.append((block[0].frame, len(block), fmean(values), max(values)))
    return Table(("frame", "frames", "error", "largest_error"), found)


def classes(rows: Sequence[FrameRow]) -> Table:
    """The most probable class of the first frame of every point, what the network says, and what is right."""
    found: list[tuple[Cell, ...]] = [
        (row.frame, row.top[0][0], row.top[0][1], row.network_top, row.label) for row, *_ in blocks(rows)
    ]
    return Table(("frame", "class", "value", "network_class", "label"), found)


def shown_classes(table: Table) -> list[str]:
    """Classes by name; where there are many the most frequent, and the rest as :data:`OTHER`."""
    cells = [cell for name in ("class", "network_class", "label") for cell in table.column(name) if isinstance(cell, str)]
    found = sorted(dict.fromkeys(cells), key=lambda name: -cells.count(name))
    return sorted(found) if len(found) <= CLASSES else [*sorted(found[: CLASSES - 1]), OTHER]


def film(pictures: Sequence[Picture]) -> Table:
    """Events by place in every picture; rows and columns of patches."""
    found: list[tuple[Cell, ...]] = []
    for picture in pictures:
        if picture.heat is None:
            found.append((picture.frame, None, None, None))
        else:
            found += [(picture.frame, i, j, value) for i, line in enumerate(picture.heat) for j, value in enumerate(line)]
    return Table(("frame", "row", "column", "events"), found)
