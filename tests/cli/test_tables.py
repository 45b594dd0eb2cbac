"""``--table FILE`` and ``--out FILE.tex``: the tables that a verb prints, as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecmt_deploy.cli.entry import parse
from ecmt_deploy.cli.options import Output
from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.report.tables.plain import PlainTable


def table(heading: str) -> PlainTable:
    made = PlainTable("a title", heading, "number")
    made.add_row("x_y", "1")
    return made


@pytest.mark.parametrize(("suffix", "shown"), [(".tex", "x\\_y & 1"), (".md", "| x\\_y | 1 |"), (".TEX", "x\\_y & 1")])
def test_tables_become_a_file_at_the_width_of_its_kind(tmp_path: Path, suffix: str, shown: str, capsys) -> None:
    widths: list[int] = []

    def wide(width: int) -> PlainTable:
        widths.append(width)
        return table("name")

    Output(table=tmp_path / f"t{suffix}").show({}, wide, "a line", None)
    written = (tmp_path / f"t{suffix}").read_text()
    assert shown in written
    assert "a line" in written
    assert "a title" in capsys.readouterr().out
    assert len(set(widths)) == 2


def test_tables_are_written_beside_json(tmp_path: Path, capsys) -> None:
    Output(json=True, table=tmp_path / "t.md").show({"a": 1}, table("name"))
    assert capsys.readouterr().out == '{\n "a": 1\n}\n'
    assert "x\\_y" in (tmp_path / "t.md").read_text()


@pytest.mark.parametrize("name", ["t.csv", "t", "t.tex.gz", "no/where.tex"])
def test_what_cannot_be_written_is_said_before_any_work(tmp_path: Path, name: str) -> None:
    with pytest.raises((ConfigError, RunError), match="t|where"):
        parse(["hardware", "--table", str(tmp_path / name)])
    assert not list(tmp_path.iterdir())


def test_out_of_a_kind_of_table_is_the_table(tmp_path: Path) -> None:
    own, output = Output().divided(tmp_path / "a.tex")
    assert own is None
    assert output.table == tmp_path / "a.tex"
    assert Output().divided(tmp_path / "a.json") == (tmp_path / "a.json", Output())
    with pytest.raises(ConfigError, match="give one"):
        Output(table=tmp_path / "b.md").divided(tmp_path / "a.tex")
