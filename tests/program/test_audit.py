"""What no run can have counted is refused; what every target counts is not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import nir
import numpy as np
import pytest

from ecmt_deploy.errors import TargetError
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.activity import INTEGER_COUNTS, Activity, Counts
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.simulation import run as simulation
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.targets.reference import ReferenceTarget
from ecmt_deploy.testing import case, integer_program
from ecmt_deploy.testing.handmade import images
from tests.support.streams import clip


@pytest.mark.parametrize("timesteps", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("target", ["reference", "torch"])
def test_what_targets_count_is_possible(target, dtype, timesteps, program):
    activity = simulate(program, images(3), target, timesteps, dtype=dtype).activity
    assert impossible(program, activity) is None
    assert impossible(program, activity + activity) is None, "and so is a sum over batches"


@pytest.mark.parametrize("seed", range(40))
def test_what_integer_programs_count_is_possible(seed):
    program, x, timesteps = integer_program(seed)
    assert impossible(program, simulate(program, x, "reference", timesteps, "fixed").activity) is None


@pytest.fixture(scope="module")
def counted(all_programs: dict[str, Program]) -> dict[str, Activity]:
    return {name: simulate(program, images(2), "reference", 3).activity for name, program in all_programs.items()}


def changed(activity: Activity, node: str, **counts: Any) -> Activity:
    made = msgspec.structs.replace(activity[node], **counts)
    return msgspec.structs.replace(activity, nodes={**activity.nodes, node: made})


@pytest.mark.parametrize("name", ["every node, rate", "every node, differential"])
@pytest.mark.parametrize("value", [-1, 2**62, 2**63])
def test_no_count_of_any_node_is_negative_or_beyond_what_can_be(value, name, all_programs, counted):
    program, activity = all_programs[name], counted[name]
    for node in program.nodes:
        for field in INTEGER_COUNTS:
            why = impossible(program, changed(activity, node, **{field: value}))
            assert why, (node, field)
            assert why.startswith(f"node {node}: {field} is "), why


def exact(program: Program, node: str) -> list[str]:
    """Counts of a node that follow from program, samples, steps and the other counts."""
    kind = program.nodes[node]
    if isinstance(kind, ops.MultiThreshold):
        return ["messages", "neuron_updates_active", "neuron_updates_idle"]
    if isinstance(kind, nir.Conv1d | nir.Conv2d):
        return ["dense_macs", "macs"]
    if kind.role in ("synapse", "product"):
        return ["dense_macs", "macs", "synops"]
    return [field for field in INTEGER_COUNTS if field != "analog_messages"]


@pytest.mark.parametrize("name", ["every node, rate", "every node, differential", "transformer, paper"])
@pytest.mark.parametrize("by", [1, -1])
def test_counts_that_follow_from_others_cannot_be_changed_alone(by, name, all_programs, counted):
    program, activity = all_programs[name], counted[name]
    for node in program.nodes:
        for field in exact(program, node):
            moved = changed(activity, node, **{field: getattr(activity[node], field) + by})
            assert impossible(program, moved), (node, field)


def test_a_spike_reaches_so_many_taps_of_a_convolution_and_no_more(all_programs, counted):
    """``line`` has four outputs, windows of two and a stride of two: each spike is in one window."""
    program, activity = all_programs["every node, rate"], counted["every node, rate"]
    most = 4 * activity["line.neuron"].spikes
    assert impossible(program, changed(activity, "line", synops=most)) is None
    assert impossible(program, changed(activity, "line", synops=most + 1))


BROKEN: dict[str, tuple[Callable[[Activity], Activity], str]] = {
    "a node that is not there": (lambda a: replaced(a, {**a.nodes, "ghost": Counts()}), "node 'ghost', which is not"),
    "no counts of a node": (lambda a: replaced(a, dict(list(a.nodes.items())[1:])), "no counts of node"),
    "another kind": (lambda a: changed(a, "act", ecm_ops={"relu": 4}), "node act: ecm_ops.relu is 4, expected 0"),
    "a kind twice": (lambda a: changed(a, "act", ecm_ops={"gelu": 8, "gelu_tanh": 1}), "node act: ecm_ops.gelu"),
    "no elements": (lambda a: changed(a, "act", ecm_ops={}), "node act: ecm_ops.gelu is 0"),
    "elements of a neuron": (lambda a: changed(a, "q.neuron", ecm_ops={"gelu": 1}), "node q.neuron: ecm_ops.gelu is 1, exp"),
    "negative elements": (lambda a: changed(a, "act", ecm_ops={"gelu": -1}), "node act: ecm_ops.gelu is -1"),
    "negative samples": (lambda a: msgspec.structs.replace(a, n_samples=-1), "counts over -1 samples"),
    "no steps": (lambda a: msgspec.structs.replace(a, timesteps=0), "samples of 0 steps"),
    "other samples": (lambda a: msgspec.structs.replace(a, n_samples=3), "node "),
    "other steps": (lambda a: msgspec.structs.replace(a, timesteps=4), "node "),
    "clipped floats": (lambda a: changed(a, "act", saturations=1), "node act: saturations is 1, expected 0"),
}


def replaced(activity: Activity, nodes: dict[str, Counts]) -> Activity:
    return msgspec.structs.replace(activity, nodes=nodes)


@pytest.mark.parametrize("case", BROKEN)
def test_what_no_run_can_count(case, all_programs, counted):
    change, message = BROKEN[case]
    why = impossible(all_programs["every node, rate"], change(counted["every node, rate"]))
    assert message in (why or "")


class Boasting(ReferenceTarget):
    """A target from elsewhere that counts what cannot be."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return replace(super().run(*args, **kwargs), **self.changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": np.zeros((3, 2, 4))}, "outputs of shape"),
        ({"activity": Activity(2, 3, {})}, "no counts of node"),
        ({"activity": Activity(1, 3, {})}, "counts over 1 sample of 3 steps, expected 2 of 3"),
    ],
)
def test_a_target_that_returns_what_cannot_be_is_refused(changes, message, program, monkeypatch):
    monkeypatch.setattr(simulation, "find", lambda name: Boasting(**changes))
    with pytest.raises(TargetError, match="returned what cannot be") as caught:
        simulate(program, images(2), "boasting", 3)
    assert message in str(caught.value)


# --- frames of streams, most of which go on from the one before ------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("every node, differential", "reference"), ("every node, differential", "torch"), ("transformer, graded", "torch"),
        ("integer transformer, graded", "reference"),
    ],
)  # fmt: skip
def test_what_targets_count_of_frames_is_possible(name, target, steps):
    chosen = case(name)
    precision = "fixed" if chosen.program.integer else "float"
    run = stream(chosen.program, clip(chosen.inputs, 20, seed=1), target, steps, 0.0, precision)
    assert run.frames is not None
    for part in [run.activity, run.frames.since(7), *(run.frames[i] for i in range(20))]:
        assert impossible(chosen.program, part) is None
    assert run.activity.continued == 20 - run.frames.begun.sum() > 10


@pytest.fixture(scope="module")
def frames() -> tuple[Program, Any]:
    """A stream in which little changes, and its counts."""
    program, x = case("transformer, graded").program, images(1)[0]
    moving = [x + 0.01 * i * (np.arange(4) == 0) for i in range(5)]
    run = stream(program, moving, "reference", 1, 0.0)
    assert run.frames is not None
    assert run.frames.begun.tolist() == [True, False, False, False, False]
    return program, run.frames


def test_frames_that_went_on_are_no_inferences(frames):
    """An inference computes the whole image, and all is news in it."""
    program, counts = frames
    why = impossible(program, msgspec.structs.replace(counts[3], continued=0))
    assert why is not None
    assert "expected" in why
    assert impossible(program, msgspec.structs.replace(counts.total, continued=0))
    assert impossible(program, msgspec.structs.replace(counts.total, continued=3))
    why = impossible(program, msgspec.structs.replace(counts[0], continued=1))
    assert why == "node constant: analog_messages is 12, expected 0"  # constants are sent once


def test_no_more_frames_went_on_than_there_were(frames):
    program, counts = frames
    for continued in (-1, 6):
        why = impossible(program, msgspec.structs.replace(counts.total, continued=continued))
        assert why == f"{continued} of 5 samples went on from the one before"
    rate = case("transformer, paper").program
    counted = simulate(rate, images(2), "reference", 3).activity
    why = impossible(rate, msgspec.structs.replace(counted, continued=1))
    assert why == "1 sample went on from the one before, which rate coding has not"


def test_a_frame_costs_the_network_what_an_inference_does(frames):
    program, counts = frames
    for node in program.nodes:
        if counts[3][node].dense_macs:
            for wrong in (0, counts[3][node].dense_macs - 1, 2 * counts[3][node].dense_macs):
                assert impossible(program, changed(counts[3], node, dense_macs=wrong))


def test_activities_of_parts_of_a_stream_add(frames):
    program, counts = frames
    total = counts[0] + counts.since(1)
    assert total == counts.total
    assert (total.n_samples, total.continued) == (5, 4)
    assert impossible(program, total + total) is None
