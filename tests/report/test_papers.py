"""Tables as LaTeX and Markdown: whatever their text is, it is shown and never obeyed."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Group
from rich.text import Text

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.report.papers import latex, made_by, markdown, papers, write_tables
from ecmt_deploy.report.papers.latex import PAGE
from ecmt_deploy.report.tables.plain import PlainTable
from ecmt_deploy.untrusted.text import one_line

HOSTILE = st.text(
    st.one_of(st.sampled_from(list("\\{}&%$#_~^<>|`\"'*[]()-=+!@\n\r\t\u202e\u0000 ")), st.characters()), max_size=30
)
INJECTED = r"\input{/etc/passwd} & \\ % $x_1^2$ {~} | `code` <script> [link](x) *b* #1"


def made(title: str, cells: list[str], sections: bool = True) -> PlainTable:
    """A table of two columns, with a totals row of its own."""
    table = PlainTable(title, "node", "energy, nJ", caption=title)
    for cell in cells:
        table.add_row(cell, cell)
    if sections:
        table.add_row()
    table.add_row("total", "1")
    return table


def unescaped(line: str) -> str:
    """What LaTeX shows of it, of what these tests put in."""
    for escape, shown in {
        r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
        r"\textgreater{}": ">", r"\textbar{}": "|", r"\textasciigrave{}": "`",
    }.items():  # fmt: skip
        line = line.replace(escape, f"\0{ord(shown):06d}")
    line = re.sub(r"\\([{}&%$#_])", lambda found: f"\0{ord(found[1]):06d}", line)
    return line


@given(HOSTILE, st.lists(HOSTILE, min_size=1, max_size=4))
@example(INJECTED, [INJECTED, "[2pt]", "*", "---", "-"])
def test_latex_obeys_no_text(title: str, cells: list[str]) -> None:
    written = latex(papers([made(title, cells)]), title)
    lines = written.splitlines()
    assert [line for line in lines if line.startswith("%")] == [f"% {one_line(title)}", "% \\usepackage{booktabs}"]
    body = [line for line in lines if not line.startswith("%")]
    known = ("toprule", "midrule", "bottomrule", "centering", "caption", "label", "begin", "end", "par", "smallskip",
             "footnotesize", "leq", "geq", "mu", "cdot", "times", "pm", "to", "ldots")  # fmt: skip
    for line in body:
        left = unescaped(line)
        assert set(re.findall(r"\\([a-zA-Z]+)", left)) <= set(known), line
        assert not set("#%^") & set(left.replace("$^2$", ""))
        assert left.count("{") == left.count("}")
        assert left.count("$") % 2 == 0
    rows = [line for line in body if line.endswith(r" \\")]
    assert len(rows) == len(cells) + 2
    assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in rows)
    assert not any(row.startswith(("[", "*", "(", "-")) for row in rows)


@given(HOSTILE, st.lists(HOSTILE, min_size=1, max_size=4))
@example(INJECTED, [INJECTED, "-->", "1. a"])
def test_markdown_obeys_no_text(title: str, cells: list[str]) -> None:
    written = markdown(papers([made(title, cells)]), title)
    comment, *body = written.splitlines()
    assert comment.startswith("<!-- ")
    assert comment.count(">") == 1
    assert comment.endswith(" -->")
    rows = [line for line in body if line.startswith("|")]
    assert len(rows) == len(cells) + 4  # header, alignment, an empty row, totals
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3 for row in rows)
    left = re.sub(r"\\[\\`*_{}\[\]<>|~&$#+=.)-]", "", "\n".join(line for line in body if not line.startswith("| :--")))
    assert not set(re.sub(r"\*\*", "", left)) & set("`*_[]<>&$~{}")


@pytest.mark.parametrize("rows", [1, PAGE, PAGE + 1, 200])
def test_every_environment_ends(rows: int) -> None:
    written = latex(papers([made("a", ["x"] * (rows - 1))] * 2), "b", ("Key2020", "b:c"))
    open_: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", written):
        if kind == "begin":
            open_.append(name)
        else:
            assert open_.pop() == name
    assert not open_
    assert ("longtable" in written) == (rows > PAGE)
    assert written.count(r"\cite{Key2020,b:c}") == 1
    labels = re.findall(r"\\label\{(.*?)\}", written)
    assert len(set(labels)) == len(labels) == 2


def test_text_goes_with_the_table_it_is_about() -> None:
    bare = PlainTable("", "a", "b\nc")
    bare.add_row("1", "2")
    found = papers(
        [Text("first\nsecond"), Group(Text("the title"), bare, Text("a mark   another\n")), None, "", made("own", [])]
    )
    assert [table.title for table in found] == ["the title", "own"]
    assert found[0].intro == ("first", "second")
    assert found[0].notes == ("a mark; another",)
    assert found[0].header == ("a", "b c")
    assert found[0].left == (True, False)
    assert found[1].sections == ((("total", "1"),),)
    assert found[1].notes == ("own",)


def test_what_has_no_table_is_no_file(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no table"):
        write_tables(tmp_path / "a.tex", ["a line"])
    assert not list(tmp_path.iterdir())


def test_a_file_says_which_command_made_it(monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/ecmt-deploy", "energy", "my run", "--hardware", "loihi2"])
    assert made_by().endswith("ecmt-deploy energy 'my run' --hardware loihi2")
    monkeypatch.setattr("sys.argv", ["ipykernel_launcher.py", "-f", "/home/somebody/secret"])
    assert "secret" not in made_by()
