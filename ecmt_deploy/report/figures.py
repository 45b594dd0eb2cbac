"""Every chart of a report as files for a paper: SVG, PNG, PDF, and the numbers as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.files import replacing_directory, require_parent
from ecmt_deploy.report.charts.style import PAPER
from ecmt_deploy.report.charts.svg import Chart
from ecmt_deploy.report.comparison import Comparison
from ecmt_deploy.report.csv import to_csv
from ecmt_deploy.report.html.page import contents
from ecmt_deploy.report.model import Report
from ecmt_deploy.report.stream import StreamReport

#: kinds of file of a chart
KINDS = ("svg", "png", "pdf", "csv")
#: inches: a column of a paper, and how narrow and how wide a figure can be
COLUMN_IN, NARROWEST_IN, WIDEST_IN = 3.4, 2.5, 20.0


def write(directory: Path, report: Report | Comparison | StreamReport, width_in: float = COLUMN_IN) -> list[Path]:
    """Write every chart of a report as ``NAME.svg``, ``.png`` (300 dpi), ``.pdf`` and ``.csv``, all of them or none.

    Text has 7 and 8 points at every width; the names are those of the files that the page offers. The same report makes the
    same bytes.

    Parameters
    ----------
    directory : to write to; it is made, or must hold nothing but figures of this report, which are replaced
    report : what the page shows
    width_in : inches; 3.4 is a column of a paper, 7 both of two

    Returns
    -------
    the paths, chart by chart

    Raises
    ------
    ConfigError
        if nothing can be drawn so wide, or so narrow.
    RunError
        if the directory holds anything else, or cannot be written.
    """
    style = {**PAPER, "figure.figsize": (require_width(width_in), PAPER["figure.figsize"][1])}
    charts = charts_of(report)
    names = [f"{chart.name}.{kind}" for chart in charts for kind in KINDS]
    require_directory(directory, names)
    with replacing_directory(directory) as made:
        for chart in charts:
            drawn, table = chart.files(style)
            for kind, content in (*drawn.items(), ("csv", to_csv(table).encode())):
                (made / f"{chart.name}.{kind}").write_bytes(content)
    return [directory / name for name in names]


def require_width(width_in: float) -> float:
    """A width in inches that text fits into.

    Raises
    ------
    ConfigError
        if it is none.
    """
    if not NARROWEST_IN <= width_in <= WIDEST_IN:
        raise ConfigError(
            f"figures {width_in:g} inches wide: expected {NARROWEST_IN:g} to {WIDEST_IN:g} inches; "
            f"{COLUMN_IN:g} is a column of a paper, 7 both of two"
        )
    return width_in


def require_directory(directory: Path, names: list[str]) -> None:
    """Fail before long work where figures of these names could not be written.

    Raises
    ------
    RunError
        if the directory holds anything else, is none, or its parent cannot be written to.
    """
    require_parent(directory)
    if directory.exists() and not directory.is_dir():
        raise RunError(f"{directory}: is a file, expected a directory for figures; choose another --figures")
    strange = sorted({entry.name for entry in directory.iterdir()} - set(names)) if directory.is_dir() else []
    if strange:
        raise RunError(
            f"{directory}: holds {strange[0]!r}, which is no figure of this report; choose an empty directory with --figures"
        )


def charts_of(report: Report | Comparison | StreamReport) -> list[Chart]:
    """The charts of a page, in its order."""
    return list(_charts(contents(report)))


def _charts(found: Any) -> Iterator[Chart]:
    if isinstance(found, Chart):
        yield found
    elif isinstance(found, dict):
        for each in found.values():
            yield from _charts(each)
    elif isinstance(found, list | tuple):
        for each in found:
            yield from _charts(each)
