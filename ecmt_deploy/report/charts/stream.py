"""Charts of a stream: what every frame took, how close its answer is, what it shows, and where events fell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.report import stream_data, units
from ecmt_deploy.report.charts.axes import figure, legend, legend_height, number, panels, tip, tip_columns, width
from ecmt_deploy.report.charts.palette import BLUE, CYCLE, GREEN, INK, ORANGE, PALE, PURPLE, SOFT, VERMILION
from ecmt_deploy.report.charts.svg import chart, elided
from ecmt_deploy.report.csv import Cell, Table
from ecmt_deploy.report.stream import Picture
from ecmt_deploy.runs.frames import ClipRecord, FrameRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: from how many frames on that begin anew they are no longer marked from top to bottom
_CROWDED = 20
#: pictures beside one another
_COLUMNS = 4
_DASHES: tuple[Any, ...] = ("--", "-.", ":", (0, (6, 1.5)), (0, (1, 3)))
#: colour of what else could have been done, by its kind
_KINDS = {"network": VERMILION, "held": VERMILION, "gating": GREEN, "reset": PURPLE}


def _cuts(axes: Axes, frames: Sequence[int], label: str = "_") -> None:
    """A line at every frame with which the stream begins anew; where there are many, at the upper edge alone."""
    top = 0.92 if len(frames) > _CROWDED else 0
    for i, frame in enumerate(frames):
        axes.axvline(frame, ymin=top, color=SOFT, linewidth=0.7, linestyle=(0, (1, 2)), label="_" if i else label, zorder=0)


def _along(axes: Axes, first: float, last: float) -> None:
    axes.set_xlim(first - 0.5, max(last, first + 1) + 0.5)
    axes.locator_params(axis="x", integer=True, nbins=8)
    axes.set_xlabel("frame")


def _frame(row: dict[str, Cell]) -> str:
    """Which frames a point is of."""
    first, many = int(number(row["frame"])), int(number(row["frames"]))
    return f"frame {first}" if many == 1 else f"mean of frames {first} to {first + many - 1}"


def begins(rows: Sequence[FrameRow]) -> list[int]:
    """Frames with which the stream begins anew, the first left out."""
    return [row.frame for row in rows if row.begun][1:]


def _energies(axes: Axes, amounts: Sequence[float], what: str) -> float:
    """The scale of an axis of energies."""
    scale, unit = units.scale_of(max(amounts, default=0.0))
    axes.set_ylabel(f"{unit} {what}")
    axes.set_ylim(0, 1.06 * max(amounts, default=0.0) / scale or 1.0)
    axes.grid(axis="y")
    return scale


@chart
def per_frame(clip: ClipRecord, rows: Sequence[FrameRow]) -> tuple[Figure, Table]:
    """Energy with memory of every frame beside that of the network, and below it what changed and what was sent."""
    table = stream_data.per_frame(clip, rows)
    frames = [number(cell) for cell in table.column("frame")]
    spent = [number(cell) for cell in table.column("snn_pj")]
    made, (energy, shares) = panels((2.6, 1.3))
    scale = _energies(energy, [*spent, clip.ann_pj], "a frame")
    drawn: dict[str, Any] = {"drawstyle": "steps-mid", "linewidth": 1.2}
    energy.plot(frames, [pj / scale for pj in spent], color=BLUE, label="this stream", **drawn)
    energy.axhline(clip.ann_pj / scale, color=VERMILION, linestyle="--", label="the network, every frame: break-even")
    _cuts(energy, begins(rows), "begins anew behind a cut")
    _cuts(shares, begins(rows))
    for name, colour, line in (("pixels_changed", ORANGE, "-"), ("patches_sent", INK, "--")):
        values = [100 * number(cell) for cell in table.column(name)]
        shares.plot(frames, values, color=colour, linestyle=line, label=name.replace("_", " "), **drawn)
    shares.set_ylim(0, 104)
    shares.set_ylabel("share, %")
    shares.grid(axis="y")
    made.legend(loc="outside upper left", ncols=2, handlelength=1.8, columnspacing=1.2)
    _along(shares, frames[0], frames[-1])
    told = [
        f"{_frame(row)}\nthis stream: {units.energy(number(row['snn_pj']))}\nthe network: {units.energy(clip.ann_pj)}\n"
        f"pixels changed: {units.percent(number(row['pixels_changed']))}\n"
        f"patches sent: {units.percent(number(row['patches_sent']))}"
        for row in table.records()
    ]
    for axes in (energy, shares):
        tip_columns(axes, frames, told)
    return made, table


def draw_events(axes: Axes, table: Table, pays: float | None) -> None:
    """Synaptic events per multiply-accumulate of every frame, and below how many of them the stream pays, where known.

    Parameters
    ----------
    table : as of :func:`stream_data.events`
    pays : events per multiply-accumulate
    """
    frames, begun = ([int(number(cell)) for cell in table.column(name)] for name in ("frame", "begun"))
    per_mac = [np.nan if cell is None else number(cell) for cell in table.column("events_per_mac")]
    axes.plot(frames, per_mac, color=BLUE, drawstyle="steps-mid", linewidth=1.2, label="this stream")
    if pays is not None:
        axes.axhline(pays, color=VERMILION, linestyle="--", label=f"break-even, {units.per_mac(pays)}")
    _cuts(axes, [frame for frame, anew in zip(frames, begun, strict=True) if anew][1:], "begins anew")
    axes.set_ylim(0, 1.06 * max(np.nanmax([0.0, *per_mac]), pays or 0.0) or 1.0)
    axes.set_ylabel("events per MAC")
    axes.grid(axis="y")
    legend(axes)
    _along(axes, frames[0], frames[-1])


@chart
def on_chips(clip: ClipRecord, rows: Sequence[FrameRow]) -> tuple[Figure, Table]:
    """Energy of every frame at the chips' own prices."""
    table = stream_data.per_frame(clip, rows)
    chips = stream_data.priced_chips(rows)
    frames = [number(cell) for cell in table.column("frame")]
    made, axes = figure(2.4 + legend_height([elided(chip) for chip in chips]))
    values = {chip: [number(cell) for cell in table.column(f"{chip}_pj")] for chip in chips}
    scale = _energies(axes, [pj for column in values.values() for pj in column], "a frame")
    for i, (chip, column) in enumerate(values.items()):
        axes.plot(frames, [pj / scale for pj in column], drawstyle="steps-mid", linewidth=1.2, color=CYCLE[i % len(CYCLE)],
                  linestyle=("-", *_DASHES)[i // len(CYCLE) % 4], label=elided(chip))  # fmt: skip
    _cuts(axes, begins(rows))
    legend(axes)
    _along(axes, frames[0], frames[-1])
    told = [f"{_frame(row)}\n" + "\n".join(f"{chip}: {units.energy(number(row[f'{chip}_pj']))}" for chip in chips)
            for row in table.records()]  # fmt: skip
    tip_columns(axes, frames, told)
    header = ("frame", *(f"{chip}_pj" for chip in chips))
    return made, Table(header, list(zip(*map(table.column, header), strict=True)))


@chart
def cumulative(clip: ClipRecord, rows: Sequence[FrameRow]) -> tuple[Figure, Table]:
    """Energy since the first frame, of the stream and of what else could have been done."""
    table = stream_data.cumulative(clip, rows)
    frames = [number(cell) for cell in table.column("frame")]
    columns = {name: [number(cell) for cell in table.column(name)] for name in table.header[1:]}
    made, axes = figure(2.6 + 0.17 * len(columns))
    scale = _energies(axes, [column[-1] for column in columns.values()], "since the first frame")
    kinds = {row.name: row.kind for row in clip.alternatives}
    colours = {name: BLUE if name == table.header[1] else _KINDS[kinds.get(name, "network")] for name in columns}
    for name, column in sorted(columns.items(), key=lambda each: -each[1][-1]):
        alike = [other for other in columns if colours[other] == colours[name]]
        dashes, width = ("-", 2.4) if colours[name] == BLUE else (_DASHES[alike.index(name) % len(_DASHES)], 1.2)
        label = f"{elided(name, 46)}: {units.energy(column[-1])}"
        line = [frames[0] - 0.5, *frames], [pj / scale for pj in (0.0, *column)]
        axes.plot(*line, color=colours[name], linestyle=dashes, linewidth=width, label=label)
    _cuts(axes, begins(rows))
    legend(axes, 2.6)
    _along(axes, frames[0], frames[-1])
    tip_columns(axes, frames, [
        f"to frame {row['frame']}\n" + "\n".join(f"{name}: {units.energy(number(row[name]))}" for name in columns)
        for row in table.records()
    ])  # fmt: skip
    return made, table


@chart
def errors(rows: Sequence[FrameRow]) -> tuple[Figure, Table]:
    """How far the answer is from the network's, in the frames in which that ran."""
    table = stream_data.errors(rows)
    frames = [number(cell) for cell in table.column("frame")]
    made, axes = figure(2.1)
    values = [100 * number(cell) for cell in table.column("error")]
    axes.plot(frames, values, color=BLUE, linewidth=1, marker="o", markersize=3 if len(frames) < 100 else 1.5)
    axes.set_ylim(0, 1.08 * max(values) or 1.0)
    axes.set_ylabel("error, %")
    axes.grid(axis="y")
    _cuts(axes, begins(rows))
    _along(axes, rows[0].frame, rows[-1].frame)
    tip_columns(axes, frames, [f"{_frame(row)}\nerror: {units.percent(number(row['error']))}" for row in table.records()])
    return made, table


@chart
def classes(rows: Sequence[FrameRow], values: str) -> tuple[Figure, Table]:
    """The class over time, with the network's and the right one where they are known; below it how probable it is."""
    table = stream_data.classes(rows)
    names = stream_data.shown_classes(table)
    frames = np.array([number(cell) for cell in table.column("frame")])
    made, (named, value) = panels((0.75 + 0.19 * max(len(names), 3), 1.2))
    looks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("label", {"marker": "s", "markersize": 9, "color": PALE, "markeredgewidth": 0, "label": "right"}),
        ("network_class", {"marker": "o", "markersize": 5.5, "color": VERMILION, "fillstyle": "none", "label": "the network"}),
        ("class", {"marker": "o", "markersize": 2.6, "color": BLUE, "label": "this stream"}),
    )
    for column, look in looks:
        cells = table.column(column)
        known = [i for i, cell in enumerate(cells) if cell is not None]
        if known:
            places = [names.index(str(cells[i])) if cells[i] in names else len(names) - 1 for i in known]
            named.plot(frames[known], places, linestyle="none", **look)
    named.set_yticks(range(len(names)), [elided(name) for name in names])
    named.set_ylim(len(names) - 0.4, -0.6)
    named.tick_params(axis="y", length=0)
    named.grid(axis="y")
    named.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handlelength=1.0, columnspacing=1.2, borderaxespad=0.1)
    shown = np.array([number(cell) for cell in table.column("value")])
    value.plot(frames, shown, color=BLUE, drawstyle="steps-mid", linewidth=1.1)
    if values == "probability":
        value.set_ylim(0, 1.04)
    value.set_ylabel(values)
    value.grid(axis="y")
    told = [
        f"frame {frame}\nthis stream: {name}, {values} {units.figures(number(size))}"
        + "".join(f"\n{who}: {what}" for who, what in (("the network", network), ("right", label)) if what is not None)
        for frame, name, size, network, label in table.rows
    ]
    for axes in (named, value):
        _cuts(axes, begins(rows))
        tip_columns(axes, frames.tolist(), told)
    _along(value, rows[0].frame, rows[-1].frame)
    return made, table


@chart
def film(pictures: Sequence[Picture], begun: Sequence[int]) -> tuple[Figure, Table]:
    """Frames as pictures, and under each where events fell; one scale for all."""
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator

    table = stream_data.film(pictures)
    heats = [np.asarray(picture.heat) for picture in pictures if picture.heat is not None]
    largest = max((float(heat.max()) for heat in heats), default=0.0)
    columns = min(_COLUMNS, len(pictures))
    lines, deep = -(-len(pictures) // columns), 2 if heats else 1
    cell = (width() - 0.1) / _COLUMNS
    tall = cell * pictures[0].height / pictures[0].width
    size = width(), lines * (deep * (tall + 0.04) + 0.22) + (0.55 if heats else 0.05)
    made = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.015, wspace=0, hspace=0))
    places = made.subplots(lines * deep, _COLUMNS, squeeze=False)
    norm, drawn = PowerNorm(0.5, 0, largest or 1.0), None
    for axes in places.ravel():
        axes.set_axis_off()
    for i, picture in enumerate(pictures):
        line, column = divmod(i, columns)
        axes = places[deep * line, column]
        axes.imshow(picture.array, interpolation="none", aspect="auto")
        axes.set_title(f"{picture.frame}{' (begins)' if picture.frame in begun else ''}", fontsize=8, pad=2)
        fell = "" if picture.heat is None else f"\n{units.count(float(np.sum(picture.heat)))} synaptic events"
        axes.get_images()[0].set_gid(tip(f"frame {picture.frame}{fell}"))
        if picture.heat is None:
            continue
        axes = places[deep * line + 1, column]
        drawn = axes.imshow(np.asarray(picture.heat), cmap="OrRd", norm=norm, interpolation="none", aspect="auto")
    if drawn is not None:
        bar = made.colorbar(drawn, ax=list(places.ravel()), location="bottom", aspect=40, pad=0.01)
        bar.locator = MaxNLocator(3)
        bar.set_label("synaptic events from a patch in a frame", fontsize=8)
        bar.ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if largest >= 10 else units.tick(value))
        bar.ax.tick_params(labelsize=8)
    return made, table
