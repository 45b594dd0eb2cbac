"""The progress line: what it says, that it fits, and that reading ends with it."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from rich.console import Console

from ecmt_deploy import progress as module
from ecmt_deploy.progress import progress
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
