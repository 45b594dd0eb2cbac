"""Integer programs on the torch engine: why floats compute them exactly, and how the model behaves."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecmt_deploy import load, quantize
from ecmt_deploy.config import Execution
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.engine.integer import exact
from ecmt_deploy.engine.integer.functions import INTEGER, TABLES
from ecmt_deploy.engine.integer.gemm import Integers, Products, int8_is_fast_and_exact
from ecmt_deploy.engine.integer.neurons import threshold
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.kernels import integers as arithmetic
from ecmt_deploy.program import Program
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.functions.integer import Formats, IntegerForm
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.testing import case
from ecmt_deploy.testing.handmade import images

#: state of 24 bits: membranes up to this
LARGEST = 2**23 - 1
FORMS = [name for name, function in FUNCTIONS.items() if isinstance(function.integer, IntegerForm)]


@pytest.fixture(scope="module")
def program() -> Program:
    return case("integer transformer, accurate").program


@pytest.mark.parametrize(
    ("weight", "fan_in", "operand", "single", "digits"),
    [
        (127, 384, Integers(127, 1), True, True),  # sums up to 6.2 million, of 16.8 million
        (100, 1000, Integers(255, 1), False, True),  # 25.5 million
        (100, 1000, Integers(255, 2), True, True),  # of 33.6 million, where all are even
        (127, 1536, Integers(2**15 - 1, 1), False, False),  # payloads of three digits
        (127, 1536, Integers(2**14, 1), False, True),
        (129, 4, Integers(127, 1), True, False),  # weights of more than 8 bits
        (0, 5, Integers(2**14, 1), True, True),
        (1, 1, Integers(2**24, 1), True, False),
        (1, 1, Integers(2**24 + 1, 1), False, False),
    ],
)
def test_products_are_taken_where_sums_stay_exact(weight, fan_in, operand, single, digits):
    made = Products.of(np.full((2, fan_in), -weight), operand)
    assert (made.single, made.digits) == (single, digits)
    assert made.sums.tolist() == [weight * fan_in * operand.largest] * 2


@pytest.mark.parametrize("common", [1, 8])
@pytest.mark.parametrize("largest", [2**7, 2**8, 2**10, 2**14, 2**15])
def test_products_are_exact_at_their_largest(largest, common):
    """Rows with the largest sums there are, rows at the edge of float32, sparse rows; by digits where there are such."""
    r = np.random.default_rng(largest)
    weight = r.integers(-128, 128, (7, 1500))
    x = r.choice([-largest, largest, largest - common, common], (60, 1500)) * (r.random((60, 1500)) < r.random((60, 1)) ** 4)
    x[0] = np.sign(weight[0]) * largest
    products = Products.of(weight, Integers(largest, common))
    own = torch.from_numpy(x).float()
    small = torch.from_numpy(weight.T.astype(np.int8)) if products.digits and int8_is_fast_and_exact() else None
    for digits in {None, small}:
        found = products.linear(own, torch.from_numpy(weight).float(), digits)
        np.testing.assert_array_equal(found.double().numpy(), x @ weight.T)
    np.testing.assert_array_equal(products.matmul(torch.from_numpy(weight), own.T).double().numpy(), weight @ x.T)


@pytest.mark.parametrize("terms", range(1, 6))
@pytest.mark.parametrize("outputs", range(1, 4))
def test_products_of_few_terms_are_computed(terms, outputs):
    """Of one term, by the strides that a transposed matrix has, a library leaves the result as the memory was."""
    r = np.random.default_rng(terms)
    weight = r.integers(-128, 128, (outputs, terms))
    products = Products.of(weight, Integers(2**14, 1))
    small = torch.from_numpy(weight.astype(np.int8)).T if products.digits and int8_is_fast_and_exact() else None
    for rows, largest in product((1, 2, 12, 33), (127, 2**14)):
        x = r.integers(-largest, largest + 1, (rows, terms))
        torch.full((rows, outputs), -999_999, dtype=torch.int32)  # what the memory holds that is handed out next
        found = products.linear(torch.from_numpy(x).float(), torch.from_numpy(weight).float(), small)
        np.testing.assert_array_equal(found.double().numpy(), x @ weight.T)


@given(st.integers(1, LARGEST), st.integers(128, 255), st.integers(0, 9), st.integers(-2, 2))
def test_a_membrane_reaches_the_float_threshold_where_it_reaches_the_integer_one(base, numerator, k, off):
    first = threshold(np.array(base), numerator)
    for v in {min(max(-(-(base * numerator << k) // 256) + off, 0), LARGEST), LARGEST}:
        assert (np.float32(v) >= first * np.float32(2.0**k)) == (256 * v >= base * numerator << k)


@given(st.integers(1, LARGEST), st.integers(-LARGEST, LARGEST), st.integers(-2, 2))
def test_a_quotient_in_float32_rounds_as_the_integers_do(base, v, off):
    tie = (2 * (v // base) + 1) * base // 2 + off
    for each in (v, min(max(tie, -LARGEST), LARGEST)):
        nearest, rest = divmod(2 * each + base, 2 * base)
        expected = nearest - (rest == 0 and nearest % 2 == 1)
        assert torch.round(torch.tensor(float(each)) / torch.tensor(float(base))).item() == expected


@given(st.integers(-(2**40), 2**40), st.integers(-12, 50), st.integers(1, 1000))
def test_shifts_and_quotients_are_those_of_the_kernels(x, right, divisor):
    own, other = torch.tensor([float(x)], dtype=torch.float64), np.array([x])
    if right >= 0 or abs(x) < 2**31:
        assert exact.shifted(own, right).item() == arithmetic.shifted(other, right).item()
        assert exact.shifted(own, torch.tensor([right])).item() == arithmetic.shifted(other, np.array([right])).item()
    assert exact.divided(own, divisor).item() == arithmetic.divided(other, divisor).item()
    assert exact.highest_bit(own.abs()).item() == arithmetic.highest_bit(np.abs(other)).item()


def test_every_integer_form_has_its_torch_function():
    assert set(INTEGER) == set(FORMS)


@pytest.mark.parametrize("function", FORMS)
def test_functions_are_those_of_the_kernels(function):
    form = FUNCTIONS[function].integer
    r, shape = np.random.default_rng(len(function)), (4, 6)
    for exponent, result in ((-14, -20), (-20, -14), (-8, -18)):
        given = dict(FUNCTIONS[function].example)
        if function.endswith("norm") and function != "l2_norm":
            size = shape[0] if function == "group_norm" else shape[1]
            given["weight"] = r.normal(size=size)
        operands = [exponent] * FUNCTIONS[function].operands
        made = form.parameters_for(given, Formats(operands, result, 8.0, 24, shape))
        x = r.integers(-LARGEST, LARGEST, (500, *shape)) >> r.integers(0, 23, (500, *shape))
        x[0], x[1, 0], x[2] = 0, LARGEST, -LARGEST
        if function == "softmax":
            x[3, :, ::2], x[4, 1] = arithmetic.minus_infinity(24), arithmetic.minus_infinity(24)
        own = {key: array.item() if array.ndim == 0 else torch.from_numpy(array.astype("f8")) for key, array in made.items()}
        for key in set(own) & set(TABLES):
            own[key] = exact.Table(own[key], own[key].diff())
        if "axis" in own:
            own["axis"] = own["axis"] % 2 - 2
        xs = [x, np.roll(x, 1, axis=0)][: FUNCTIONS[function].operands]
        found = INTEGER[function](own, 24, *(torch.from_numpy(each.astype("f8")) for each in xs))
        expected = np.stack([form.evaluate(made, 24, *parts) for parts in zip(*xs, strict=True)])
        np.testing.assert_array_equal(found.numpy(), expected)


def test_a_maximum_brings_operands_to_one_exponent():
    """3 * 2^-2 against 2 * 2^-3 in units of 2^-4, by hand: 12 and 4; a mask never wins; a shift rounds halves up."""
    form = FUNCTIONS["maximum"].integer
    made = form.parameters_for({}, Formats([-2, -3], -4, 1.0, 24, (4,)))
    assert {key: int(value) for key, value in made.items()} == {"x_shift": -2, "y_shift": -1}
    masked = arithmetic.minus_infinity(24)
    x, y = np.array([3, -3, masked, masked], np.int64), np.array([2, -5, -7, masked], np.int64)
    expected = [12, -10, -14, masked]
    np.testing.assert_array_equal(form.evaluate(made, 24, x, y), expected)
    own = {key: int(value) for key, value in made.items()}
    found = INTEGER["maximum"](own, 24, *(torch.from_numpy(each.astype("f8")) for each in (x, y)))
    np.testing.assert_array_equal(found.numpy(), expected)
    right = form.parameters_for({}, Formats([-6, -4], -4, 1.0, 24, (2,)))
    np.testing.assert_array_equal(form.evaluate(right, 24, np.array([6, -6]), np.array([0, -9])), [2, -1])


def test_the_model_is_the_program(program, tmp_path):
    model = SpikingModel(program)
    model.save(tmp_path / "q.nir")
    x = images(3)
    expected = simulate(program, x, "reference", precision="fixed").outputs
    for each in (model, load(tmp_path / "q.nir"), load(program).to("cpu")):
        np.testing.assert_array_equal(each(torch.from_numpy(x)).numpy(), expected)
    assert model(torch.from_numpy(x[:0])).shape == (program.timesteps, 0, *program.output_shape)
    assert model.dtype == torch.float64
    assert set(model.state_dict()) == set(load(tmp_path / "q.nir").state_dict())


def test_a_stream_of_the_model_is_that_of_the_verb():
    program = case("integer transformer, graded").program
    frames = np.concatenate([images(3), images(3)[::-1] * 0.9])
    with load(program).stream(gate=0.01) as own:
        found = np.stack([own.push(frame).numpy() for frame in frames])
        counts = own.total
    run = stream(program, frames, "reference", 1, 0.01, "fixed")
    np.testing.assert_array_equal(found, run.outputs[0])
    assert counts is not None
    assert counts.differences(run.activity) == []


def test_what_has_no_meaning_for_integers_is_refused_in_one_line(program):
    model, x = SpikingModel(program), torch.from_numpy(images(1))
    without = "an integer program has no analog network"
    for call in (
        lambda: model.analog(x),
        lambda: model.trace(x, lambda name, value: None),
        lambda: model.alone(program.neurons[0], x, 1),
        lambda: model.backward(x, torch.Generator()),
    ):
        with pytest.raises(ConfigError, match=without):
            call()
    for cast in (model.half, model.float, lambda: model.to(torch.float32), lambda: model.use(Execution(dtype="float32"))):
        with pytest.raises(ConfigError, match="widths that its nodes declare"):
            cast()
    with pytest.raises(ConfigError, match="without --compile"):
        model.use(Execution(compiled=True))
    with pytest.raises(DataError, match="infinite or no number"):
        model(x * torch.nan)


def test_products_of_fewer_digits_are_refused(program):
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(ConfigError, match=r"set_float32_matmul_precision\('highest'\)"):
            SpikingModel(program)(torch.from_numpy(images(1)))
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_narrow_weights_are_the_same_on_every_target(bits):
    source = case("transformer, accurate")
    made = quantize(source.program, None, weight_bits=bits)
    assert made.provenance.quantization is not None
    assert made.provenance.quantization.weight_bits == bits
    weights = [node.weight for node in made.nodes.values() if node.role == "synapse"]
    largest = [np.abs(weight.astype(int)).reshape(len(weight), -1).max(axis=1) for weight in weights]  # of every output
    most = 2 ** (bits - 1) - 1
    assert max(of_outputs.max() for of_outputs in largest) == most
    assert any((of_outputs == most).all() for of_outputs in largest), "outputs of one node have one scale"
    runs = [simulate(made, images(2), target, precision="fixed") for target in ("reference", "torch")]
    np.testing.assert_array_equal(runs[0].outputs, runs[1].outputs)
    assert runs[0].activity.differences(runs[1].activity) == []
    for wrong in (1, 9, 4.5):
        with pytest.raises(ConfigError, match="loihi2 holds weights of 8 bits: choose 2 to 8"):
            quantize(source.program, "loihi2", weight_bits=wrong)
