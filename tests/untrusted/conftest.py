"""Files that are read in a process of its own, and that nothing of it is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.generate.format_vector import small
from ecmt_deploy.program import write
from tests.support.processes import children


@pytest.fixture
def good(tmp_path) -> Path:
    write(small("rate"), tmp_path / "good.nir")
    return tmp_path / "good.nir"


@pytest.fixture
def hanging(good) -> Path:
    """The size of a string overflows to nothing, so that the HDF5 library goes on to the next one, which is the same."""
    content = bytearray(good.read_bytes())
    size = content.index(b"GCOL") + 24
    content[size : size + 8] = (2**64 - 16).to_bytes(8, "little")
    path = good.with_name("hanging.nir")
    path.write_bytes(content)
    return path


@pytest.fixture
def nothing_is_left():
    before = children()
    yield
    assert children() <= before
