"""The gate: what of a frame is sent, what the receiver then holds, and where a scene is cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from ecmt_deploy.data import open_clip
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.gate import Gate, default_gate
from ecmt_deploy.program.patches import patches
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.testing import case
from ecmt_deploy.testing.handmade import cell, images, program
from tests.support.streams import clip


def encoder(shape: tuple[int, ...], *nodes) -> Program:
    """A program that takes frames of ``shape`` through these nodes, the last of which has weights."""
    named = {"input": ops.Input(input_type={"input": np.array(shape)})}
    named |= {f"n{i}": node for i, node in enumerate(nodes)}
    sizes = shape
    for node in nodes:
        sizes = node.infer(sizes)
    count = int(np.prod(sizes))
    named |= {
        "neuron": cell(), "flat": ops.Reshape(np.array([count])), "head": ops.LastAxisLinear(np.ones((2, count))),
        "readout": ops.Readout("differential"), "output": ops.Output(output_type={"output": np.array([2])}),
    }  # fmt: skip
    names = list(named)
    return program(named, list(pairwise(names)))


def conv(shape: tuple[int, int, int], kernel: int, stride: int, padding: int) -> Program:
    """A convolution takes the frames."""
    weight = np.ones((2, shape[0], kernel, kernel))
    return encoder(shape, ops.Conv2d(shape[1:], weight, stride, padding, 1, 1, np.zeros(2)))


def embedding(shape: tuple[int, int, int], patch: int) -> Program:
    """Frames are cut into patches by wiring, and each is a row for a linear layer."""
    c, h, w = shape
    split = ops.Reshape(np.array([c, h // patch, patch, w // patch, patch]))
    rows = ops.Reshape(np.array([h * w // patch**2, c * patch**2]))
    linear = ops.LastAxisLinear(np.ones((3, c * patch**2)))
    return encoder(shape, split, ops.Permute(np.array([1, 3, 0, 2, 4])), rows, linear)


def blocks(shape: tuple[int, int, int], size: int, offset: int = 0) -> np.ndarray:
    """Number of the square block of every pixel."""
    y, x = ((np.arange(n) + offset) // size for n in shape[1:])
    return np.broadcast_to(y[:, None] * 100 + x[None], shape)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of numbers group elements alike."""
    pairs = {*zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)}
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


# --- patches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 4, 0), (2, 2, 0), (3, 1, 1), (3, 2, 1), (4, 4, 2), (2, 3, 0)])
def test_patches_of_a_convolution_are_tiles_as_large_as_its_kernel(kernel, stride, padding):
    shape = (3, 8, 8)
    assert same_partition(patches(conv(shape, kernel, stride, padding)), blocks(shape, kernel, padding))


@pytest.mark.parametrize("patch", [2, 4])
def test_patches_of_a_linear_embedding_are_those_of_the_convolution(patch):
    shape = (3, 8, 8)
    assert same_partition(patches(embedding(shape, patch)), blocks(shape, patch))
    assert same_partition(patches(embedding(shape, patch)), patches(conv(shape, patch, patch, 0)))


def test_rows_are_patches_of_a_sequence():
    made = encoder((5, 6), ops.LastAxisLinear(np.ones((3, 6))))
    assert same_partition(patches(made), np.repeat(np.arange(5)[:, None], 6, axis=1))


def test_scales_and_sums_on_the_way_do_not_matter():
    shape = (3, 8, 8)
    weight = np.ones((2, 3, 4, 4))
    scaled = encoder(shape, ops.BroadcastScale(np.full((3, 1, 1), 2.0)), ops.Conv2d((8, 8), weight, 4, 0, 1, 1, np.zeros(2)))
    assert same_partition(patches(scaled), blocks(shape, 4))


def test_what_nobody_reads_is_a_patch_of_its_own():
    made = encoder((1, 6, 6), ops.Slice(1, 0, 4, 1), ops.Conv2d((4, 6), np.ones((2, 1, 2, 2)), 2, 0, 1, 1, np.zeros(2)))
    found = patches(made)
    assert len(np.unique(found[:, 4:])) == 1
    assert not np.isin(found[:, :4], found[:, 4:]).any()
    gate, frame = Gate(made, 0.0), np.zeros((1, 1, 6, 6))
    gate.send(frame)
    frame[..., 5, 5] = 1.0
    assert gate.send(frame).sent[0, 0].sum() == 12
    run = stream(made, [np.zeros((1, 6, 6)), frame[0]], "reference")
    assert run.frames[1]["n1"].macs == 0
    assert run.frames[1]["neuron"].spikes == 0


# --- what is sent ---------------------------------------------------------------------------------------------------------

PROGRAM = conv((3, 8, 8), 4, 4, 0)


def test_at_zero_the_receiver_holds_the_frame():
    gate, frames = Gate(PROGRAM, 0.0, cuts=False), np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    before = None
    for frame in clip(frames, 50, seed=1):
        sent = gate.send(frame[None])
        np.testing.assert_array_equal(sent.held[0], frame)
        if before is not None:
            differs = (frame != before).reshape(3, 2, 4, 2, 4).any(axis=(0, 2, 4))
            np.testing.assert_array_equal(sent.sent[0, 0, ::4, ::4], differs)
            assert sent.share == differs.mean()
        before = frame


def test_differences_below_the_threshold_add_up_until_they_are_sent():
    gate, frame = Gate(PROGRAM, 1.0), np.zeros((1, 3, 8, 8))
    gate.send(frame)
    sent = []
    for _ in range(12):
        frame = frame.copy()
        frame[..., :4, :4] += 0.3
        result = gate.send(frame)
        sent.append(bool(result.sent[0, 0, 0, 0]))
        assert not result.sent[..., 4:, :].any()
        assert not result.sent[..., 4:].any()
        assert np.abs(frame - result.held).max() <= 1.0
    assert sent == [False, False, False, True] * 3


def test_what_counts_is_the_root_mean_square_of_a_patch():
    gate, frame = Gate(PROGRAM, 1.0), np.zeros((1, 3, 8, 8))
    gate.send(frame)
    frame[0, 0, 0, 0] = 6.9  # of 48 values: an RMS just below 1
    assert not gate.send(frame).sent.any()
    frame[0, 0, 0, 0] = 7.0
    assert gate.send(frame).sent.sum() == 48


def test_an_integer_program_has_the_threshold_in_units_of_its_input():
    chosen = case("integer transformer, graded").program
    unit = 2.0 ** chosen.exponents[chosen.input_name]
    gate, frame = Gate(chosen, 10 * unit), np.zeros((1, *chosen.input_shape), np.int64)
    gate.send(frame)
    assert not gate.send(frame + 10).sent.any()
    assert gate.send(frame + 11).sent.all()


def test_streams_side_by_side_are_independent():
    r = np.random.default_rng(2)
    streams = [list(clip(r.normal(size=(4, 3, 8, 8)), 30, seed)) for seed in range(3)]
    together, alone = Gate(PROGRAM, 0.2, cuts=False), [Gate(PROGRAM, 0.2, cuts=False) for _ in streams]
    for frames in zip(*streams, strict=True):
        found = together.send(np.stack(frames))
        for i, (gate, frame) in enumerate(zip(alone, frames, strict=True)):
            expected = gate.send(frame[None])
            np.testing.assert_array_equal(found.sent[i], expected.sent[0])
            np.testing.assert_array_equal(found.held[i], expected.held[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("number", [0, 1])
def test_what_is_no_number_is_refused(bad, number):
    gate, frame = Gate(PROGRAM), np.zeros((2, 3, 8, 8))
    for _ in range(number):
        gate.send(frame)
    frame[1, 2, 3, 4] = bad
    with pytest.raises(DataError, match="infinite or no number"):
        gate.send(frame)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 8, 7), (1, 3, 8, 8)])
def test_frames_of_another_shape_or_number_are_refused(shape):
    gate = Gate(PROGRAM)
    gate.send(np.zeros((2, 3, 8, 8)))
    with pytest.raises(DataError, match="frames of shape .* expected .*of the 2 streams as before"):
        gate.send(np.zeros(shape))


@pytest.mark.parametrize("threshold", [-1e-9, np.nan, np.inf])
def test_a_threshold_that_makes_no_sense_is_refused(threshold):
    with pytest.raises(ConfigError, match="gate is .*expected 0 .* or a positive number"):
        Gate(PROGRAM, threshold)


def test_the_threshold_is_what_calibration_found():
    config = {"gate": 0.25}
    made = SimpleNamespace(provenance=msgspec.structs.replace(PROGRAM.provenance, config=config))
    assert default_gate(made) == 0.25
    assert default_gate(PROGRAM) == 0.0
    tuned = replace(PROGRAM, provenance=made.provenance)
    assert (Gate(tuned).threshold, Gate(tuned, 0.0).threshold) == (0.25, 0.0)


# --- cuts -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("target", ["reference", "torch"])
def test_behind_a_cut_a_frame_takes_what_a_first_frame_takes(target, steps):
    """It costs what a reset costs, and its answer is that of a first frame."""
    chosen = case("transformer, graded").program
    here, there = (images(2, seed=9) + np.array([2, -2]).reshape(2, 1, 1, 1)).astype(np.float32)
    again = stream(chosen, [here, here, there, there], target, steps, 0.0)
    first = stream(chosen, [there, there], target, steps, 0.0)
    assert again.frames.begun.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(again.frames.rows[2:], first.frames.rows)
    np.testing.assert_array_equal(again.outputs[:, 2:], first.outputs)
    on = stream(chosen, [here, here, there, there], target, steps, 0.0, cuts=False)
    assert on.frames.begun.tolist() == [True, False, False, False]


def cuts_of(name: str) -> list[int]:
    """At which frames of a clip a stream begins anew."""
    looks = Preprocessing(input_size=(3, 48, 48), mean=(0.5,) * 3, std=(0.25,) * 3)
    gate = Gate(conv((3, 48, 48), 8, 8, 0), 0.0)
    return [frame.number for frame in open_clip(name, looks) if gate.send(frame.pixels[None]).begins]


@pytest.mark.parametrize("name", ["still,noise=3", "object,speed=5", "pan,speed=2", "object,noise=2", "digits", "pan,noise=2"])
def test_motion_and_noise_are_no_cut(name):
    assert cuts_of(f"made:{name},frames=30") == [0]


def test_a_cut_is_found_where_it_is():
    assert cuts_of("made:cut,frames=20") == [0, 10]
    assert cuts_of("made:cut,frames=20,noise=2,speed=3") == [0, 10]


def test_of_streams_side_by_side_all_have_to_be_cut():
    gate, r = Gate(PROGRAM, 0.0), np.random.default_rng(4)
    here, there = r.normal(size=(2, 2, 3, 8, 8)) + np.array([3.0, -3.0]).reshape(2, 1, 1, 1, 1)
    assert gate.send(here).begins
    one = here.copy()
    one[0] = there[0]
    assert not gate.send(one).begins
    assert gate.send(np.stack([here[0], there[1]])).begins
