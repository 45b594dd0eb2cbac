"""The graded neuron as properties, in floats and in integers: what it conserves, what it leaves, ties, clip and silence."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ProgramError
from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program import ops, verify
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Run
from ecmt_deploy.testing import Case, check, differences
from ecmt_deploy.testing.handmade import PROVENANCE

SHAPE = (2, 3, 4)
STEPS, COUNT, STATE = 5, 24, 24


def around(node, shape=SHAPE):
    """The neuron, named node0, between a sample and a readout."""
    nodes = {
        "input": ops.Input(input_type={"input": np.array(shape)}),
        "node0": node,
        "readout": ops.Readout("differential"),
        "output": ops.Output(output_type={"output": np.array(shape)}),
    }
    return verify(nodes, itertools.pairwise(nodes), PROVENANCE)


@st.composite
def neurons(draw, whole=False):
    """A neuron of ``COUNT`` elements with bases of its own, dead zones from none to silence, and its inputs (STEPS, COUNT).

    Inputs are multiples of a quarter of a base of 8 digits: sums and products are exact, and every second input is a tie
    where it meets a membrane of halves. With ``whole`` all are integers.
    """
    r = np.random.default_rng(draw(st.integers(0, 2**32)))
    bits = draw(st.integers(2, 16))
    most = limit(bits)
    base = r.integers(128, 256, size=COUNT) if not whole else 4 * r.integers(1, 2 ** draw(st.integers(1, 12)), size=COUNT)
    least = np.rint(most ** r.uniform(0, 1, size=COUNT)) if draw(st.booleans()) else np.ones(COUNT)
    least = np.where(r.random(COUNT) < 0.1, most + 1, least).astype(np.int32)
    reach = min(most * draw(st.sampled_from([0.1, 0.5, 3.0])) + 1, 2**15)
    quarters = np.rint(r.uniform(-4, 4, size=(STEPS, COUNT)) * reach).astype(np.int64) * draw(st.sampled_from([1, 2]))
    x, initial = quarters * (base // 4 if whole else base), r.integers(-8, 9, size=COUNT) * (base // 4 if whole else base)
    if whole:
        format = ops.NumberFormat(exponent=-9, state_bits=STATE)
        bound = limit(STATE) // (STEPS + 1)
        return ops.Graded(base.astype(np.int32), bits, least, initial.astype(np.int32), format=format), x.clip(-bound, bound)
    scale = 2.0 ** draw(st.integers(-12, 3))
    return ops.Graded(base * scale, bits, least, initial * scale / 4), x * scale / 4


def stepped(node, x):
    """Spikes and membranes (steps, elements) of the kernel, from t = 1 on."""
    site = Site((x.shape[1:],), x.shape[1:], (False,), False)
    running = kernel(node, site, x.dtype)
    sent = [(running.step(t, Stream(each, np.ones(each.shape, bool))).value, running.v) for t, each in enumerate(x, 1)]
    assert not running.counts.saturations
    return np.array([s for s, _ in sent]), np.array([v for _, v in sent])


def check_properties(node, x, spikes, v, worth):
    """Conservation and the rest, exactly: all numbers are sums of few digits. ``spikes`` are worth ``worth``."""
    base, most = node.base, limit(node.payload_bits)
    np.testing.assert_array_equal((spikes * worth).cumsum(axis=0) + v, node.initial_membrane + x.cumsum(axis=0))
    payloads = spikes * worth / base
    np.testing.assert_array_equal(payloads, np.rint(payloads))
    size = np.abs(payloads)
    assert (size <= most).all()
    assert ((size == 0) | (size >= node.least)).all()
    silent = node.least > most
    assert not size[:, silent].any()
    unclipped = ~silent & (size < most)
    assert (np.abs(v) <= (node.least - 0.5) * base)[unclipped].all(), "the residual is within the dead zone"
    fired = unclipped & (size > 0)
    assert (np.abs(v) <= base / 2)[fired].all(), "a spike is the nearest"


@settings(max_examples=80)
@given(neurons())
def test_floats(drawn):
    node, x = drawn
    spikes, v = stepped(node, x)
    check_properties(node, x, spikes, v, 1)
    before = np.concatenate([node.initial_membrane[None], v[:-1]]) + x
    rate = 1 / node.base
    for u, n, r, smallest in zip(before.T, (spikes / node.base).T, rate, node.least, strict=True):
        expected = [max(min(round(float(each * r)), limit(node.payload_bits)), -limit(node.payload_bits)) for each in u]
        assert n.tolist() == [each if abs(each) >= smallest else 0 for each in expected]


@settings(max_examples=80)
@given(neurons(whole=True))
def test_integers(drawn):
    node, x = drawn
    spikes, v = stepped(node, x)
    check_properties(node, x, spikes, v, node.base)
    before = np.concatenate([node.initial_membrane[None], v[:-1]]) + x
    for u, n, base, smallest in zip(before.T.tolist(), spikes.T.tolist(), node.base.tolist(), node.least, strict=True):
        expected = [max(min(round(Fraction(each, base)), limit(node.payload_bits)), -limit(node.payload_bits)) for each in u]
        assert n == [each if abs(each) >= smallest else 0 for each in expected]


@settings(max_examples=40)
@given(neurons(whole=True), st.integers(2, 14))
def test_both_arithmetics_fire_the_same(drawn, power):
    """Where a base is a power of two, no quotient is rounded: ties, clip and silence are one rule."""
    whole, x = drawn
    whole.base = np.full_like(whole.base, 2**power)
    floating = ops.Graded(whole.base.astype(float), whole.payload_bits, whole.least, whole.initial_membrane.astype(float))
    payloads, v = stepped(whole, x)
    spikes, floating_v = stepped(floating, x.astype(float))
    np.testing.assert_array_equal(payloads * whole.base, spikes)
    np.testing.assert_array_equal(v, floating_v)


@settings(max_examples=40)
@given(neurons(), st.booleans())
def test_both_engines_fire_the_same_on_ties(drawn, in_pieces):
    """The torch engine has v = X_t - S_{t-1} of sums, the kernel carries v: where sums are exact they are the same number."""
    node, x = drawn
    program = around(node, shape=(COUNT,))
    case = Case(program, x, STEPS)  # each step's input as a sample
    assert check("torch", case).equal
    if in_pieces:
        model = SpikingModel(program).double()
        model.memory_bytes = 1
        outputs, activity = model.count(torch.from_numpy(x), STEPS)
        expected = simulate(program, x, "reference", STEPS)
        assert list(differences(program, Run(outputs.numpy(), activity), expected)) == []


TIES = [(0.5, 0), (-0.5, 0), (1.5, 2), (-1.5, -2), (2.5, 2), (-2.5, -2), (3.5, 3), (-9, -3), (0.51, 1), (0.0, 0)]


@pytest.mark.parametrize("base", [1, 2, 256, 2**20])
def test_ties_go_to_the_even_payload_and_the_clip_is_symmetric(base):
    units, expected = (np.array(column) for column in zip(*TIES, strict=True))
    spikes, _ = stepped(ops.Graded(np.array(float(base)), 3), (units * base)[None])
    np.testing.assert_array_equal(spikes[0], expected * base)
    whole = units * base == np.rint(units * base)
    format = ops.NumberFormat(exponent=0, state_bits=32)
    node = ops.Graded(np.array(base), 3, initial_membrane=np.array(0), format=format)
    payloads, _ = stepped(node, (units * base)[whole].astype(np.int64)[None])
    np.testing.assert_array_equal(payloads[0], expected[whole])


def test_what_is_clipped_follows_and_silence_stays_silent():
    spikes, v = stepped(ops.Graded(np.array(0.5), 3, np.array([1, 4])), np.array([[4.0, 4.0], [0, 0], [0, 0], [0, 0]]))
    np.testing.assert_array_equal(spikes[:, 0], [1.5, 1.5, 1.0, 0.0])
    np.testing.assert_array_equal(v[:, 1], [4.0] * 4)
    assert not spikes[:, 1].any()


def integer(**changes):
    fields = {"base": np.array(9), "payload_bits": 4, "initial_membrane": np.array(0)} | changes
    return ops.Graded(**fields, format=ops.NumberFormat(exponent=-4, state_bits=16))


WRONG = {
    "no payload": (ops.Graded(np.array(1.0), 1), "payload_bits is 1, expected 2 to 16"),
    "too wide": (ops.Graded(np.array(1.0), 17), "payload_bits is 17"),
    "half a bit": (ops.Graded(np.array(1.0), 7.5), "payload_bits is float '7.5', expected an integer"),
    "negative base": (ops.Graded(np.array([1.0, -1.0, 1.0, 1.0]), 4), "base is NaN, not positive"),
    "no base": (ops.Graded(np.array(0.0), 4), "base is NaN, not positive"),
    "NaN": (ops.Graded(np.array(np.nan), 4), "base is NaN, not positive"),
    "infinite base": (ops.Graded(np.array(np.inf), 4), "base is NaN, not positive, too small or too large"),
    "spike beyond floats": (ops.Graded(np.array(1e308), 8), "base is .*too large"),
    "whole base": (ops.Graded(np.array(3), 4), "base is .*expected an array of floating point"),
    "base of words": (ops.Graded(np.array("a"), 4), "base is"),
    "least is none": (ops.Graded(np.array(1.0), 4, np.array(0)), "least is out of range, expected integers of 1 to 8"),
    "least beyond silence": (ops.Graded(np.array(1.0), 4, np.array(9)), "least is out of range"),
    "half a payload": (ops.Graded(np.array(1.0), 4, np.array(1.5)), "least is"),
    "infinite membrane": (ops.Graded(np.array(1.0), 4, initial_membrane=np.array(np.inf)), "initial_membrane is"),
    "other channels": (ops.Graded(np.ones(3), 4), r"base of shape \(3,\) on"),
    "other dead zones": (ops.Graded(np.array(1.0), 4, np.ones(3, int)), r"least of shape \(3,\) on"),
    "other membranes": (ops.Graded(np.array(1.0), 4, initial_membrane=np.zeros((2, 1, 1, 1))), "initial_membrane of shape"),
}
WRONG_INTEGERS = {
    "no base": (integer(base=np.array(0)), "base is out of range, expected positive integers of 16 bits"),
    "wide base": (integer(base=np.array(2**15)), "base is out of range"),
    "floating base": (integer(base=np.array(1.0)), "base is"),
    "wide membrane": (integer(initial_membrane=np.array(-(2**15))), "initial_membrane is out of range"),
    "too wide": (integer(payload_bits=17), "payload_bits is 17, expected 2 to 16"),
    "least beyond silence": (integer(least=np.array(9)), "least is out of range, expected integers of 1 to 8"),
}


def integers_around(node):
    """The neuron alone among integers of its width."""
    format = ops.NumberFormat(exponent=-4, state_bits=16)
    nodes = {
        "input": ops.Input(input_type={"input": np.array(SHAPE)}, format=format),
        "node0": node,
        "weights": ops.LastAxisLinear(np.ones((2, 4), np.int8), format=ops.Weighted(
            weight_bits=8, multiplier=np.full(2, 2**14, np.int16), shift=np.full(2, 14, np.int8), exponent=-4, state_bits=16)),
        "readout": ops.Readout("differential", format=format),
        "output": ops.Output(output_type={"output": np.array((2, 3, 2))}),
    }  # fmt: skip
    return verify(nodes, itertools.pairwise(nodes), PROVENANCE)


@pytest.mark.parametrize(
    ("program_of", "node", "said"),
    [
        *(pytest.param(around, *case, id=what) for what, case in WRONG.items()),
        *(pytest.param(integers_around, *case, id=f"integers, {what}") for what, case in WRONG_INTEGERS.items()),
    ],
)
def test_wrong_fields_are_refused_in_one_line(program_of, node, said):
    with pytest.raises(ProgramError, match=rf"node0 .*{said}") as error:
        program_of(node)
    assert "\n" not in str(error.value)


def test_the_integers_are_sound_where_nothing_is_wrong():
    assert integers_around(integer()).integer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bits", [2, 8, 16])
@pytest.mark.parametrize("base", [1e-310, 1e-40, 3e-38, 1e-37, 1e-30, 1.0, 1e30, 1e36, 1e38, 2.5e-308, 1e-307, 1e300, 1e307])
def test_payloads_are_normal_numbers(base, bits, dtype):
    """A base that verification lets through fires alike on both engines; the others are refused."""
    with np.errstate(all="ignore"):
        array = np.asarray(base, dtype)
    limits = np.finfo(dtype)
    node = ops.Graded(array, bits)
    if not 4 * limits.tiny <= array <= limits.max / 2.0**bits:
        with pytest.raises(ProgramError, match="base"):
            around(node)
        return
    made = around(node)
    x = np.random.default_rng(3).normal(size=(2, *SHAPE)) * float(array) * 2.0 ** (bits - 2)
    assert simulate(made, x, "torch", 3).activity == simulate(made, x, "reference", 3).activity
