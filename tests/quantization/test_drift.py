"""Increments that are sent for ever: the sum of what an integer node sends is the exact sum, rounded once."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docs.generate.fixed_vector import RANGES
from docs.generate.format_vector import small
from ecmt_deploy.errors import ConfigError, ProgramError
from ecmt_deploy.kernels import Site, Stream, kernel, kernels
from ecmt_deploy.kernels.formats import multipliers_and_shifts, requantisations
from ecmt_deploy.kernels.integers import requantised
from ecmt_deploy.program import Program, ops, verify
from ecmt_deploy.program.canonical import require_for
from ecmt_deploy.program.graph import edges
from ecmt_deploy.program.ops import Op
from ecmt_deploy.program.ops.add import most_remainder_bits
from ecmt_deploy.program.verification import infer
from ecmt_deploy.quantization import quantize
from ecmt_deploy.testing import case, integer_program
from tests.support.ranges import ranged

INT64 = np.dtype(np.int64)
STEPS = 1500
#: kinds of node that round what they send
KINDS = ("linear", "conv1d", "conv2d", "scale", "mean", "add")
WIDE = {"exponent": -10, "state_bits": 32}


def site_of(node: Op, shapes: list[tuple[int, ...]], spiking: bool = False) -> Site:
    return Site(tuple(shapes), infer(node, shapes), (spiking,) * len(shapes), False)


def random_node(kind: str, r: np.random.Generator, carries: bool = True) -> tuple[Op, list[tuple[int, ...]]]:
    """A node of a kind, with shifts to both sides, and the shapes of its operands."""

    def constants(shape: tuple[int, ...], least: int) -> dict:
        multiplier = np.asarray(r.integers(-(2**15) + 1, 2**15, size=shape), np.int16)
        return {"multiplier": multiplier, "shift": np.asarray(r.integers(least, 40, size=shape), np.int8), "carries": carries}

    def weighted(out: int) -> ops.Weighted:
        return ops.Weighted(weight_bits=8, **constants((out,), 8), **WIDE)

    def weights(*shape: int) -> np.ndarray:
        return np.asarray(r.integers(-128, 128, size=shape), np.int8)

    bias = np.zeros(4, np.int8)
    match kind:
        case "linear":
            return ops.LastAxisLinear(weights(3, 5), format=weighted(3)), [(2, 5)]
        case "conv1d":
            return ops.Conv1d(None, weights(4, 1, 3), 2, 1, 1, 2, bias, format=weighted(4)), [(2, 7)]
        case "conv2d":
            return ops.Conv2d(None, weights(4, 2, 2, 2), (1, 1), (1, 0), (1, 1), 1, bias, format=weighted(4)), [(2, 3, 3)]
        case "scale":
            made = constants((4,), 8)
            return ops.BroadcastScale(made.pop("multiplier"), format=ops.Shifted(**made, **WIDE)), [(2, 4)]
        case "mean":
            return ops.Mean(np.array([0]), False, format=ops.Requantised(**constants((), 8), **WIDE)), [(3, 4)]
        case _:
            count = int(r.integers(1, 5))
            finest = WIDE["exponent"] - int(r.choice([0, 12, most_remainder_bits(count)]))
            found = np.append(r.integers(finest, -7, size=count - 1), finest)
            names = tuple(f"x{i}" for i in range(len(found)))
            format = ops.Summed(operand_exponents=found, carries=carries, **WIDE)
            return ops.Add(names, format=format), [(2, 3)] * len(found)


def exact(node: Op, totals: list[np.ndarray]) -> np.ndarray:
    """What a node makes of operands, as fractions of the last place of its stream."""
    if isinstance(node, ops.Add):
        places = [Fraction(2) ** int(e - node.format.exponent) for e in node.format.operand_exponents]
        return np.asarray(sum(x.astype(object) * place for x, place in zip(totals, places, strict=True)))
    (x,), form = totals, node.format
    multiplier = node.scale if isinstance(node, ops.BroadcastScale) else form.multiplier
    scale = np.vectorize(lambda m, r: Fraction(int(m)) / Fraction(2) ** int(r), otypes=[object])(multiplier, form.shift)
    if isinstance(node, ops.Mean):
        value = x.sum(axis=tuple(node.axes), keepdims=node.keepdims)
    elif node.role == "synapse":  # the float kernel sums exactly
        site = site_of(node, [x.shape])
        summing = node.kernel(node, site, np.dtype(float))
        value = summing.advance(1, Stream(x.astype(float), np.ones(x.shape, bool))).value.astype(np.int64)
        if node.layer == "convolution":
            scale = scale.reshape(-1, *[1] * (x.ndim - 1))
    else:
        value = x
    return np.asarray(value.astype(object) * scale)


def rounded(x: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda each: floor(each + Fraction(1, 2)), otypes=[object])(x)


def increments(r: np.random.Generator, shapes: list[tuple[int, ...]], steps: int, most: int = 40):
    """Small changes; at a third of the steps none."""
    for _ in range(steps):
        still = r.random() < 1 / 3
        yield [r.integers(-most, most + 1, size=shape) * (not still) for shape in shapes]


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32), spiking=st.booleans())
@settings(max_examples=6, deadline=None)
def test_the_sum_of_what_is_sent_is_the_exact_sum_rounded_once(kind, seed, spiking):
    r = np.random.default_rng(seed)
    node, shapes = random_node(kind, r)
    running = kernel(node, site_of(node, shapes, spiking and node.role == "synapse"), INT64)
    sent, totals = 0, [np.zeros(shape, np.int64) for shape in shapes]
    for t, operands in enumerate(increments(r, shapes, STEPS), 1):
        value = running.step(t, *(Stream(x, x != 0) for x in operands)).value
        assert value.any() <= any(x.any() for x in operands), "where nothing came, nothing is sent"
        totals = [total + x for total, x in zip(totals, operands, strict=True)]
        sent = sent + value
        if t % 500 == 0 or t < 4:
            np.testing.assert_array_equal(sent, rounded(exact(node, totals)))
    assert running.counts.saturations == 0
    bits = node.format.remainder_bits
    for kept in running.remembered():
        assert kept.min() >= -(2 ** (bits - 1))
        assert kept.max() < 2 ** (bits - 1)
    assert len(running.remembered()) == (bits > 0)
    running.reset()
    assert not any(kept.any() for kept in running.remembered())


def halving(kind: str, carries: bool) -> tuple[Op, list[tuple[int, ...]]]:
    """Half of what comes."""
    one = {"shift": np.ones((1,), np.int8), "carries": carries, **WIDE}
    unit, format = np.ones((1,), np.int16), ops.Weighted(weight_bits=8, multiplier=np.ones((1,), np.int16), **one)
    match kind:
        case "linear":
            return ops.LastAxisLinear(np.ones((1, 1), np.int8), format=format), [(1,)]
        case "conv1d":
            return ops.Conv1d(None, np.ones((1, 1, 1), np.int8), 1, 0, 1, 1, np.zeros(1, np.int8), format=format), [(1, 1)]
        case "conv2d":
            weight = np.ones((1, 1, 1, 1), np.int8)
            return ops.Conv2d(None, weight, (1, 1), (0, 0), (1, 1), 1, np.zeros(1, np.int8), format=format), [(1, 1, 1)]
        case "scale":
            return ops.BroadcastScale(unit, format=ops.Shifted(**one)), [(1,)]
        case "mean":
            scalar = {**one, "shift": np.array(1, np.int8)}
            return ops.Mean(np.array([0]), True, format=ops.Requantised(multiplier=np.array(1, np.int16), **scalar)), [(1, 1)]
        case _:
            format = ops.Summed(operand_exponents=np.array([WIDE["exponent"] - 1]), carries=carries, **WIDE)
            return ops.Add(("x",), format=format), [(1,)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("carries", [False, True])
def test_increments_rounded_by_themselves_drift(kind, carries):
    """Ties go up: what comes and goes again leaves half a unit behind, every time, unless the remainder is carried."""
    node, shapes = halving(kind, carries)
    running = kernel(node, site_of(node, shapes), INT64)
    total, steps = 0, 1000
    for t in range(1, steps + 1):
        x = np.full(shapes[0], 1 if t % 2 else -1)
        total += int(running.step(t, Stream(x, np.ones(x.shape, bool))).value.sum())
    assert total == (0 if carries else steps // 2)


@pytest.mark.parametrize("name", ["integer transformer, graded", "integer transformer, accurate"])
def test_no_node_of_a_program_drifts(name):
    """Frames without a reset: every node that rounds sends the rounded exact sum of what it was sent."""
    program, _, _ = case(name)
    r, running = np.random.default_rng(0), kernels(program, program.dtype)
    running[program.input_name].present(r.integers(-3000, 3000, size=program.input_shape))
    sums: dict[str, np.ndarray] = {}
    for t in range(1, 401):
        streams: dict[str, Stream] = {}
        for node, made in running.items():
            streams[node] = made.step(t, *(streams[source] for source in program.operands[node]))
            if node == program.input_name and t > 1:
                change = r.integers(-300, 301, size=program.input_shape) * (r.random(program.input_shape) < 0.2)
                streams[node] = Stream(change, change != 0)
        sums = {node: sums.get(node, 0) + stream.value for node, stream in streams.items()}
    assert sum(made.counts.saturations for made in running.values()) == 0
    rounding = [node for node, made in program.nodes.items() if made.format is not None and made.format.remainder_bits]
    assert {program.nodes[node].role for node in rounding} == {"synapse", "arithmetic"}
    for node in rounding:
        operands = [sums[source] for source in program.operands[node]]
        np.testing.assert_array_equal(sums[node], rounded(exact(program.nodes[node], operands)), node)


@pytest.mark.parametrize("name", ["every node, rate", "transformer, accurate", "transformer, paper", "transformer, graded"])
def test_quantisation_carries_increments_and_nothing_else(name, all_programs):

    float_program = all_programs[name]
    program = quantize(float_program if float_program.provenance.ranges else ranged(float_program))
    for each, node in program.nodes.items():
        form = node.format
        if form is None or "carries" not in form.fields:
            assert "remainder" not in program.state(each)
            continue
        if node.kind == "Add":  # constants that are sent once are rounded once
            operands = zip(program.operands[each], form.operand_exponents, strict=True)
            finer = any(e < form.exponent and not of_constants(program, source) for source, e in operands)
            assert form.carries == (program.coding == "differential" and finer)
        else:
            assert form.carries == (program.coding == "differential")
        assert program.state(each) == ({"remainder": program.shapes[each]} if form.remainder_bits else {})
        assert form.remainder_bits >= 0
        assert form.carries or not form.remainder_bits


def of_constants(program: Program, stream: str) -> bool:
    return all(program.nodes[emitter].role == "constant" for emitter in program.emitters[stream])


@given(st.lists(st.one_of(st.floats(1e-12, 1e4), st.integers(-12, 12).map(lambda k: 2.0**k), st.just(0.0)), min_size=1))
def test_requantisations_in_lowest_terms_are_the_same(ratios):
    (multiplier, shift), x = requantisations(np.array(ratios)), np.arange(-50, 50)[:, None] * 331
    assert ((multiplier % 2 != 0) | (shift <= 0)).all()
    expected = requantised(x, *(a.astype(np.int64) for a in multipliers_and_shifts(np.array(ratios))))
    np.testing.assert_array_equal(requantised(x, multiplier.astype(np.int64), shift.astype(np.int64)), expected)


@pytest.mark.parametrize(("shift", "words"), [(-3, 0), (0, 0), (1, 1), (24, 1), (25, 2), (60, 3)])
def test_a_remainder_is_as_wide_as_the_shift(shift, words):
    constants = {"multiplier": np.array([3, 3], np.int16), "shift": np.array([min(shift, 0), shift], np.int8)}
    for carries in (True, False):
        format = ops.Weighted(weight_bits=8, **constants, carries=carries, exponent=-10, state_bits=24)
        node = ops.LastAxisLinear(np.ones((2, 3), np.int8), format=format)
        assert node.words((5, 2), (5, 3)) == words * carries
        assert format.remainder_bits == max(shift, 0) * carries


def test_random_programs_carry_in_both_ways():
    """So that the conformance suite compares both."""
    made = [integer_program(seed).program for seed in range(12)]
    carrying = [any(program.state(name).get("remainder") for name in program.nodes) for program in made]
    assert 3 <= sum(carrying) <= 9


def test_operands_finer_than_any_remainder_are_refused():
    source = small("differential")
    ranges = RANGES | {"relu": 1.5, "encode": 1e-14, "add": 1e12}
    wide = verify(dict(source.nodes), edges(source.operands), msgspec.structs.replace(source.provenance, ranges=ranges))
    with pytest.raises(ConfigError, match=r"node add: an operand is 9e-19 of its sum or less; no remainder holds both"):
        quantize(wide)
    for exponent, carries in ((-41, True), (-42, False)):  # what is no more than 60 finer, or rounded by itself, is taken
        checked(exponent, carries)
    with pytest.raises(ProgramError, match="at most 60 below the sum's, 19, which carries"):
        checked(-42, True)


def checked(exponent: int, carries: bool) -> None:
    format = ops.Summed(operand_exponents=np.array([exponent, 10]), carries=carries, exponent=19, state_bits=24)
    node = ops.Add(("x", "y"), format=format)
    node.check_format(require_for("add", node))
