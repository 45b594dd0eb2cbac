"""Counts per step: they add up to the counts of the run, step by step and over samples, whoever counts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
import numpy as np
import pytest
import torch

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import NotFiniteError
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity, Counts, empty, summed
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.testing import Case, float_program, integer_program
from ecmt_deploy.testing.handmade import images
from tests.support.streams import clip
from tests.support.targets import require


def run(case: Case, target: str) -> Activity | None:
    """What a target counts of a case; ``None`` where it comes to infinity."""
    program, x, timesteps = case
    try:
        with np.errstate(all="ignore"):
            return simulate(program, x, target, timesteps, "fixed" if program.integer else "float").activity
    except NotFiniteError:
        return None


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("target", ["reference", "torch"])
def test_the_steps_of_random_programs_add_up(target: str, seed: int) -> None:
    case = float_program(seed)
    if (activity := run(case, target)) is None:
        return
    assert len(activity.steps) == case.timesteps
    assert summed(activity.steps) == activity.nodes
    assert impossible(case.program, activity) is None


@pytest.mark.parametrize("seed", range(12))
def test_the_steps_of_integer_programs_add_up(seed: int) -> None:
    case = integer_program(seed)
    activity = run(case, "reference")
    assert activity is not None
    assert summed(activity.steps) == activity.nodes
    assert impossible(case.program, activity) is None


@pytest.mark.parametrize("target", ["reference", "torch", "lava"])
@pytest.mark.parametrize("name", ["every node, rate", "every node, differential"])
def test_a_step_counts_what_one_more_step_adds(name: str, target: str, all_programs: dict[str, Program]) -> None:
    """Runs of 1, 2, .. steps: what one more step adds is what is counted at that step."""
    require(target)
    program, x = all_programs[name], images(2)
    runs = [simulate(program, x, target, steps).activity for steps in range(1, 4)]
    longest = runs[-1].steps
    assert longest[0] == runs[0].nodes
    for t, (shorter, longer) in enumerate(pairwise(runs), start=1):
        assert summed((shorter.nodes, longest[t])) == longer.nodes, f"step {t + 1}"


def test_what_is_counted_once_is_of_the_first_step(all_programs: dict[str, Program]) -> None:
    program = all_programs["transformer, accurate"]
    for target in ("reference", "torch"):
        activity = simulate(program, images(2), target, 3).activity
        for name in program.nodes:
            first, *later = (nodes[name] for nodes in activity.steps)
            assert first.dense_macs == activity[name].dense_macs
            assert not any(counts.dense_macs for counts in later)
        (encoding,) = program.encoding
        assert [nodes[encoding].macs for nodes in activity.steps] == [activity[encoding].macs, 0, 0]


def test_pieces_and_batches_count_the_same_steps(all_programs: dict[str, Program]) -> None:
    """With room for one step of one sample at a time, and with samples that are not counted."""
    model = SpikingModel(all_programs["every node, differential"]).double()
    x = torch.from_numpy(images(5))
    whole = model.count(x, 3)[1]
    first, second = model.count(x[:2], 3)[1], model.count(x[[2, 3, 4, 4]], 3, samples=3)[1]
    assert first + second == whole
    model.memory_bytes = 1
    assert model.count(x, 3)[1] == whole


@pytest.mark.parametrize("target", ["reference", "torch", "lava"])
@pytest.mark.parametrize("steps", [1, 3])
def test_frames_have_steps_too(steps: int, target: str, all_programs: dict[str, Program]) -> None:
    require(target)
    program = all_programs["every node, differential"]
    run = stream(program, list(clip(images(2), 6, seed=1)), target, steps, 0.0, dtype="float64")
    assert run.frames is not None
    assert run.frames.rows.shape[:2] == (6, steps)
    assert summed(run.activity.steps) == run.activity.nodes
    assert impossible(program, run.activity) is None
    assert run.frames[0] + run.frames.since(1) == run.activity
    assert not any(counts.dense_macs for nodes in run.activity.steps[1:] for counts in nodes.values())


def test_no_samples_change_nothing_and_unknown_steps_stay_unknown(counted: Activity) -> None:
    none = empty(counted.keys(), counted.timesteps)
    assert none + counted == counted
    older = msgspec.structs.replace(counted, steps=())
    assert (older + counted).steps == (counted + older).steps == ()
    assert (older + counted).nodes == (counted + counted).nodes
    assert len((counted + counted).steps) == counted.timesteps


@pytest.fixture(scope="module")
def program(all_programs: dict[str, Program]) -> Program:
    return all_programs["every node, rate"]


@pytest.fixture(scope="module")
def counted(program: Program) -> Activity:
    return simulate(program, images(2), "reference", 3).activity


def test_files_without_steps_are_read(program: Program, counted: Activity) -> None:
    older = {key: value for key, value in msgspec.to_builtins(counted).items() if key != "steps"}
    read = msgspec.convert(older, Activity)
    assert read.steps == ()
    assert read.nodes == counted.nodes
    assert impossible(program, read) is None


def with_steps(activity: Activity, change: Callable[[list[dict[str, Counts]]], object]) -> Activity:
    steps = [dict(nodes) for nodes in activity.steps]
    change(steps)
    return msgspec.structs.replace(activity, steps=tuple(steps))


def moved(steps: list[dict[str, Counts]], name: str, count: str, by: int) -> None:
    """Move a count from step 3 to step 2: the sum stays."""
    for t, sign in ((1, 1), (2, -1)):
        counts = steps[t][name]
        steps[t][name] = msgspec.structs.replace(counts, **{count: getattr(counts, count) + sign * by})


HOSTILE: dict[str, tuple[Callable[[list[dict[str, Counts]]], object], str]] = {
    "a step is missing": (lambda s: s.pop(), "counts at each of 2 steps, expected 3, or none"),
    "a step too many": (lambda s: s.append(s[0]), "counts at each of 4 steps, expected 3, or none"),
    "a step of other nodes": (lambda s: s[1].update(ghost=Counts()), "step 2: counts of node 'ghost'"),
    "a step without a node": (lambda s: s[2].pop("act"), "step 3: no counts of node act"),
    "negative": (lambda s: moved(s, "spread.neuron", "spikes", -(2**40)), "step 2: node spread.neuron: spikes is -"),
    "the network twice": (lambda s: moved(s, "spread", "dense_macs", 1), "step 2: node spread: dense_macs is 1, expected 0"),
    "more updates than elements": (
        lambda s: moved(s, "spread.neuron", "neuron_updates_idle", 1), "step 2: node spread.neuron: neuron_updates_idle"
    ),
    "another sum": (
        lambda s: s[0].update(act=msgspec.structs.replace(s[0]["act"], analog_messages=s[0]["act"].analog_messages - 1)), "act"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_steps_that_cannot_be_are_refused(case: str, program: Program, counted: Activity) -> None:
    change, message = HOSTILE[case]
    assert message in (impossible(program, with_steps(counted, change)) or "")


def test_steps_add_up_to_the_run(program: Program, counted: Activity) -> None:
    """Counts that are possible at every step, but of another run."""
    other = simulate(program, images(4)[2:], "reference", 3).activity
    assert impossible(program, other) is None
    why = impossible(program, msgspec.structs.replace(counted, steps=other.steps)) or ""
    assert "of all steps add up to" in why


def test_a_difference_at_a_step_is_told_where_sums_are_equal(counted: Activity) -> None:
    name = next(name for name, counts in counted.items() if counts.spikes)
    other = with_steps(counted, lambda steps: moved(steps, name, "spikes", 1))
    at_2, at_3 = counted.differences(other)
    assert at_2.startswith(f"{name}.spikes at step 2: ")
    assert at_3.startswith(f"{name}.spikes at step 3: ")
    assert counted.differences(counted) == []
