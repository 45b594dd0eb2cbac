"""Programs that earlier versions wrote load to bit-identical results, and are written in the present dialect."""

from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program import DIALECT_VERSION, read, write
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing import case

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


def of_dialect_5(path, *, with_the_field: bool):
    """An integer program that carries, in a file that says it is older; version 5 has no field for it."""
    write(case("integer transformer, graded").program, path)
    with h5py.File(path, "r+") as file:
        metadata = file["node/metadata"]
        text = metadata["ecmt_deploy"].asstr()[()].replace(f'"dialect_version":{DIALECT_VERSION}', '"dialect_version":5')
        del metadata["ecmt_deploy"]
        metadata.create_dataset("ecmt_deploy", data=text, dtype=h5py.string_dtype())
        formats = [node["format"] for node in file["node/nodes"].values() if "format" in node]
        carrying = [form for form in formats if "carries" in form]
        assert carrying
        for form in carrying[with_the_field:]:
            del form["carries"]


def test_a_file_from_before_remainders_were_carried_carries_none(tmp_path):
    of_dialect_5(tmp_path / "old.nir", with_the_field=False)
    program = read(tmp_path / "old.nir")
    assert not any(node.format.remainder_bits for node in program.nodes.values() if node.format is not None)
    write(program, tmp_path / "new.nir")
    again = read(tmp_path / "new.nir")
    assert not any(node.format.remainder_bits for node in again.nodes.values() if node.format is not None)


def test_a_file_from_before_remainders_were_carried_does_not_say_that_it_does(tmp_path):
    of_dialect_5(tmp_path / "old.nir", with_the_field=True)
    with pytest.raises(ProgramError, match="unknown field 'carries'"):
        read(tmp_path / "old.nir")


def test_a_file_says_whether_it_carries(tmp_path):
    program = case("integer transformer, graded").program
    write(program, tmp_path / "a.nir")
    again = read(tmp_path / "a.nir")
    kept = {name: program.state(name) for name in program.nodes}
    assert kept == {name: again.state(name) for name in again.nodes}
    assert any("remainder" in names for names in kept.values())
