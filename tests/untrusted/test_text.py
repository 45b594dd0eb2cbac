"""Text from outside: refused where it has no place, shown as nothing but text where it has one, computed nowhere."""

import csv
import io
import logging
import subprocess
import sys

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from docs.generate.format_vector import small
from ecmt_deploy import data
from ecmt_deploy.cli.entry import OneLine
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.errors import ConfigError, DataError, ProgramError, RunError, reading
from ecmt_deploy.files import read_json
from ecmt_deploy.program import Program, read, verify, write
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.report import tables
from ecmt_deploy.report.csv import Table, to_csv
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.untrusted import text
from ecmt_deploy.untrusted.terminal import Terminal
from tests.support.datasets import write_images

#: an escape sequence, a bell, one of 8 bits, marks and isolates of direction, breaks of lines, what is invisible, half a pair
CONTROLS = [
    "\x1b[2J", "\x07", "\x9b2J", "\u202e", "\u200f", "\u2066", "\r", "\n", "\u2028", "\x85", "\u200b", "\ufeff", "\ud800",
]  # fmt: skip
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1", "\uff20x"]
#: what people write: a space of East Asia, a name that joins letters, an emoji of two
PLAIN = ["straße 1", "東京\u3000港", "می\u200cخواهم", "\U0001f469\u200d\U0001f52c", "blocks.3.attn-qkv_0", "a/b: c=d"]


def renamed(program: Program, name: str) -> Program:
    """The program with another name for its head."""

    def new(old: str) -> str:
        return name if old == "head" else old

    edges = [(new(source), new(node)) for node, sources in program.operands.items() for source in sources]
    return verify({new(node): value for node, value in program.nodes.items()}, edges, program.provenance)


@pytest.mark.parametrize("bad", [*(f"he{c}ad" for c in CONTROLS), *FORMULAS, "", "a/b", "..", "\u00a0head", "x" * 1001])
def test_such_a_name_of_a_node_is_refused(bad):
    with pytest.raises(ProgramError) as caught:
        renamed(small("rate"), bad)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["blocks.0.attn.qkv", "layer-1", "0", "_x", "3x3", "Übergang", "a b", "x=1"])
def test_names_of_modules_are_kept(name, tmp_path):
    write(renamed(small("rate"), name), tmp_path / "p.nir")
    assert name in read(tmp_path / "p.nir").nodes


@pytest.mark.parametrize("bad", CONTROLS)
def test_control_characters_in_records_are_refused(bad, tmp_path):
    made = small("rate")
    for change in ({"model": bad}, {"class_names": ("cat", bad)}, {"config": {"preset": bad}}, {"ranges": {bad: 1.0}}):
        with pytest.raises(ProgramError, match="provenance: .*text is") as caught:
            verify(dict(made.nodes), [], msgspec.structs.replace(made.provenance, **change))
        assert str(caught.value).isprintable()
    if bad == "\ud800":  # no JSON file holds half a pair
        return
    counted = {"n_samples": 1, "timesteps": 1}
    for kind, content in ((RunRecord, RECORDED | {"data": bad}), (Activity, counted | {"nodes": {bad: {}}})):
        (tmp_path / "a.json").write_bytes(msgspec.json.encode(content))
        with pytest.raises(RunError, match="a.json: .*text is .*expected one line") as caught:
            read_json(tmp_path / "a.json", kind, "again")
        assert str(caught.value).isprintable()


RECORDED = {
    "tool_version": "0", "target": "reference", "precision": "float", "dtype": "float64", "timesteps": 1, "n_samples": 1,
    "data": "digits", "program_sha256": "0", "provenance": {"tool_version": "0"}, "accuracy": [1.0], "analog_accuracy": 1.0,
    "agreement": [1.0],
}  # fmt: skip


@pytest.mark.parametrize("text_", PLAIN)
def test_what_people_write_is_taken_as_it_is(text_):
    made = small("rate")
    text.require_plain(msgspec.structs.replace(made.provenance, class_names=(text_,)), "x", ProgramError)
    assert text.one_line(text_) == text_
    assert next(csv.reader(io.StringIO(to_csv(Table((text_,), []))))) == [text_]


@pytest.mark.parametrize("key", ["-head", "=1", "a\x1bb", "a/b"])
def test_a_model_with_such_names_of_modules_converts(key):
    """``add_module`` takes any string without a dot; the program has a name for it that is one."""
    model = nn.ModuleDict({key: nn.Linear(4, 4), "x_y": nn.Linear(4, 2)}).eval()
    model.forward = lambda x: model["x_y"](torch.relu(model[key](x)))
    program = convert(model, torch.randn(8, 4), ConvertConfig(preset="paper")).program
    assert text.as_name(key) in program.nodes
    text.require_names(program.nodes, ProgramError)


@given(st.text())
def test_every_error_is_one_printable_line(words):
    for message in (f"a {words} b", words):
        shown = str(ConfigError(message))
        assert text.printable(shown) == shown
        assert len(shown.splitlines()) <= 1


def test_an_endless_quotation_ends():
    assert str(ConfigError(f"a {'x' * 10**6}y b")) == f"a {'x' * 200}..{'x' * 99}y b"
    assert len(str(ConfigError("x " * 10**6))) < 30_000


@given(st.text())
def test_printable_text_keeps_its_length_and_stays(words):
    shown = text.printable(words)
    assert len(shown) == len(words)
    assert text.printable(shown) == shown


@given(st.lists(st.lists(st.text() | st.floats(allow_nan=False) | st.integers() | st.none(), min_size=2, max_size=2)))
def test_no_cell_is_a_formula_and_the_text_can_be_had_back(rows):
    written = to_csv(Table(("name", "value"), rows))
    _, *found = csv.reader(io.StringIO(written))
    assert len(found) == len(rows)
    for row, cells in zip(rows, found, strict=True):
        for value, cell in zip(row, cells, strict=True):
            if isinstance(value, str):
                assert not cell.startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n"))
                assert cell.removeprefix("'") == text.one_line(value)
            else:
                assert cell == ("" if value is None else repr(value))


@pytest.mark.parametrize("bad", CONTROLS)
def test_the_terminal_gets_no_control_character_of_others(bad):
    out = io.StringIO()
    console = Terminal(file=out, force_terminal=True, color_system=None, width=60)
    console.print(f"wrote he{bad}ad", markup=False)
    table = tables.classification(f"he{bad}ad.png", [[(f"c{bad}at", 0.5)]])
    console.print(table)
    console.rule(f"he{bad}ad")
    assert text.printable(out.getvalue().replace("\n", "")) == out.getvalue().replace("\n", "")
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "%s: odd", (f"he{bad}ad",), None)
    assert text.printable(OneLine("%(message)s").format(record)) == OneLine("%(message)s").format(record)


def test_the_command_line_quotes_nothing_as_it_is(tmp_path):
    bad = tmp_path / "a\x1b[2J\nb.nir"
    bad.write_bytes(b"nothing")
    shown = subprocess.run(
        [sys.executable, "-m", "ecmt_deploy", "inspect", str(bad)], capture_output=True, text=True, check=False
    )
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.endswith("\n")
    assert shown.stderr[:-1].isprintable()


def test_labels_and_data_from_folders(tmp_path):
    taken = Preprocessing((3, 16, 16), (0.5,) * 3, (0.5,) * 3)
    root = write_images(tmp_path / "images", {"c\u202eat": 1, "d\x1bog": 1})
    assert data.open(f"folder:{root}", preprocessing=taken).class_names == ("c\ufffdat", "d\ufffdog")
    with pytest.raises(DataError, match="DATA: text is"):
        data.open(f"folder:{tmp_path / chr(27)}", preprocessing=taken)


def test_reading_takes_whatever_a_library_raises():
    for failure in (KeyError("x"), RecursionError(), MemoryError(), SyntaxError("a\nb"), OSError(2, "No such file")):
        with pytest.raises(RunError, match=r"^f: damaged \(.+\); again$") as caught, reading(RunError, "f: damaged", "again"):
            raise failure
        assert caught.value.__cause__ is failure
    with pytest.raises(KeyboardInterrupt), reading(RunError, "f", "again"):
        raise KeyboardInterrupt
