"""The progress line: what it says, that it fits, and that reading ends with it."""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from ecmt_deploy import progress as module
from ecmt_deploy.progress import notebook, progress, step_progress
from tests.support.datasets import GREY8


@pytest.fixture
def terminal(monkeypatch):
    """Make stderr a terminal of some width; returns what was written, a line for every picture of the progress line."""

    def made(width: int, is_terminal: bool = True) -> io.StringIO:
        stream = io.StringIO()
        made = Console(file=stream, width=width, force_terminal=is_terminal, color_system=None, legacy_windows=False)
        monkeypatch.setattr(module, "Terminal", lambda stderr: made)
        return stream

    return made


def slow(batches: int, seconds: float) -> Iterator[int]:
    for i in range(batches):
        time.sleep(seconds)
        yield i


def lines(stream: io.StringIO) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", stream.getvalue())
    return [line.strip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_line_fits_and_says_rate_time_left_and_waiting(terminal, width):
    stream = terminal(width)
    with progress("evaluate a_program_with_quite_a_long_name.nir", 50_000) as bar:
        for i, _ in enumerate(bar.reading(slow(6, 0.06))):
            time.sleep(0.06)
            bar(25_000 + 100 * i)
    shown = [line for line in lines(stream) if "left" in line]
    assert shown
    assert all(len(line) <= width for line in shown)
    assert re.search(r"25\d00/50000 \d+\.\d images/s .*left \d:\d\d:\d\d waiting (for data )?\d+ %", shown[-1])
    final = lines(stream)[-1] if width > 100 else " ".join(lines(stream)[-2:])
    assert re.search(r"25500 images in 0:00:0\d, \d+\.\d images/s,\s+waiting\s+for\s+data \d+ %", final)


def test_waiting_is_the_share_of_time_after_the_first_batch(terminal):
    terminal(80)
    with progress("x", 4) as bar:
        reads = bar.reading(slow(5, 0.1))
        next(reads)
        assert bar.waiting is None
        for _ in range(3):
            time.sleep(0.1)
            next(reads)
        assert 0.35 < bar.waiting < 0.65


def test_rate_leaves_out_what_was_done_before_the_first_batch(terminal):
    terminal(80)
    with progress("x", 1000) as bar:
        bar(900)  # a run that goes on where it stopped
        assert bar.rate is None
        time.sleep(0.1)
        bar(910)
        assert 10 < bar.rate < 101
        assert bar.seconds_left(1000) < 9


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_shown_where_stderr_is_no_terminal(terminal, fails):
    stream = terminal(80, is_terminal=False)
    try:
        with progress("x", 3) as bar:
            for i in bar.reading(slow(3, 0)):
                bar(i)
                if fails:
                    raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert stream.getvalue() == ""


def test_reading_ends_with_the_line_although_the_error_is_held(terminal):
    from ecmt_deploy import data

    terminal(80)
    batches = data.open("digits", preprocessing=GREY8).batches(1)
    held = None
    try:
        with progress("x", 360) as bar:
            for x, _ in bar.reading(batches):
                assert isinstance(x, np.ndarray)
                raise ZeroDivisionError
    except ZeroDivisionError as error:
        held = error
    assert held.__traceback__ is not None
    assert not [t for t in threading.enumerate() if t.name.startswith("ecmt-read")]


def test_a_stage_of_unknown_length_shows_no_total(terminal):
    stream = terminal(80)
    with progress("convert: calibrate", 64) as bar:
        bar(64)
        bar(500, "convert: tune")
        time.sleep(0.2)
    assert any(re.search(r"convert: tune +500( |$)", line) for line in lines(stream))


class Cell(list):
    """Stands for IPython.display: keeps every state of the outputs of a cell."""

    def display(self, bundle, raw, display_id):
        assert raw
        assert display_id is True
        self.append(bundle)
        return SimpleNamespace(update=lambda bundle, raw: self.append(bundle))

    @property
    def texts(self):
        return [bundle["text/plain"] for bundle in self]


@pytest.fixture
def cell(terminal, monkeypatch):
    """Make this process the kernel of a notebook, in which stderr is no terminal."""
    stderr, kept = terminal(115, is_terminal=False), Cell()
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.display = kept.display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(notebook, "EVERY_S", 0.1)
    yield kept
    assert stderr.getvalue() == ""


def test_a_notebook_has_one_output_with_bar_count_rate_and_time_left(cell):
    with progress("evaluate <a>.nir", 360) as bar:
        for i, _ in enumerate(bar.reading(slow(8, 0.03))):
            bar(36 * i)
    assert cell[0]["text/html"] == '<progress value="0" max="360"></progress> evaluate &lt;a&gt;.nir'
    assert 3 <= len(cell) <= 6  # not one for every batch
    assert re.fullmatch(
        r"evaluate <a>\.nir, \d+/360, \d+\.\d images/s, 0:00:0\d, left 0:00:0\d, waiting for data \d+ %", cell.texts[-2]
    )
    assert re.match(r'<progress value="\d+" max="360"></progress> evaluate &lt;a&gt;', cell[-2]["text/html"])
    assert re.fullmatch(r"evaluate <a>\.nir: 252 images in 0:00:0\d, [\d.]+ images/s, waiting for data \d+ %", cell.texts[-1])
    assert "<" not in cell[-1]["text/html"]


def test_a_stage_of_unknown_length_is_a_bar_without_an_end(cell):
    with progress("convert: calibrate", 64) as bar:
        time.sleep(0.11)
        bar(500, "convert: tune")
    assert cell[-2]["text/html"].startswith("<progress></progress> convert: tune, 500, ")
    assert cell.texts[-1] == cell[-1]["text/html"] == ""


@pytest.mark.parametrize("fails", [False, True])
def test_steps_of_a_simulation_end_with_the_work(cell, fails):
    try:
        with step_progress("simulate on a\u202eb", 4, 8) as bar:
            for done in range(0, 32, 4):
                time.sleep(0.03)
                bar(done)
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert cell.texts[0] == "simulate on a\ufffdb: getting ready"
    assert re.match(r"simulate on a\ufffdb: [1-3]/4 samples, [04]/8 steps, 0:00:00(, left 0:00:0\d)?$", cell.texts[-2])
    assert cell.texts[-1] == ""


def test_a_notebook_is_silent_where_the_logger_is_to_be(cell):
    logger = logging.getLogger("ecmt_deploy")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with progress("x", 3) as bar:
            bar(1)
    finally:
        logger.setLevel(before)
    assert not cell


def test_a_process_that_is_no_kernel_loads_no_ipython(cell, monkeypatch):
    sys.modules["IPython"].get_ipython = lambda: SimpleNamespace()  # IPython at a terminal
    with progress("x", 3) as bar:
        bar(1)
    monkeypatch.delitem(sys.modules, "IPython")
    with progress("x", 3) as bar:
        bar(2)
    assert not cell
    assert "IPython" not in sys.modules


@pytest.mark.slow
def test_verbs_show_their_progress_in_a_kernel(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        "import ecmt_deploy as ecmt\nfrom ecmt_deploy.progress import notebook\nnotebook.EVERY_S = 0",
        "program = 'program.nir'\necmt.convert('zoo:vit_digits', 'digits', out=program);",
        "ecmt.evaluate(program, 'digits', limit=8, batch_size=4);",
        "ecmt.simulate(program, 'digits', 'torch', limit=4, out='run');",
        "ecmt.trace(program, 'digits', limit=4);",
        "ecmt.stream(program, 'made:digits,frames=4', out='streamed');",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    states = []

    class Client(nbclient.NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("display_data", "update_display_data"):
                states.append((cell_index, msg["content"]["data"]["text/plain"]))
            return super().process_message(msg, cell, cell_index)

    Client(made, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    for index, what in enumerate(["convert", "evaluate", "simulate", "trace", "stream"], start=1):
        mine = [text for cell, text in states if cell == index]
        assert mine[0].startswith(what)
        assert len(mine) > 2, what
        displayed = [output for output in made.cells[index].outputs if output.output_type == "display_data"]
        assert [output.data["text/plain"] for output in displayed] == [mine[-1]], what
