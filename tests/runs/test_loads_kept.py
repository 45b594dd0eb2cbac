"""Loads in the directory of a run: kept, read back, and held against the counts of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecmt_deploy.errors import RunError
from ecmt_deploy.report.tables import loads as shown
from ecmt_deploy.runs.directory import StoredRun, load_run, save_run
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.targets.cores import CoresTarget
from ecmt_deploy.testing import integer_program
from tests.support.random_chips import made_chip
from tests.support.runs import record

FILE = "loads.npz"


@pytest.fixture
def kept(tmp_path: Path) -> StoredRun:
    program, x, _ = integer_program(7)
    hardware = made_chip({}, neurons_per_core=6, tile_columns=2, tile_rows=2, cores_per_tile=1)
    run = simulate(program, x, CoresTarget(), 3, "fixed", hardware=hardware, allow_misfit=True)
    said = record(
        program, run, target="cores", precision="fixed", dtype="int64", n_samples=len(x), accuracy=[0.5] * 3,
        analog_accuracy=None, agreement=None,
    )  # fmt: skip
    save_run(tmp_path / "run", said, run, program)
    found = load_run(tmp_path / "run")
    assert run.loads is not None
    loads = found.loads
    assert loads is not None
    assert (loads.links, loads.samples) == (run.loads.links, len(x))
    assert np.array_equal(loads.link_packets, run.loads.link_packets)
    assert all(np.array_equal(amounts, run.loads.core_actions[name]) for name, amounts in loads.core_actions.items())
    return found


def test_they_are_shown(kept: StoredRun) -> None:
    loads = kept.loads
    assert loads is not None
    step, core = np.unravel_index(loads.events.argmax(), loads.events.shape)
    spread, fullest, busiest = shown(loads).splitlines()
    assert spread.startswith(f"{loads.cores} cores in {loads.steps} steps of the chip: ")
    assert fullest == f"fullest core: {core}, {loads.events.max() / 2:g} events in step {step + 1}"
    assert f"{loads.link_packets.max() / 2:g} packets in step" in busiest
    assert shown(None) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.update({"action.joy": a["action.packets_in"]}), "'joy', expected actions of a core"),
        (lambda a: a["action.neuron_updates_active"].__iadd__(1), "neuron_updates_active is done .* times, but the run counts"),
        (lambda a: a.pop("action.neuron_updates_active"), "neuron_updates_active is done 0 times"),
        (lambda a: a.update(samples=np.int64(9)), "loads over 9 samples in"),
        (lambda a: a.update(links=a["links"][:-1]), "links names"),
        (lambda a: a.update(links=a["links"].astype(float)), "links or samples are no integers"),
        (lambda a: a.update(link_packets=-a["link_packets"]), "expected no negative counts"),
        (lambda a: a.pop("samples"), "expected link_packets, links, samples and actions"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_run_is_refused(kept: StoredRun, change, said: str) -> None:
    arrays = dict(np.load(kept.path / FILE))
    change(arrays)
    np.savez(kept.path / FILE, **arrays)
    with pytest.raises(RunError, match=said) as error:
        load_run(kept.path).loads  # noqa: B018 - reading it is what is tested
    assert "\n" not in str(error.value)


def test_damaged_files_are_refused(kept: StoredRun) -> None:
    (kept.path / FILE).write_bytes(b"PK nothing")
    with pytest.raises(RunError, match="cannot be read"):
        load_run(kept.path).loads  # noqa: B018 - reading it is what is tested
    (kept.path / FILE).unlink()
    assert load_run(kept.path).loads is None
