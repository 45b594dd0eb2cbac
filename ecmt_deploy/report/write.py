"""Results as files: tables, the page about one run or several, and the data of both."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.files import require_out, write_atomically
from ecmt_deploy.report.collect import compare_runs, report_on
from ecmt_deploy.report.comparison import Comparison, summary
from ecmt_deploy.report.csv import Table, to_csv
from ecmt_deploy.report.joins import EvaluationLike, TraceLike
from ecmt_deploy.runs.directory import ACTIVITY, RECORD


def write(out: Path, result: Any, table: Table | None = None) -> None:
    """Write a result as the suffix says: ``.csv`` its table, ``.html`` its page, else the result itself as JSON."""
    if out.suffix.lower() == ".csv" and table is not None:
        content = to_csv(table)
    elif out.suffix.lower() == ".html":
        from ecmt_deploy.report.html.page import render  # matplotlib takes long to load

        content = render(result)
    else:
        content = msgspec.json.format(msgspec.json.encode(result), indent=1).decode()
    write_atomically(out, content)


def write_report(
    runs: Sequence[Path], out: Path, names: Sequence[str] = (), trace: TraceLike | None = None, ann_bits: int | None = None,
    assume_functions: bool = False, evaluation: EvaluationLike | None = None, figures: Path | None = None,
    figures_width_in: float | None = None,
) -> None:  # fmt: skip
    """Write the page about a run, or about several side by side; with the suffix ``.json`` what the page is made of.

    ``figures`` is a directory for every chart as SVG, PNG, PDF and CSV, ``figures_width_in`` inches wide, by default a column
    of a paper.

    Raises
    ------
    ConfigError
        if there is no run, an evaluation or a trace for several, the name of the page is that of no page, or a width is given
        without figures, or is none.
    """
    if not runs:
        raise ConfigError("no run is named; give RUN [RUN ...], directories that simulate wrote")
    joined = {"--evaluation": evaluation, "--trace": trace}
    for option, part in joined.items():
        if len(runs) > 1 and part is not None:
            raise ConfigError(f"{option}: belongs to one run, and {len(runs)} are given; report on that run alone")
    if figures_width_in is not None and figures is None:
        raise ConfigError("--figures-width: is the width of figures, and none are written; add --figures DIR")
    files = [Path(part) for part in joined.values() if isinstance(part, str | PathLike)]
    require_out(out, ".html", ".json", reads=[*run_files(runs), *files])
    made: Any
    if figures is not None:
        from ecmt_deploy.report.figures import COLUMN_IN, require_width  # matplotlib takes long to load
        from ecmt_deploy.report.figures import write as write_figures

        width_in = require_width(COLUMN_IN if figures_width_in is None else figures_width_in)
    if len(runs) == 1:
        made = report_on(runs[0], names, trace, ann_bits, assume_functions, evaluation)
    else:
        made = compare_runs(runs, names, ann_bits=ann_bits, assume_functions=assume_functions)
    if figures is not None:
        write_figures(figures, made, width_in)
    write(out, made)


def write_comparison(files: Sequence[Path], compared: Comparison) -> None:
    """Write several runs side by side: the summary as ``.csv`` and ``.json``, the page as ``.html``."""
    table = summary(compared)
    for out in files:
        write(out, compared if out.suffix == ".html" else table.records(), table)


def run_files(runs: Sequence[Path]) -> list[Path]:
    """The files of runs that have a name a result could have."""
    return [run / name for run in runs for name in (RECORD, ACTIVITY)]
