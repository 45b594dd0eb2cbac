"""Files of a placed program: what is read back runs as what was written; nothing hostile in them is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecmt_deploy.errors import DataError, EcmtError, RunError, TargetError
from ecmt_deploy.placement.placed import placed
from ecmt_deploy.simulation.run import integers, simulate
from ecmt_deploy.targets.cores import CoresTarget, execute, export, read
from ecmt_deploy.testing import float_program, integer_program
from tests.support.random_chips import made_chip, random_chip

SEED = 5


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    export(integer_program(SEED).program, random_chip(SEED), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("seed", range(16))
def test_what_is_read_back_runs_alike(seed: int, tmp_path: Path) -> None:
    (program, x, timesteps), hardware = integer_program(seed), random_chip(seed)
    refused = "can hold" if placed(program, hardware).homeless else "one input of values"
    if refused == "can hold" or program.inputs.integers:
        with pytest.raises(TargetError, match=f"{refused}|one input of values"):
            export(program, hardware, tmp_path / "out")
        return
    export(program, hardware, tmp_path / "out")
    run = simulate(program, x, CoresTarget(), timesteps, "fixed", hardware=hardware, allow_misfit=True)
    again = execute(read(tmp_path / "out"), integers(program, x), timesteps)
    scale = program.exponents[program.output_name]
    assert np.array_equal(np.ldexp(again.outputs.astype(np.float64), scale), run.outputs)
    assert again.activity.differences(run.activity) == []
    assert again.loads is not None
    assert run.loads is not None
    assert again.loads.links == run.loads.links
    assert np.array_equal(again.loads.link_packets, run.loads.link_packets)
    assert again.loads.core_actions.keys() == run.loads.core_actions.keys()
    assert all(np.array_equal(found, run.loads.core_actions[name]) for name, found in again.loads.core_actions.items())


def test_it_is_written_whole_or_not_at_all(exported: Path, tmp_path: Path) -> None:
    program, hardware = integer_program(SEED).program, random_chip(SEED)
    before = {entry.name: entry.read_bytes() for entry in exported.iterdir()}
    assert before.keys() == {"cores.json", "arrays.npz"}
    with pytest.raises(RunError, match="exists already; choose another --out, or --overwrite"):
        export(program, hardware, exported)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="exists already; choose another --out$"):
        export(program, hardware, tmp_path / "mine", overwrite=True)
    export(program, hardware, exported, overwrite=True)
    assert {entry.name: entry.read_bytes() for entry in exported.iterdir()} == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine", "out"]


def test_float_programs_are_not_exported(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="is a float program, and cores compute in integers; add --precision fixed"):
        export(float_program(0).program, made_chip({}), tmp_path / "out")


def test_samples_must_fit(exported: Path) -> None:
    with pytest.raises(DataError, match="samples are float64 of shape"):
        execute(read(exported), np.zeros((1, 2)), 1)


def edited(exported: Path, change: Callable[[Any], None]) -> None:
    record = json.loads((exported / "cores.json").read_text())
    change(record)
    (exported / "cores.json").write_text(json.dumps(record))


def first_axon(record: Any) -> Any:
    """An axon of some group."""
    return next(
        axon for core in record["cores"] for group in core["groups"] for inlet in group["inlets"] for axon in inlet["axons"]
    )


def first_group(record: Any) -> Any:
    return next(group for core in record["cores"] for group in core["groups"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(version=7), "version 7, expected 'ecmt-deploy cores' of 1"),
        (lambda r: r.update(joy=1), "not readable"),
        (lambda r: r.update(cores=[]), "cores: none"),
        (lambda r: r["image"].update(state_bits=99), "state_bits is 99"),
        (lambda r: r.update(mesh=[0, 1, 1]), "mesh is"),
        (lambda r: r["cores"][0].update(column=-1), "core 0: column is -1"),
        (lambda r: first_axon(r).update(emitter="nobody"), "axons.nobody: there is no such node; dangling axon"),
        (lambda r: first_axon(r)["elements"].__setitem__(1, 10**9), "elements reaches beyond the"),
        (lambda r: first_axon(r)["slots"].__setitem__(2, [10**12]), "slots reaches beyond the"),
        (lambda r: first_axon(r)["slots"].__setitem__(0, "bool"), "slots reaches beyond|no integer|as many of both"),
        (lambda r: first_group(r).update(node="ghost"), "a group of node 'ghost', which no core computes"),
        (lambda r: first_group(r).update(op="Sorcery"), "op is 'Sorcery'"),
        (lambda r: first_group(r)["format"].update(state_bits=3000), "state_bits is 3000"),
        (lambda r: first_group(r)["format"].pop("exponent"), "format are"),
        (lambda r: first_group(r)["inlets"].clear(), "0 inlets, expected"),
        (lambda r: first_group(r)["elements"].__setitem__(2, [1, 1]), "elements|shape"),
        (lambda r: r["cores"][0]["groups"].append(first_group(r)), "cores compute"),
        (lambda r: r["cores"][0]["groups"].pop(), "cores compute|no core computes it"),
        (lambda r: [n.update(shape=[2**20, 2**20]) for n in r["nodes"].values()], "shape is"),
        (lambda r: [n.update(place=1) for n in r["nodes"].values() if n["place"]], "too late for place 1"),
    ],
)  # fmt: skip
def test_hostile_records_are_refused_in_one_line(exported: Path, change: Callable[[Any], None], said: str) -> None:
    edited(exported, change)
    with pytest.raises(EcmtError, match=said) as error:
        read(exported)
    assert "\n" not in str(error.value)


def test_hostile_arrays_are_refused(exported: Path) -> None:
    path = exported / "arrays.npz"
    arrays = dict(np.load(path))
    for content, said in (
        ({**arrays, "object": np.zeros(3)}, "holds 'object"),
        ({**arrays, "int8": arrays["int8"].astype(np.float64)}, "int8 is float64"),
        ({**arrays, "int32": arrays["int32"][:-7]}, "reaches beyond"),
    ):
        np.savez(path, **content)
        with pytest.raises(RunError, match=said):
            read(exported)
    np.savez_compressed(path, **arrays)
    with pytest.raises(RunError, match="is compressed"):
        read(exported)
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(RunError, match="not a readable .npz file"):
        read(exported)
    path.unlink()
    with pytest.raises(RunError, match="no such file"):
        read(exported)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_edit_is_refused_or_runs(exported: Path, data: st.DataObject) -> None:
    """Numbers of the record and of the arrays replaced by others: an error of ours, or a run to the end; nothing else."""
    program, x, _ = integer_program(SEED)
    whole = {entry.name: entry.read_bytes() for entry in exported.iterdir()}
    record, arrays = json.loads(whole["cores.json"]), dict(np.load(exported / "arrays.npz"))
    try:
        for _ in range(data.draw(st.integers(1, 3))):
            if data.draw(st.booleans()):
                array = arrays[data.draw(st.sampled_from(sorted(arrays)))]
                number = data.draw(st.integers(0, len(array) - 1))
                array[number] = data.draw(st.sampled_from([-(2**7), -1, 0, 1, 2**7 - 1]))
            else:
                slots = list(numbers_of(record))
                holder, key = slots[data.draw(st.integers(0, len(slots) - 1))]
                holder[key] = data.draw(st.sampled_from([-1, 0, 1, 2, 63, 2**31, 2**63 - 1]))
        (exported / "cores.json").write_text(json.dumps(record))
        np.savez(exported / "arrays.npz", **arrays)
        try:
            execute(read(exported), integers(program, x[:1]), 2)
        except EcmtError as error:
            assert "\n" not in str(error)
    finally:
        for name, content in whole.items():
            (exported / name).write_bytes(content)


def numbers_of(record: Any) -> Any:
    """Every place of a number in a record: what holds it, and under which key."""
    entries = record.items() if isinstance(record, dict) else enumerate(record)
    for key, value in entries:
        if isinstance(value, dict | list):
            yield from numbers_of(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield record, key
