"""What the terminal shows of a stream: what came of it, what else could have been done, and where events fell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median

from ecmt_deploy.errors import plural
from ecmt_deploy.report import units
from ecmt_deploy.report.tables.plain import PlainTable
from ecmt_deploy.runs.frames import FrameRow
from ecmt_deploy.runs.record import RunRecord


def streamed(record: RunRecord, rows: Sequence[FrameRow], out: Path | None) -> Iterator[str | PlainTable]:
    """A sentence, the table of alternatives where there is one, and where the rows of all frames are."""
    yield sentence(record, rows)
    if record.clip is not None and record.clip.alternatives:
        yield alternatives(record)
    if out is not None:
        yield f"A row for every frame is in {out / 'frames.csv'}; `ecmt-deploy report {out}` makes a page of it."


def in_brief(record: RunRecord, rows: Sequence[FrameRow]) -> str:
    """The same in a line or two: what a frame takes, how many events, and how often the class is the network's."""
    clip = record.clip
    assert clip is not None
    spent, (events, compared) = fmean(row.snn_pj for row in rows), (_events(rows), _compared(rows))
    said = [
        f"{plural(len(rows), 'frame')} of {record.data}: {units.energy(spent)} a frame with memory,"
        f" {units.ratio(spent, clip.ann_pj)} times the {clip.ann_bits}-bit network"
    ]
    said += [f"{units.per_mac(fmean(events))} events per MAC"] if events else []
    said += [f"the network's class in {units.accuracy(_same(compared), len(compared))} %"] if compared else []
    return "; ".join(said)


def _events(rows: Sequence[FrameRow]) -> list[float]:
    """Events per MAC of the frames in which a stream runs on."""
    steady = [row for row in rows if not row.begun] or list(rows)
    return [row.events_per_mac for row in steady if row.events_per_mac is not None]


def _compared(rows: Sequence[FrameRow]) -> list[FrameRow]:
    return [row for row in rows if row.network_top is not None]


def _same(compared: Sequence[FrameRow]) -> float:
    return sum(row.top[0][0] == row.network_top for row in compared) / len(compared)


def sentence(record: RunRecord, rows: Sequence[FrameRow]) -> str:
    """What a stream took and how well it did, the answer first."""
    clip = record.clip
    assert clip is not None
    spent, events = fmean(row.snn_pj for row in rows), _events(rows)
    pays = "less than" if spent < clip.ann_pj else "more than"
    said = [
        f"{plural(len(rows), 'frame')} at {units.energy(spent)} a frame with memory, {pays} the {clip.ann_bits}-bit network's "
        f"{units.energy(clip.ann_pj)} ({units.ratio(spent, clip.ann_pj)} times)."
    ]
    if events:
        said.append(
            f"Synaptic events per MAC once it runs: {units.per_mac(fmean(events))} (median {units.per_mac(median(events))})."
        )
    begun = [row.frame for row in rows if row.begun][1:]
    if begun:
        listed = ", ".join(map(str, begun[:8])) + (", .." if len(begun) > 8 else "")
        said.append(f"It began anew behind {plural(len(begun), 'cut')} (frame {listed}).")
    if compared := _compared(rows):
        same = units.accuracy(_same(compared), len(compared))
        said.append(f"Its first class is the network's in {same} % of {plural(len(compared), 'frame')}.")
    for chip, times in clip.times.items():
        if time := times.following or times.begun:
            first = "" if times.following is None else f" ({units.latency(times.begun)} of the first)"
            said.append(f"{chip}: {units.latency(time)} from a frame to its answer{first}, {units.throughput(time)} frames/s.")
    if clip.frames_per_second is not None:
        rate = f"{units.figures(clip.frames_per_second)} frames/s on {record.target}"
        own = "" if clip.network_per_second is None else f", the network itself {units.figures(clip.network_per_second)}"
        said.append(f"Computed at {rate}{own}.")
    return " ".join(said)


def alternatives(record: RunRecord) -> PlainTable:
    """The stream beside what else could have been done with the same clip."""
    clip = record.clip
    assert clip is not None
    scale, unit = units.column_unit([row.pj_per_frame for row in clip.alternatives if row.pj_per_frame is not None])
    table = PlainTable(
        f"{plural(record.n_samples, 'frame')} of {record.data}", "", "per MAC", f"{unit} a frame", "cosine", "same class %",
        caption="per MAC: synaptic events, or MACs, over those of the network on every frame. Energy with memory, view (c). "
        "Cosine with the network's answers, both centred over the clip.",
    )  # fmt: skip
    for row in clip.alternatives:
        table.add_row(
            row.name,
            units.per_mac(row.per_mac),
            "unknown" if row.pj_per_frame is None else units.in_column(row.pj_per_frame / scale),
            units.cosine(row.cosine),
            "unknown" if row.agreement is None else units.accuracy(row.agreement, record.n_samples),
        )
    return table
