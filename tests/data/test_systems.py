"""Systems differ in what calls they have: where one is missing, work goes on without it, or an error says what is missing."""

import os
import signal

import numpy as np
import pytest
from PIL import Image

from ecmt_deploy import data
from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program import read
from ecmt_deploy.program.preprocessing import Preprocessing


def test_processes_read_images_where_a_signal_is_missing(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path / name / "0.png")
    monkeypatch.delattr(signal, "SIGHUP")
    dataset = data.evaluation(f"folder:{tmp_path}", preprocessing=Preprocessing((1, 8, 8), (0.0,), (1.0,)))
    assert [len(x) for x, _ in dataset.batches(1, workers=2)] == [1, 1]


@pytest.mark.parametrize("missing", ["fork"])
def test_a_program_says_that_a_system_cannot_read_it(digits, missing, monkeypatch):
    monkeypatch.delattr(os, missing)
    with pytest.raises(ProgramError, match="this system cannot fork a process that reads it; use Linux or macOS"):
        read(digits)
