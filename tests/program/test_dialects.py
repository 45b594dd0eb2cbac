"""Programs that earlier versions wrote load to bit-identical results, and are written in the present dialect."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from ecmt_deploy.program import DIALECT_VERSION, read, write
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.simulation.run import simulate

FILES = sorted((Path(__file__).parents[1] / "fixtures").glob("*.nir"))


def test_there_are_files_of_every_earlier_dialect():
    assert {path.name.partition("_")[0] for path in FILES} >= {f"dialect{version}" for version in range(2, DIALECT_VERSION)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_earlier_file_runs_as_it_did(path, tmp_path):
    program = read(path)
    assert program.provenance.dialect_version == DIALECT_VERSION
    kept = np.load(path.with_suffix(".npz"))
    expected = msgspec.json.decode(kept["activity"].tobytes(), type=Activity)
    write(program, tmp_path / "again.nir")
    again = read(tmp_path / "again.nir")  # made from what was read: where it runs as it did, both are right
    precision = "fixed" if program.integer else "float"
    run = simulate(again, kept["inputs"], timesteps=len(kept["outputs"]), precision=precision)
    np.testing.assert_array_equal(run.outputs, kept["outputs"])
    assert run.activity.differences(expected) == []
