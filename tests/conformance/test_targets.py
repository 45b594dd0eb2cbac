"""One suite that every target passes: in float64 the same spikes and the same counts; in float32 a measured difference."""

import numpy as np
import pytest

from ecmt_deploy.program import Program
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Run, available, find
from ecmt_deploy.testing.handmade import images
from tests.conftest import PROGRAMS

TIMESTEPS = 4
OTHERS = [name for name in available() if name != "reference"]


@pytest.fixture(scope="module")
def reference(all_programs: dict[str, Program]) -> dict[str, Run]:
    return {name: simulate(all_programs[name], images(5), "reference", TIMESTEPS) for name in PROGRAMS}


def test_the_targets_of_the_project_are_registered() -> None:
    assert {"lava", "reference", "torch"} <= set(available())


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("target", OTHERS)
def test_float64_gives_equal_counts_and_readouts(
    target: str, name: str, all_programs: dict[str, Program], reference: dict[str, Run]
) -> None:
    require(target)
    run = simulate(all_programs[name], images(5), target, TIMESTEPS)
    assert run.activity.differences(reference[name].activity) == []
    assert run.activity == reference[name].activity
    np.testing.assert_allclose(run.outputs, reference[name].outputs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", PROGRAMS)
def test_float32_differs_by_few_spikes(
    name: str, all_programs: dict[str, Program], reference: dict[str, Run], record_property: pytest.FixtureRequest
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


@pytest.mark.parametrize("target", available())
def test_every_neuron_spikes_somewhere_and_counts_are_consistent(target: str, all_programs: dict[str, Program]) -> None:
    """Guards the equality above against being an equality of nothing."""
    require(target)
    program = all_programs["every node, differential"]
    activity = simulate(program, images(3), target, TIMESTEPS).activity
    for name in program.neurons:
        counts = activity[name]
        assert counts.spikes > 0, name
        assert counts.messages == counts.spikes
        assert counts.neuron_updates == np.prod(program.shapes[name]) * 3 * TIMESTEPS


@pytest.mark.parametrize("target", available())
def test_progress_counts_steps(target: str, all_programs: dict[str, Program]) -> None:
    require(target)
    seen: list[int] = []
    simulate(all_programs["every node, rate"], images(3), target, 2, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 3 * 2


def require(target: str) -> None:
    missing = find_missing(target)
    if missing:
        pytest.skip(missing)


def find_missing(target: str) -> str | None:
    from ecmt_deploy.errors import TargetError

    try:
        find(target)
    except TargetError as error:
        return str(error)
    return None
