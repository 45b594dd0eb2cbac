"""Figures of a report: every chart in four kinds of file, the same bytes again, and nothing of anybody else's lost."""

import os
import re
from xml.etree import ElementTree

import pytest

from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.report import figures
from ecmt_deploy.report.csv import to_csv
from ecmt_deploy.report.html.page import render
from tests.support import report_cases as cases
from tests.support.html import tables

REPORTS = {
    "run": cases.report(chips=("one",)),
    "hostile": cases.report([cases.HOSTILE], (cases.HOSTILE,)),
    "sweep": cases.comparison(4),
}


@pytest.mark.parametrize("name", REPORTS)
def test_every_chart_of_the_page_is_there_in_four_kinds(name, tmp_path):
    report = REPORTS[name]
    paths = figures.write(tmp_path / "figures", report)
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())
    charts = {chart.name: chart for chart in figures.charts_of(report)}
    page = render(report)
    assert set(charts) == {found for found in tables(page) if f'<figure id="{found}">' in page}
    for path in paths:
        content = path.read_bytes()
        if path.suffix == ".csv":
            assert content.decode() == to_csv(charts[path.stem].table)
        elif path.suffix == ".svg":
            width = ElementTree.fromstring(content).get("width")
            assert float(width.removesuffix("pt")) == pytest.approx(3.4 * 72, abs=0.1), "a column of a paper"
        else:
            assert content.startswith({".png": b"\x89PNG", ".pdf": b"%PDF"}[path.suffix])


@pytest.mark.parametrize("width_in", [2.5, 7])
def test_figures_are_as_wide_as_asked(width_in, tmp_path):
    """The text as large as ever, and the numbers the same."""
    narrow = {path.name: path.read_bytes() for path in figures.write(tmp_path / "narrow", REPORTS["run"])}
    wide = {path.name: path.read_bytes() for path in figures.write(tmp_path / "wide", REPORTS["run"], width_in=width_in)}
    assert set(narrow) == set(wide)
    for name, content in wide.items():
        if name.endswith(".svg"):
            width = ElementTree.fromstring(content).get("width")
            assert float(width.removesuffix("pt")) == pytest.approx(72 * width_in, abs=0.1)
            sizes = [set(re.findall(rb"font(?:-size)?: ?([0-9.]+)px", drawn[name])) for drawn in (narrow, wide)]
            assert sizes[0] == sizes[1]
        elif name.endswith(".csv"):
            assert content == narrow[name]


@pytest.mark.parametrize("width_in", [0, -7, 2.4, 20.1, 1e9, float("nan"), float("inf")])
def test_a_width_that_is_none_is_a_line_and_nothing_is_written(width_in, tmp_path):
    with pytest.raises(ConfigError, match=r"inches wide: expected 2.5 to 20 inches; 3.4 is a column") as caught:
        figures.write(tmp_path / "figures", REPORTS["run"], width_in=width_in)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_same_report_makes_the_same_bytes_and_replaces_its_own_figures(tmp_path):
    first = {path.name: path.read_bytes() for path in figures.write(tmp_path / "figures", REPORTS["run"])}
    assert {path.name: path.read_bytes() for path in figures.write(tmp_path / "figures", REPORTS["run"])} == first


def test_what_is_no_figure_of_the_report_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match=r"holds 'thesis\.tex', which is no figure of this report"):
        figures.write(tmp_path, REPORTS["run"])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(RunError, match="is a file, expected a directory"):
        figures.write(tmp_path / "thesis.tex", REPORTS["run"])
    with pytest.raises(RunError, match="its directory does not exist"):
        figures.write(tmp_path / "a" / "b", REPORTS["run"])


def test_a_chart_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, style):
        raise RuntimeError("no room")

    monkeypatch.setattr("ecmt_deploy.report.charts.svg.Chart.files", fail)
    with pytest.raises(RuntimeError, match="no room"):
        figures.write(tmp_path / "figures", REPORTS["run"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_to_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot be written to"):
        figures.write(tmp_path / "figures", REPORTS["run"])
