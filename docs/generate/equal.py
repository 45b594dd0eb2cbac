"""At equal accuracy: what preset ``graded`` and plain quantisation take; the sentences, the table and the figure of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy import PLAIN, Row, cells, cheapest, heads
from docs.generate.documents import block, put, put_rows, table
from ecmt_deploy.report import units
from ecmt_deploy.report.charts.axes import log_ticks
from ecmt_deploy.report.charts.palette import CYCLE
from ecmt_deploy.report.charts.svg import chart
from ecmt_deploy.report.csv import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
DOCUMENT, README, PICTURE = ROOT / "docs" / "accuracy.md", ROOT / "README.md", ROOT / "docs" / "accuracy.svg"
GRADED = "graded"
#: agreements at which both are compared, and the one at which view (c) is told
LEVELS, WITH_MEMORY = (0.996, 0.984, 0.96), 0.99
#: the least agreement that the figure shows, in per cent, and the inches of one of its panels
LOWEST, PANEL, HEIGHT = 85.0, 3.3, 3.6
_AXES = ("model", "method", "events per MAC", "agreement with the ANN, %")


def write(rows: Sequence[Sequence[Row]]) -> None:
    """Write the rows of the models that were measured, a list each, and draw the figure of all that stand there then."""
    put_rows(DOCUMENT, "equal", [], [claim(mine) for mine in rows], "- **")
    put_rows(DOCUMENT, "methods", *lines_of([row for mine in rows for row in mine]), "| ")
    lines = block(DOCUMENT, "methods")
    PICTURE.write_text(picture(points(lines)))
    put(README, "equal", glance(lines))


def picture(found: Table) -> str:
    """The figure as a file of its own, on white: the pages that show it may be dark."""
    alt = "Agreement with the ANN against synaptic events per MAC, a panel a model, a line a method."
    drawn = str(curves("accuracy", alt, found).svg)
    return drawn.replace("<svg ", '<svg style="background: white" ', 1) + "\n"


def lines_of(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """The heading of the table, and its rows."""
    lines = table(heads(), [cells(row) for row in rows])
    return lines[:2], lines[2:]


def claim(rows: Sequence[Row]) -> str:
    """What the rows of one model say, in words."""
    first = rows[0]
    parts = [f"for {100 * level:g} % {_taken(rows, level)}" for level in LEVELS]
    line = f"- **{first.model}** ({first.samples} samples), events per MAC to choose the ANN's class: {'; '.join(parts)}."
    enough = cheapest(rows, GRADED, WITH_MEMORY)
    told = f"for {100 * WITH_MEMORY:g} % of the samples"
    if enough is None:
        return f"{line} No budget of `graded` is enough {told}."
    line += (
        f" With memory (view (c)), `graded` costs {units.figures(enough.ratio)} times its ANN of {enough.memory.ann_bits} bits"
    )
    line += f" {told}, at {enough.events_per_mac:.2f}"
    paying = [row for row in rows if row.family == GRADED and row.ratio < 1]
    if not paying:
        return f"{line}, and at no budget less."
    best = max(paying, key=lambda row: row.agreement)
    return f"{line}, and less than its ANN at {best.events_per_mac:.2f}, for {units.hundredths(best.agreement)} %."


def _taken(rows: Sequence[Row], level: float) -> str:
    graded, plain = (cheapest(rows, family, level) for family in (GRADED, PLAIN))
    mine = "`graded` at no budget" if graded is None else f"`graded` {graded.events_per_mac:.2f}"
    if plain is None:
        return f"{mine}, plain quantisation at no width"
    return f"{mine}, plain quantisation {plain.events_per_mac:.2f} ({plain.method.removeprefix(PLAIN).strip()})"


def glance(lines: Sequence[str]) -> list[str]:
    """Of the table in the document: events per MAC of both at every agreement, a row a model."""
    found = [dict(zip(heads(), _cells(line), strict=True)) for line in lines[2:]]

    def least(model: str, family: str, level: float) -> str:
        able = [
            row["events per MAC"] for row in found
            if row["model"] == model and row["method"].split()[0].rstrip(",") == family
            and float(row["agreement with the ANN, %"].split()[0]) >= 100 * level
        ]  # fmt: skip
        return min(able, key=float, default="out of reach")

    samples = {row["model"]: row["samples"] for row in found}
    return table(
        ["model", *(f"{100 * level:g} % of the ANN's answers" for level in LEVELS)],
        [
            [f"{model} ({n} samples)", *(f"**{least(model, GRADED, at)}** / {least(model, PLAIN, at)}" for at in LEVELS)]
            for model, n in samples.items()
        ],
    )


def points(lines: Sequence[str]) -> Table:
    """Model, series, events per MAC and agreement in per cent of every row of the table in the document."""
    rows = [dict(zip(heads(), _cells(line), strict=True)) for line in lines if line.startswith("| ")][1:]
    model, method, events, agreement = _AXES
    return Table(_AXES, [
        (row[model], series(row[method]), float(row[events]), float(row[agreement].split()[0])) for row in rows
    ])  # fmt: skip


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def series(method: str) -> str:
    """The line that a method is a point of: without its budget or bits."""
    return re.sub(r", budget [\d.]+| \d+ bits", "", method)


@chart
def curves(found: Table) -> tuple[Figure, Table]:
    """Agreement against events, a panel a model, a line a series."""
    from matplotlib.figure import Figure

    models, lines = (list(dict.fromkeys(found.column(name))) for name in _AXES[:2])
    made = Figure(figsize=(PANEL * max(len(models), 2), HEIGHT), layout="constrained")
    panels = made.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for panel, model in zip(panels, models, strict=True):
        for i, line in enumerate(lines):
            mine = sorted((events, agreement) for name, of, events, agreement in found.rows if (name, of) == (model, line))
            panel.plot([x for x, _ in mine], [y for _, y in mine], color=CYCLE[i % len(CYCLE)], marker="osD^vP"[i % 6],
                       markersize=4, linewidth=1.2, label=line)  # fmt: skip
        panel.set_xscale("log")
        panel.set_xlim(0.085, 2.4)
        panel.set_ylim(LOWEST, 100.4)
        log_ticks(panel, units.tick)
        panel.set_title(str(model), fontsize=9)
        panel.set_xlabel("events per MAC, logarithmic")
        panel.grid()
    panels[0].set_ylabel(_AXES[3])
    made.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=2.2)
    return made, found
