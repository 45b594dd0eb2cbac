"""Integer programs: their invariants, their file, their functions, and the pass that makes them."""

from __future__ import annotations

from itertools import pairwise

import h5py
import msgspec
import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

import ecmt_deploy as ecmt
from docs.generate.fixed_functions import INTEGER, error
from ecmt_deploy import chips, data, models
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert, with_ranges
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, HardwareError, ProgramError
from ecmt_deploy.kernels import Site, Stream, kernel, kernels, present
from ecmt_deploy.kernels import integers as arithmetic
from ecmt_deploy.kernels.formats import multiplier_and_shift
from ecmt_deploy.kernels.integers import limit, minus_infinity
from ecmt_deploy.program import Program, ops, read, verify, write
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.functions.integer import IntegerForm
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import integers, simulate
from ecmt_deploy.testing import integer_program
from ecmt_deploy.testing.handmade import PROVENANCE, images
from tests.support.families import FAMILIES, inputs, randomised
from tests.support.ranges import ranged

SEEDS = st.integers(0, 10**6)


def stepped(program: Program, x: np.ndarray, timesteps: int, order: list[str] | None = None):
    """Yield (t, kernels, streams) of one sample, after every step."""
    running = kernels(program, program.dtype)
    present(program, running, integers(program, x))
    for t in range(1, timesteps + 1):
        streams: dict[str, Stream] = {}
        for name in order or running:
            streams[name] = running[name].step(t, *(streams[source] for source in program.operands[name]))
        yield t, running, streams


@given(SEEDS)
@settings(max_examples=40)
def test_nothing_is_wider_than_declared(seed):
    program, x, timesteps = integer_program(seed)
    for _, running, streams in stepped(program, x[0], timesteps):
        for name, node in program.nodes.items():
            value = streams[name].value
            assert value.dtype == np.int64
            if node.format is None:
                continue
            bits = node.message_bits
            masked = minus_infinity(bits)
            assert np.abs(np.where(value == masked, 0, value)).max(initial=0) <= limit(bits), name
            for attribute in ("v", "a", "b", "previous", "total"):
                if hasattr(running[name], attribute):
                    assert np.abs(getattr(running[name], attribute)).max(initial=0) <= limit(node.format.state_bits), (
                        name,
                        attribute,
                    )


@given(SEEDS)
@settings(max_examples=40)
def test_neurons_conserve_and_compensation_telescopes(seed):
    program, x, timesteps = integer_program(seed)
    received, sent = {}, {}
    for t, running, streams in stepped(program, x[0], timesteps):
        for name, node in program.nodes.items():
            sent[name] = sent.get(name, 0) + streams[name].value
            if node.role in ("function", "product"):
                np.testing.assert_array_equal(sent[name], running[name].previous)
            if node.role == "neuron":
                received[name] = received.get(name, 0) + streams[program.operands[name][0]].value
                if not running[name].counts.saturations:
                    initial = np.asarray(node.initial_membrane, np.int64)
                    np.testing.assert_array_equal(sent[name] * node.unit + running[name].v, initial + received[name])
        assert t <= timesteps


@given(st.integers(1, 12), st.integers(128, 255), st.integers(1, 3000), st.sampled_from(ops.RULES), st.data())
@settings(max_examples=200)
def test_the_largest_level_that_is_reached_fires(levels, numerator, base, rule, draw):
    """The kernel finds levels by one division; the definition is a threshold per level."""
    lowest = draw.draw(st.integers(0, levels))
    other = draw.draw(st.integers(1, 3000))
    edge = base << draw.draw(st.integers(0, levels))
    membrane = np.array(draw.draw(st.lists(st.integers(-2 * edge, 2 * edge), min_size=1, max_size=20)), np.int64)
    membrane = np.append(membrane, [-(-base * numerator // 256), base - base // 2, 0])
    node = ops.MultiThreshold(
        positive_base=np.array(base), negative_base=np.array(other), levels=levels, rule=rule, fraction=numerator / 256,
        lowest_level=np.array(lowest), initial_membrane=np.array(0),
        format=ops.Payload(unit=np.array(1), payload_bits=24, exponent=0, state_bits=32),
    )  # fmt: skip
    running = kernel(node, Site((membrane.shape,), membrane.shape, (False,), False), np.dtype(np.int64))
    found = running.step(1, Stream(membrane, np.ones(membrane.shape, bool))).value
    for v, payload in zip(membrane.tolist(), found.tolist(), strict=True):
        own = base if v >= 0 else other
        expected = 0
        for k in range(lowest, levels):
            level = own << k
            threshold = -(-level * numerator // 256) if rule == "nearest" else level - own // 2
            if abs(v) >= threshold:
                expected = level if v >= 0 else -level
        assert payload == expected, v


@given(SEEDS)
@settings(max_examples=20)
def test_the_order_of_nodes_and_samples_does_not_matter(seed):
    program, x, timesteps = integer_program(seed)
    order = sorted(program.nodes)  # names begin with the number of their making: another topological order
    streams = [s for _, _, s in stepped(program, x[0], timesteps)]
    again = [s for _, _, s in stepped(program, x[0], timesteps, order)]
    for one, other in zip(streams, again, strict=True):
        for name in program.nodes:
            np.testing.assert_array_equal(one[name].value, other[name].value)
            np.testing.assert_array_equal(one[name].changed, other[name].changed)
    both, turned = (simulate(program, part, "reference", timesteps, "fixed") for part in (x, x[::-1]))
    np.testing.assert_array_equal(both.outputs, turned.outputs[:, ::-1])
    assert both.activity == turned.activity


@given(seed=SEEDS)
@settings(max_examples=20)
def test_a_round_trip_is_identical(seed, tmp_path_factory):
    program, x, timesteps = integer_program(seed)
    path = tmp_path_factory.mktemp("round") / "q.nir"
    write(program, path)
    back = read(path)
    assert back.exponents == program.exponents
    for name, node in program.nodes.items():
        assert type(back.nodes[name]) is type(node)
        for mine, theirs in zip(parameters(node), parameters(back.nodes[name]), strict=True):
            assert (mine.dtype, mine.shape, mine.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())
    one, other = (simulate(p, x, "reference", timesteps, "fixed") for p in (program, back))
    np.testing.assert_array_equal(one.outputs, other.outputs)
    assert one.activity == other.activity


def test_random_programs_reach_everything():
    """A generator that misses a node or a function tests less than it says."""
    made = [integer_program(seed)[0] for seed in range(150)]
    nodes = [node for program in made for node in program.nodes.values()]
    expected = {name for name, op in ops.OPS.items() if op.role == "movement" or op.format_type}
    assert {node.kind for node in nodes} >= expected
    in_integers = {name for name, function in FUNCTIONS.items() if isinstance(function.integer, IntegerForm)}
    assert {node.function for node in nodes if node.role == "function"} == in_integers
    assert {program.coding for program in made} == set(ops.CODINGS)
    weights = np.concatenate([node.weight.ravel() for node in nodes if node.layer == "linear"])
    assert (weights.min(), weights.max()) == (-128, 127)
    runs = [simulate(*integer_program(seed)[:2], "reference", 2, "fixed").activity for seed in range(20)]
    assert any(counts.saturations for run in runs for _, counts in run.items())


@pytest.mark.parametrize("function", INTEGER)
def test_a_function_is_within_its_stated_error(function):
    for seed in (0, 1, 2):
        relative, _ = error(function, seed)
        assert relative <= 2.0**-14


@given(st.integers(-(2**40), 2**40), st.integers(-8, 40))
def test_shifts_round_halves_up(x, right):
    found = int(arithmetic.shifted(np.array(x, np.int64), right))
    assert found == (x << -right if right < 0 else (2 * x + 2**right) // 2 ** (right + 1))
    for dtype in (np.int8, np.int16, np.int64):  # shifts are stored in as few bits as they need
        assert arithmetic.shifted(np.array([x], np.int64), np.array([right], dtype)).tolist() == [found]


@given(st.floats(1e-12, 1e4))
def test_a_multiplier_has_fifteen_bits(ratio):
    multiplier, shift = multiplier_and_shift(ratio)
    assert 2**14 <= multiplier < 2**15
    assert abs(multiplier / 2.0**shift / ratio - 1) <= 2**-15


def test_every_program_quantises_and_answers_alike(program: Program):
    float_program = program if program.provenance.ranges else ranged(program)
    before = [array.copy() for node in float_program.nodes.values() for array in parameters(node)]
    made, x = quantize(float_program, timesteps=16), images(6)  # accumulators of rate coding have room for as many
    after = [array for node in float_program.nodes.values() for array in parameters(node)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), "the pass changed its program"
    assert list(made.nodes) == list(float_program.nodes)
    assert made.integer
    assert made.encoding == float_program.encoding
    exact, fixed = simulate(float_program, x, "torch", 16), simulate(made, x, "reference", 16, "fixed")
    difference = np.abs(fixed.outputs[-1] - exact.outputs[-1]).max() / np.abs(exact.outputs[-1]).max()
    assert difference < 0.12
    assert fixed.activity[made.input_name].analog_messages == exact.activity[made.input_name].analog_messages
    for name in made.nodes:
        assert fixed.activity[name].dense_macs == exact.activity[name].dense_macs
        assert fixed.activity[name].macs == exact.activity[name].macs
        assert set(fixed.activity[name].ecm_ops) == set(exact.activity[name].ecm_ops)


@pytest.mark.parametrize(
    ("preset", "limit"),
    [
        *((preset, 120) for preset in ("accurate", "graded")),
        *(pytest.param(preset, None, marks=pytest.mark.slow) for preset in ("accurate", "graded", "paper")),
    ],
)
def test_the_bundled_model_keeps_its_accuracy(preset, limit):
    model = models.load("zoo:vit_digits")
    drawn = data.calibration("digits", preprocessing=model.preprocessing, n_samples=64, n_classes=10)
    chosen = data.evaluation("digits", preprocessing=model.preprocessing, exclude=drawn.record, limit=limit, n_classes=10)
    x, labels = chosen.arrays()
    spiking = convert(model.module, torch.from_numpy(drawn.x), ConvertConfig(preset=preset))
    exact = spiking(torch.from_numpy(x))[-1].argmax(-1).numpy() == labels
    run = simulate(spiking, x, "reference", None, "fixed")
    fixed = run.outputs[-1].argmax(-1) == labels
    # a rounding moves spikes, and some images either way; McNemar's test asks whether more than chance become wrong
    worse, better = int((exact & ~fixed).sum()), int((fixed & ~exact).sum())
    assert worse + better == 0 or binomtest(worse, worse + better, alternative="greater").pvalue > 0.01, (worse, better)
    assert worse + better <= 0.03 * len(labels)
    assert sum(counts.saturations for _, counts in run.activity.items()) == 0


@pytest.mark.slow
def test_graded_payloads_keep_top1_in_fixed_point():
    """Within 0.3 points, over draws of calibration samples: of the 360 samples of one draw, two are more than that."""
    model, total, fewer = models.load("zoo:vit_digits"), 0, 0
    for seed in range(6):
        drawn = data.calibration("digits", preprocessing=model.preprocessing, n_samples=64, n_classes=10, seed=seed)
        x, labels = data.evaluation("digits", preprocessing=model.preprocessing, exclude=drawn.record, n_classes=10).arrays()
        spiking = convert(model.module, torch.from_numpy(drawn.x), ConvertConfig(preset="graded"))
        exact = spiking(torch.from_numpy(x))[-1].argmax(-1).numpy()
        fixed = simulate(spiking, x, "reference", None, "fixed").outputs[-1].argmax(-1)
        fewer += int((exact == labels).sum()) - int((fixed == labels).sum())
        total += len(labels)
    assert abs(fewer) <= 0.003 * total


@pytest.mark.parametrize(
    "name",
    [
        *("EVA-02 (rope, SwiGLU, sub-norm)", "torch.nn.TransformerEncoder, causal mask, pre-norm"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("Swin", "XCiT", "LeViT")),
    ],
)
def test_families_answer_alike_in_fixed_point(name):
    family = next(family for family in FAMILIES if family.name == name)
    spiking = convert(randomised(family), inputs(family, 16, 3))
    x = inputs(family, 6, 2)
    exact = spiking(x, 8)[-1].double().numpy()
    fixed = simulate(spiking, x.numpy(), "reference", 8, "fixed").outputs[-1]
    cosine = (exact * fixed).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(fixed, axis=1)
    assert cosine.mean() >= 0.97, cosine


def refused(made: Program, change, path) -> str:
    write(made, path)
    with h5py.File(path, "r+") as file:
        change(file["node/nodes"])
    with pytest.raises(ProgramError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def _set(node: str, field: str, value):
    def change(nodes):
        del nodes[node][field]
        nodes[node].create_dataset(field, data=value)

    return change


HOSTILE = {
    "weights wider than declared": (_set("head/format", "weight_bits", 2), "integers of 2 bits"),
    "floating point weights": (_set("head", "weight", np.zeros((5, 12))), "integer"),
    "a multiplier of 17 bits": (_set("head/format", "multiplier", np.full(5, 2**16)), "integers of 16 bits"),
    "a shift that overflows": (_set("head/format", "shift", np.full(5, -40)), "shift"),
    "one multiplier too few": (_set("head/format", "multiplier", np.ones(4, np.int16)), "shift"),
    "a base of zero": (_set("head.neuron", "positive_base", np.array(0)), "positive_base"),
    "a base that is no multiple of its unit": (_set("head.neuron/format", "unit", np.array(2**22)), "positive_base"),
    "payloads too wide": (_set("head.neuron/format", "payload_bits", 3), "payload"),
    "a fraction that is no multiple of 1/256": (_set("head.neuron", "fraction", 0.7401), "multiple of 1/256"),
    "a membrane wider than state": (_set("head.neuron", "initial_membrane", np.array(2**23)), "initial_membrane"),
    "an exponent that is not the operand's": (_set("head.neuron/format", "exponent", 3), "exponent is 3"),
    "operand exponents that are not the operands'": (
        _set("norm/format", "operand_exponents", np.array([5])),
        "operand_exponents",
    ),
    "another width of state": (_set("norm/format", "state_bits", 25), "one width"),
    "a width of state beyond 32": (_set("norm/format", "state_bits", 60), "state_bits"),
    "a table of another length": (_set("norm/parameters", "mantissa", np.ones(3, np.int64)), "385 entries"),
    "a table with numbers too large": (_set("norm/parameters", "mantissa", np.full(385, 2**40)), "out of range"),
    "a parameter in floating point": (_set("norm/parameters", "epsilon", 0.1), "integers"),
    "an unknown field": (lambda nodes: nodes["norm"].create_dataset("slack", data=1), "slack"),
}


@pytest.fixture(scope="module")
def small(all_programs) -> Program:
    return quantize(all_programs["transformer, accurate"])


@pytest.mark.parametrize("what", HOSTILE)
def test_a_damaged_integer_program_is_refused(what, small, tmp_path):
    change, said = HOSTILE[what]
    assert said in refused(small, change, tmp_path / "q.nir")


def test_what_cannot_be_quantised_says_why(all_programs, small):
    source = all_programs["transformer, accurate"]
    with pytest.raises(ProgramError, match="no ranges.*convert the model again"):
        quantize(all_programs["every node, rate"])
    with pytest.raises(ConfigError, match="already"):
        quantize(small)
    with pytest.raises(HardwareError, match="weight_bits is unknown"):
        quantize(source, chips.hardware("horowitz45"))
    with pytest.raises(ConfigError, match="--precision fixed"):
        simulate(small, images(1))


def edges(program: Program) -> list[tuple[str, str]]:
    return [(source, name) for name, sources in program.operands.items() for source in set(sources)]


def test_float_and_integer_nodes_do_not_mix(small):
    mixed = {**small.nodes, "readout": ops.Readout(small.coding)}
    with pytest.raises(ProgramError, match=r"readout \(Readout\): is not of an integer program"):
        verify(mixed, edges(small), small.provenance)


def test_spikes_enter_weights_and_products_only(small):
    neuron = next(name for name in small.neurons if name.endswith("qkv.neuron"))
    taker = next(name for name, sources in small.operands.items() if sources == (neuron,))
    format = ops.Shifted(shift=np.array(0), exponent=-8, state_bits=24)
    scale = ops.BroadcastScale(np.array(1), format=format)
    # the weights then stand behind the scale, so that shapes stay as they are
    nodes = {**small.nodes, "between": scale}
    changed = [(source, "between" if name == taker else name) for source, name in edges(small)] + [("between", taker)]
    with pytest.raises(ProgramError, match="takes the spikes of"):
        verify(nodes, changed, small.provenance)


def with_payloads(bits: int) -> chips.Hardware:
    """Loihi 2 with payloads of another width."""
    chip = chips.hardware("loihi2")
    figure = msgspec.structs.replace(chip.limits.graded_payload_bits, value=bits)
    return msgspec.structs.replace(chip, limits=msgspec.structs.replace(chip.limits, graded_payload_bits=figure))


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("accurate", "levels do not fit payloads of 3 bits; convert with --levels 2"),
        ("graded", "bits, and 3 are allowed; convert with --payload-bits 3"),
    ],
)
def test_spikes_that_no_payload_can_tell_are_refused(preset, said, all_programs):
    with pytest.raises(ConfigError, match=said) as error:
        quantize(all_programs[f"transformer, {preset}"], with_payloads(3))
    assert "\n" not in str(error.value)


def test_payloads_that_just_fit_are_kept(all_programs):
    """A chip's payload may be as wide as the widest of the program's: nothing else changes with it but products and samples."""
    source = all_programs["transformer, graded"]
    widest = max(source.nodes[name].payload_bits for name in source.neurons)
    made = quantize(source, with_payloads(widest))
    for name in source.neurons:
        before, after = source.nodes[name], made.nodes[name]
        assert (after.payload_bits, after.base.dtype) == (before.payload_bits, np.int32)
        np.testing.assert_array_equal(after.least, before.least)
        exact = np.ldexp(before.base.astype(float), -after.format.exponent)
        assert (np.abs(after.base - exact) <= 0.5).all()
    with pytest.raises(ConfigError, match=f"--payload-bits {widest - 1}"):
        quantize(source, with_payloads(widest - 1))


def test_a_base_below_the_last_place_is_one_unit():
    """The range of a stream may dwarf a base of one of its channels: the neuron answers in units, and answers right."""
    nodes = {
        "input": ops.Input(input_type={"input": np.array([2])}),
        "double": ops.LastAxisLinear(np.diag([1e9, 1.0])),
        "neuron": ops.Graded(np.array([1e7, 2.0**-20]), 8),
        "sum": ops.LastAxisLinear(np.array([[1.0, 0.0], [0.0, 1.0]])),
        "readout": ops.Readout("differential"),
        "output": nir.Output(output_type={"output": np.array([2])}),
    }
    made = verify(nodes, pairwise(nodes), PROVENANCE)
    program = with_ranges(SpikingModel(made), [torch.ones(4, 2, dtype=torch.float64)]).program
    whole = quantize(program)
    assert whole.nodes["neuron"].base[1] == 1
    outputs = simulate(whole, np.ones((1, 2)), "reference", 1, "fixed").outputs[0, 0]
    assert outputs[0] == pytest.approx(1e9, rel=0.02)


def test_the_widths_are_those_of_the_hardware_file(all_programs):
    source = all_programs["transformer, accurate"]
    chip = chips.hardware("loihi2")
    figure = chip.limits.weight_bits
    limits = msgspec.structs.replace(chip.limits, weight_bits=msgspec.structs.replace(figure, value=5))
    made = quantize(source, msgspec.structs.replace(chip, limits=limits))
    weights = [node for node in made.nodes.values() if node.role == "synapse"]
    assert weights
    assert all(node.format.weight_bits == 5 and np.abs(node.weight).max() <= 15 for node in weights)


def test_the_public_verb(small, all_programs):
    assert ecmt.quantize(all_programs["transformer, accurate"]).exponents == small.exponents


def test_more_steps_than_there_is_room_for_saturate_and_are_counted(all_programs):
    """Rate coding adds up at every step; the pass makes room for T steps, and says so where a run takes many more."""
    made = quantize(all_programs["transformer, paper"])
    quiet = simulate(made, images(2), "reference", 4, "fixed").activity
    assert not any(counts.saturations for _, counts in quiet.items())
    wide = quantize(all_programs["transformer, paper"], timesteps=200)
    runs = [simulate(program, images(1), "reference", 200, "fixed").activity for program in (made, wide)]
    narrow, roomy = (sum(counts.saturations for _, counts in run.items()) for run in runs)
    assert narrow > 0
    assert roomy == 0


def test_ranges_are_those_of_the_calibration_samples(all_programs):
    """Every analog stream has one, also those behind expectations that were folded."""
    program = all_programs["transformer, accurate"]
    ranges = program.provenance.ranges
    assert set(ranges) == set(program.nodes) - program.spiking
    seen = dict.fromkeys(ranges, 0.0)

    def observe(name: str, x: torch.Tensor) -> None:
        if name in seen:
            seen[name] = max(seen[name], float(x.abs().max()))

    SpikingModel(program).trace(torch.from_numpy(images(16, seed=1)), observe)
    assert ranges == pytest.approx(seen, rel=1e-5)


def test_an_earlier_file_is_read_but_not_quantised(all_programs, tmp_path):
    """Dialect version 2 had no ranges."""
    import json

    write(all_programs["transformer, accurate"], tmp_path / "a.nir")
    with h5py.File(tmp_path / "a.nir", "r+") as file:
        metadata = file["node/metadata"]
        record = json.loads(metadata["ecmt_deploy"].asstr()[()])
        del metadata["ecmt_deploy"], record["ranges"], record["quantization"]
        record["dialect_version"] = 2
        metadata.create_dataset("ecmt_deploy", data=json.dumps(record), dtype=h5py.string_dtype())
    program = read(tmp_path / "a.nir")
    with pytest.raises(ProgramError, match="convert the model again"):
        quantize(program)
