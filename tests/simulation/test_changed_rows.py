"""Kernels compute only what an event reached, and what they send is what it is where everything is computed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ecmt_deploy.kernels import Site, Stream, kernel, streams
from ecmt_deploy.kernels.integer import Following
from ecmt_deploy.kernels.streams import Part
from ecmt_deploy.program import ops
from ecmt_deploy.program.ops import ecm, product
from ecmt_deploy.program.verification import infer
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.testing import case
from ecmt_deploy.testing.integer_programs import integer_program
from tests.support.streams import clip, spikes

FLOAT64, INT64 = np.dtype(np.float64), np.dtype(np.int64)
CASES = ["every node, differential", "transformer, graded", "integer transformer, graded"]


@pytest.fixture(autouse=True)
def however_little_that_spares(monkeypatch):
    """Rows are picked out of the smallest streams too, which do not take long anyway."""
    monkeypatch.setattr(streams, "SPARED", 0)


@pytest.fixture
def everything(monkeypatch):
    """Call it, and from then on kernels compute all rows, whatever an event reached."""

    def compute_all(self, rows, width=1):
        self.empty, self.rows = False, None

    return lambda: monkeypatch.setattr(Part, "__init__", compute_all)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("steps", [1, 2])
def test_values_and_counts_are_those_of_everything_computed(name, steps, everything):
    chosen = case(name)
    program, frames = chosen.program, list(clip(chosen.inputs, 30, seed=3))

    def run():
        precision = "fixed" if program.integer else "float"
        return stream(program, frames, "reference", steps, 0.0, precision, dtype="float64", probes=spikes(program), cuts=False)

    found = run()
    everything()
    expected = run()
    np.testing.assert_array_equal(found.frames.rows, expected.frames.rows)
    close = {"rtol": 0, "atol": 0 if program.integer else 1e-9}
    np.testing.assert_allclose(found.outputs, expected.outputs, **close)
    for probe, series in expected.probes.items():
        np.testing.assert_allclose(found.probes[probe], series, **close)


#: seeds of random integer programs that have streams
SEEDS = [
    seed
    for seed, program in ((seed, integer_program(seed).program) for seed in range(40))
    if not any(node.every_step for node in program.nodes.values()) and not program.inputs.named
]


def test_integers_that_saturate_are_sent_and_counted_as_if_everything_were_computed(everything, monkeypatch):
    """Random programs of many kinds of node, whose values go far beyond what they hold."""
    runs, restless = [], []
    update = Following.update

    def watched(self, term, before):
        restless.append(self.restless)
        return update(self, term, before)

    monkeypatch.setattr(Following, "update", watched)
    for part in ("some", "all"):
        if part == "all":
            everything()
        for seed in SEEDS[:10]:
            chosen = integer_program(seed)
            frames = clip(chosen.inputs * 50, 15, seed)
            runs.append((part, stream(chosen.program, frames, "reference", 2, 0.0, "fixed", cuts=False)))
    for found, expected in zip(
        (run for part, run in runs if part == "some"), (run for part, run in runs if part == "all"), strict=True
    ):
        np.testing.assert_array_equal(found.outputs, expected.outputs)
        np.testing.assert_array_equal(found.frames.rows, expected.frames.rows)
    assert sum(restless) > 20


def test_what_a_stream_could_not_hold_follows_as_an_event():
    """A function of 8 bits goes from -100 to 100: of 200 it sends 127, and the rest at the next step, where nothing comes."""
    form = ops.Aligned(exponent=0, state_bits=8, operand_exponents=np.array([0]))
    node = ops.ECM(("x",), "clamp", "differential", {"low": np.array(-100), "high": np.array(100)}, format=form)
    shape = (8, 2)
    running = kernel(node, Site((shape,), shape, (False,), False), INT64)
    here = np.zeros(shape, bool)
    here[1] = True
    nothing = Stream(np.zeros(shape, np.int64), np.zeros(shape, bool))
    assert running.step(1, Stream(np.full(shape, -100), np.ones(shape, bool))).value.tolist() == [[-100, -100]] * 8
    sent = [running.step(2, Stream(np.where(here, 200, 0), here)), *(running.step(t, nothing) for t in range(3, 6))]
    assert [each.value[1, 0] for each in sent] == [127, 73, 0, 0]
    assert [each.changed[1, 0] for each in sent] == [True, True, False, False]
    assert not any(each.value[0].any() or each.changed[0].any() for each in sent)
    assert running.counts.saturations == 2
    assert running.counts.ecm_ops == {"clamp": 16 + 2}  # what follows is sent, but not evaluated anew
    assert running.counts.analog_messages == 16 + 2 + 2


def events(r, shape, rows):
    """A stream in which these rows have an event."""
    value = np.zeros(shape)
    value[rows] = r.normal(size=value[rows].shape)
    return Stream(value, np.broadcast_to(value.any(axis=-1, keepdims=True), shape))


FUNCTIONS = {
    "layer_norm": {"eps": np.asarray(1e-6), "normalized_axes": np.asarray(1), "weight": np.linspace(0.5, 2, 6)},
    "softmax": {"axis": np.asarray(2)},
    "gelu": {},
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("reached", [[], [(0, 1)], [(0, 0), (1, 3), (1, 4)], None])
def test_a_function_is_evaluated_where_an_event_is(function, reached, monkeypatch):
    r, shape = np.random.default_rng(0), (2, 5, 6)
    node = ops.ECM(("x",), function, "differential", FUNCTIONS[function])
    running = kernel(node, Site((shape,), shape, (False,), False), FLOAT64)
    first = events(r, shape, ...)
    running.step(1, first)
    definition, seen = node.definition, []
    counting = SimpleNamespace(
        coupled_axes=definition.coupled_axes,
        evaluate=lambda parameters, *xs: [seen.append(xs[0].size), definition.evaluate(parameters, *xs)][1],
    )
    monkeypatch.setattr(ecm.ECM, "definition", counting)
    rows = ... if reached is None else tuple(np.array(reached, int).reshape(-1, 2).T)
    second = events(r, shape, rows)
    sent = running.step(2, second)
    assert sum(seen) == 6 * (10 if reached is None else len(reached))
    total = definition.evaluate(node.parameters, first.value + second.value)
    expected = total - definition.evaluate(node.parameters, first.value)
    np.testing.assert_allclose(sent.value, expected, atol=1e-12)
    assert not sent.value[~sent.changed].any()


def test_a_maximum_is_evaluated_in_the_windows_that_an_event_reached():
    """Of 2 x 3 windows of 4 one has an event: its 4 elements are compared anew, and only its maximum leaves."""
    shape = (2, 3, 4)
    node = ops.ECM(("x",), "max", "differential", {"axis": np.asarray(2)})
    running = kernel(node, Site((shape,), (2, 3, 1), (False,), False), FLOAT64)
    first = np.arange(24.0).reshape(shape)
    np.testing.assert_array_equal(running.step(1, events_of(first)).value[..., 0], [[3, 7, 11], [15, 19, 23]])
    event = np.zeros(shape)
    event[1, 0, 2] = 10.0  # 14 becomes 24, the largest of its window by 9
    sent = running.step(2, events_of(event))
    np.testing.assert_array_equal(sent.value[..., 0], [[0, 0, 0], [9, 0, 0]])
    np.testing.assert_array_equal(sent.changed[..., 0], [[False] * 3, [True, False, False]])
    assert running.counts.ecm_ops == {"max": 24 + 4}
    assert running.counts.analog_messages == 6 + 1


def events_of(value):
    """A stream whose events are the elements that are not zero."""
    return Stream(value, value != 0)


def test_a_function_that_couples_rows_is_evaluated_whole_or_not_at_all():
    r, shape = np.random.default_rng(0), (5, 6)
    node = ops.ECM(("x",), "softmax", "differential", {"axis": np.asarray(0)})
    running = kernel(node, Site((shape,), shape, (False,), False), FLOAT64)
    running.step(1, events(r, shape, ...))
    before = running.previous
    assert not running.step(2, events(r, shape, [])).value.any()
    assert running.previous is before
    assert running.step(3, events(r, shape, [2])).value.all()


@pytest.mark.parametrize("integer", [False, True])
def test_a_product_computes_terms_with_events(integer, monkeypatch):
    r, shapes = np.random.default_rng(1), [(2, 7, 4), (2, 4, 3)]
    node = ops.ECMProduct(("x", "y"), "matmul", "differential")
    if integer:
        form = ops.Multiplied(
            exponent=0, state_bits=24, operand_bits=16, shift=2, left_shift=1, right_shift=0,
            left_unit=np.array(3, np.int32), right_unit=np.array(1, np.int32),
        )  # fmt: skip
        zero = np.zeros((), np.int32)
        node = ops.ECMProduct(("x", "y"), "matmul", "differential", zero, zero, format=form)
    running = kernel(node, Site(tuple(shapes), infer(node, shapes), (True, True), False), FLOAT64)
    totals, sent, multiplied = [np.zeros(s, np.int64 if integer else float) for s in shapes], 0, []
    change = product.ProductKernel.change

    def watched(self, x, y, a, b):
        multiplied.append((int(x.changed.any(axis=(0, 2)).sum()), int(y.changed.any(axis=(0, 2)).sum())))
        return change(self, x, y, a, b)

    monkeypatch.setattr(product.ProductKernel, "change", watched)
    for t in range(1, 60):
        operands = []
        for i, shape in enumerate(shapes):
            value = np.rint(r.normal(size=shape) * 40) * (r.random(shape) < (0.05 if t > 1 else 1)) * (r.random() < 0.7)
            value = value.astype(totals[i].dtype)
            totals[i] = totals[i] + value
            operands.append(Stream(value, value != 0))
        sent = sent + running.step(t, *operands).value
        if integer:
            expected = ((totals[0] * 3 + 1 >> 1) @ totals[1] + 2) >> 2
            np.testing.assert_array_equal(sent, expected)
        else:
            np.testing.assert_allclose(sent, totals[0] @ totals[1], rtol=1e-12, atol=1e-9)
    assert {rows for rows, _ in multiplied} > {0, 1}
    assert any(left == 0 or right == 0 for left, right in multiplied)


def test_weights_meet_rows_with_events():
    r, shape = np.random.default_rng(2), (9, 4)
    weight = r.normal(size=(3, 4))
    running = kernel(ops.LastAxisLinear(weight), Site((shape,), (9, 3), (True,), False), FLOAT64)
    operand = events(r, shape, [2, 7])
    operand.value[[0, 5]] = np.nan  # never looked at: no event says that anything is there
    sent = running.advance(2, operand)
    np.testing.assert_allclose(sent.value[[2, 7]], operand.value[[2, 7]] @ weight.T, rtol=1e-12)
    assert not np.delete(sent.value, [2, 7], axis=0).any()


def test_a_convolution_computes_positions_with_events():
    r, shape = np.random.default_rng(3), (2, 8, 8)
    node = ops.Conv2d((8, 8), r.normal(size=(4, 1, 3, 3)), 1, 1, 1, 2, np.zeros(4))
    running = kernel(node, Site((shape,), (4, 8, 8), (True,), False), FLOAT64)
    value = np.zeros(shape)
    value[1, 4, 5] = 2.0
    seen = value.copy()
    seen[0], seen[1, 0, 0] = np.nan, np.nan  # neither another group nor a position far away is looked at
    sent = running.advance(2, Stream(seen, value != 0))
    expected = np.zeros((4, 8, 8))
    expected[2:, 3:6, 4:7] = 2 * node.weight[2:, 0, ::-1, ::-1]
    np.testing.assert_allclose(sent.value, expected, atol=1e-12)


@pytest.mark.parametrize("of", ["graded", "levels"])
def test_a_neuron_that_still_has_to_fire_does_so_without_an_event(of):
    """A payload that was clipped, and a level beyond the highest: the rest is sent step by step, then the neuron rests."""
    base = np.array(0.5)
    node = ops.Graded(base, 3) if of == "graded" else ops.MultiThreshold(base, base, 2, "nearest", 0.74)
    shape = (6, 2)
    running = kernel(node, Site((shape,), shape, (False,), False), FLOAT64)
    value = np.zeros(shape)
    value[3] = 5.0
    sent = [running.step(1, Stream(value, np.ones(shape, bool))).value]
    nothing = Stream(np.zeros(shape), np.zeros(shape, bool))
    while len(sent) < 20:
        sent.append(running.step(len(sent) + 1, nothing).value)
    np.testing.assert_allclose(sum(sent), value, atol=0.4)
    assert sum(bool(each.any()) for each in sent) > 2
    kept = running.v
    running.step(21, nothing)
    assert running.v is kept
    assert not running.restless.any()
