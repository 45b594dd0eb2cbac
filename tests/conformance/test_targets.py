"""One suite that every target passes: in float64 the same spikes and the same counts; in float32 a measured difference."""

from collections.abc import Mapping

import numpy as np
import pytest

from ecmt_deploy.program import Program
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Run, available
from ecmt_deploy.testing import CASES, check
from ecmt_deploy.testing.handmade import images
from tests.support.targets import PROGRAMS, needs_chip, require

TIMESTEPS = 4
#: Lava starts a process for every node: of the random float programs it runs six, and `make test-all` runs many on it
ON_LAVA = [name for name in CASES if name not in [f"random {seed}" for seed in range(6, 60)]]
INTEGERS = [name for name in CASES if "integer" in name]
SUITE = [
    (target, name) for target in available() if target != "reference"
    for name in (INTEGERS if needs_chip(target) else ON_LAVA if target == "lava" else CASES)
]  # fmt: skip


@pytest.fixture(scope="module")
def reference(all_programs: Mapping[str, Program]) -> dict[str, Run]:
    return {name: simulate(all_programs[name], images(5), "reference", TIMESTEPS) for name in PROGRAMS}


def test_the_targets_of_the_project_are_registered() -> None:
    assert {"cores", "lava", "reference", "torch"} <= set(available())


@pytest.mark.parametrize(("target", "name"), SUITE)
def test_conformance(target: str, name: str) -> None:
    require(target)
    outcome = check(target, name, "loihi2" if needs_chip(target) else None)
    assert outcome.differences == ()
    assert outcome.equal, outcome.unsupported
    assert (outcome.unrecorded is None) == (target != "torch")


@pytest.mark.parametrize("name", PROGRAMS)
def test_float32_differs_by_few_spikes(
    name: str, all_programs: Mapping[str, Program], reference: dict[str, Run], record_property: pytest.FixtureRequest
) -> None:
    """A sum in another order may push a value across a threshold: measured, recorded and bounded."""
    run = simulate(all_programs[name], images(5), "torch", TIMESTEPS, dtype="float32")
    expected = reference[name].activity
    total = sum(expected[node].spikes for node in expected)
    moved = sum(abs(run.activity[node].spikes - expected[node].spikes) for node in expected)
    record_property("share_of_spikes_moved", moved / total)  # type: ignore[operator]
    assert total > 0
    assert moved / total < 0.01
    scale = np.abs(reference[name].outputs).max()
    assert np.abs(run.outputs - reference[name].outputs).max() / scale < 0.05


@pytest.mark.parametrize("target", [target for target in available() if not needs_chip(target)])
def test_every_neuron_spikes_somewhere_and_counts_are_consistent(target: str, all_programs: Mapping[str, Program]) -> None:
    """Guards the equality above against being an equality of nothing."""
    require(target)
    program = all_programs["every node, differential"]
    activity = simulate(program, images(3), target, TIMESTEPS).activity
    for name in program.neurons:
        counts = activity[name]
        assert counts.spikes > 0, name
        assert counts.messages == counts.spikes
        assert counts.neuron_updates == np.prod(program.shapes[name]) * 3 * TIMESTEPS


@pytest.mark.parametrize("target", [target for target in available() if not needs_chip(target)])
def test_progress_counts_steps(target: str, all_programs: Mapping[str, Program]) -> None:
    require(target)
    seen: list[int] = []
    simulate(all_programs["every node, rate"], images(3), target, 2, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 3 * 2
