"""What people pass, at every public verb: it works, or one line says what is expected."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, TensorDataset

import ecmt_deploy as ecmt
from ecmt_deploy import door
from ecmt_deploy.data.dataset import whole
from ecmt_deploy.data.source import ArraySource
from ecmt_deploy.errors import ConfigError, DataError, HardwareError, RunError
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer

SHAPE, CLASSES, SAMPLES = (2, 4, 4), 5, 20
X, Y = images(SAMPLES), np.arange(SAMPLES) % CLASSES
TX, TY = torch.from_numpy(X), torch.from_numpy(Y)


class Pairs(Dataset):
    def __init__(self, take=lambda i: (TX[i], int(Y[i]))) -> None:
        self.take = take

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, i: int):
        return self.take(i)


class ReadTwice(list):
    """A loader of another library: it can be iterated, and has nothing else in common with torch's."""


def own_dataset():
    preprocessing = Preprocessing(SHAPE, (0.0, 0.0), (1.0, 1.0))
    return whole(ArraySource("made", "test", X, Y, None, preprocessing, full_scale=1.0))


BATCHES = {  # with labels, and fit for every verb
    "a pair of arrays": lambda: (X, Y),
    "a list of tensor and labels": lambda: [TX, TY],
    "pairs of arrays": lambda: [(X[:7], Y[:7]), (X[7:], Y[7:])],
    "pairs with labels of shape (N, 1)": lambda: [(TX, TY[:, None])],
    "pairs with labels in a list": lambda: [(X, Y.tolist())],
    "a DataLoader": lambda: DataLoader(TensorDataset(TX, TY), batch_size=6),
    "a DataLoader of mappings": lambda: DataLoader(Pairs(lambda i: {"pixel_values": TX[i], "labels": int(Y[i])}), batch_size=6),
    "a DataLoader of pairs and more": lambda: DataLoader(Pairs(lambda i: (TX[i], int(Y[i]), f"{i}.png")), batch_size=6),
    "a generator": lambda: ((X[i : i + 3], Y[i : i + 3]) for i in range(0, SAMPLES, 3)),
    "a mapping": lambda: {"image": X, "label": Y},
    "a dataset of torch's": Pairs,
    "a dataset of mappings": lambda: Pairs(lambda i: {"image": X[i], "label": int(Y[i]), "name": f"{i}.png"}),
    "a TensorDataset": lambda: TensorDataset(TX, TY),
    "a dataset of ecmt_deploy.data": own_dataset,
}
SAMPLES_ONLY = {  # without labels
    "an array": lambda: X,
    "a tensor": lambda: TX,
    "a tensor that wants gradients": lambda: TX.clone().requires_grad_(),
    "a parameter": lambda: torch.nn.Parameter(TX.clone()),
    "a tensor of float64": lambda: TX.double(),
    "an array of float64": lambda: X.astype(np.float64),
    "an array of long doubles": lambda: X.astype(np.longdouble),
    "an array in Fortran's order": lambda: np.asfortranarray(X),
    "an array of the other byte order": lambda: X.astype(X.dtype.newbyteorder()),
    "an array that reads backwards": lambda: X[::-1].copy()[::-1],
    "an array that cannot be written to": lambda: np.frombuffer(X.tobytes(), np.float32).reshape(X.shape),
    "a tensor in channels-last": lambda: TX.contiguous(memory_format=torch.channels_last),
    "a list of arrays": lambda: [X[:5], X[5:]],
    "a tuple of tensors": lambda: (TX[:5], TX[5:]),
    "a list of one array": lambda: [X],
    "a DataLoader": lambda: DataLoader(TX, batch_size=8),
    "a DataLoader of tuples": lambda: DataLoader(TensorDataset(TX), batch_size=8),
    "a loader of another library": lambda: ReadTwice([X[:4], X[4:]]),
}
SINGLE = {  # where the program says what one sample is
    "a list of samples": lambda: list(X),
    "a list of samples with labels": lambda: list(zip(X, Y, strict=True)),
    "an iterator of samples": lambda: iter(TX),
}


@pytest.mark.parametrize("form", [*BATCHES.values(), *SAMPLES_ONLY.values()], ids=[*BATCHES, *SAMPLES_ONLY])
@pytest.mark.parametrize("shape", [SHAPE, None], ids=["shape known", "shape unknown"])
def test_every_form_of_samples_gives_the_same(form, shape):
    found = list(door.batches(form(), shape))
    x = np.concatenate([batch.x for batch in found])
    np.testing.assert_array_equal(x, X)
    for part, _ in found:
        assert part.dtype in (np.float32, np.float64)
        assert part.flags.c_contiguous
        assert part.flags.writeable


@pytest.mark.parametrize("form", SINGLE.values(), ids=SINGLE)
def test_single_samples_are_put_together(form):
    found = list(door.batches(form(), SHAPE))
    assert [len(batch.x) for batch in found] == [door.BATCH, SAMPLES - door.BATCH]
    np.testing.assert_array_equal(np.concatenate([batch.x for batch in found]), X)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_what_numpy_has_not_becomes_float32(dtype):
    (found,) = door.batches(TX.to(dtype), SHAPE)
    np.testing.assert_array_equal(found.x, TX.to(dtype).float().numpy())


def test_one_sample_alone_is_a_batch_of_one():
    np.testing.assert_array_equal(door.as_samples(X[0], SHAPE), X[:1])
    np.testing.assert_array_equal(door.as_samples(TX[0], SHAPE), X[:1])


@pytest.mark.parametrize("form", BATCHES.values(), ids=BATCHES)
def test_every_form_with_labels_gives_the_same(form):
    pairs = list(door.labelled(form(), SHAPE, CLASSES, 8))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in pairs]), X)
    np.testing.assert_array_equal(np.concatenate([y for _, y in pairs]), Y)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 8))
def test_batches_are_divided_anew(sizes, size):
    """However data comes in parts, it is computed in batches of one size, of which the last may be smaller."""
    x, y = images(sum(sizes)), np.arange(sum(sizes)) % CLASSES
    ends = np.cumsum(sizes)
    parts = [(x[end - n : end], y[end - n : end]) for n, end in zip(sizes, ends, strict=True)]
    found = list(door.labelled(parts, SHAPE, CLASSES, size))
    assert [len(part) for part, _ in found] == [min(size, len(x) - start) for start in range(0, len(x), size)]
    if len(x):
        np.testing.assert_array_equal(np.concatenate([part for part, _ in found]), x)
        np.testing.assert_array_equal(np.concatenate([part for _, part in found]), y)


def test_a_batch_of_the_right_size_is_not_copied():
    (found, _), *_ = door.labelled([(X, Y)], SHAPE, CLASSES, SAMPLES)
    assert found.base is X or found is X


class Pixels:
    """An image of another library."""


BAD = {
    "a name": ("digits", r"'digits' is a name; pass samples, such as the dataset that ecmt_deploy.data.open gives"),
    "a path": (Path("x.npz"), "'x.npz' is a name"),
    "nothing": (None, "NoneType holds no samples"),
    "a number": (3, "int holds no samples"),
    "integers": (np.zeros((4, *SHAPE), np.int64), "samples are int64; expected arrays of floating point"),
    "pixels": (np.zeros((4, *SHAPE), np.uint8), "samples are uint8; expected"),
    "complex numbers": (np.zeros((4, *SHAPE), complex), "samples are complex128"),
    "text": (["a.png", "b.png"], "samples are str; expected"),
    "images": ([Pixels()], "samples are Pixels; expected"),
    "images of a dataset": (Pairs(lambda i: (Pixels(), 3)), "samples are Pixels; expected"),
    "NaN": (np.full((4, *SHAPE), np.nan), "NaN"),
    "infinity": ([np.full((4, *SHAPE), np.inf, np.float32)], "NaN or infinity"),
    "another shape": (
        np.zeros((4, 2, 5, 5), np.float32),
        r"shape \(4, 2, 5, 5\); expected the program's images \(N, 2, 4, 4\)",
    ),
    "no axis": (np.float32(3), r"input of shape \(\); expected"),
    "a sparse tensor": (TX.to_sparse(), "Tensor does not become an array"),
    "a mapping of two": ({"a": X, "b": X}, "which of 'a', 'b' are the samples"),
    "a mapping of none": ({"a": Y}, "which of 'a' are the samples"),
    "batches of two arrays": ([(X, X)], "a tuple of several arrays of shape"),
    "a dataset that fails": (Pairs(lambda i: {}["image"]), "samples cannot be read: KeyError: 'image'"),
    "a loader that fails": (DataLoader(Pairs(lambda i: (Pixels(), 3))), "samples cannot be read: TypeError: .*Pixels"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_what_holds_no_samples_is_refused(data, message):
    with pytest.raises(DataError, match=message) as caught:
        list(door.batches(data, SHAPE))
    assert "\n" not in str(caught.value)


def test_samples_of_several_shapes_are_refused():
    with pytest.raises(DataError, match=r"samples of shapes \(2, 4, 4\), \(2, 4, 5\); expected one shape"):
        list(door.batches(Pairs(lambda i: torch.zeros(2, 4, 4 + i % 2))))


BAD_LABELS = {
    "none": (X, "the samples have no labels; pass pairs"),
    "too few": ([(X, Y[:3])], r"int64 of shape \(3,\) for 20 samples"),
    "floating point": ([(X, Y.astype(np.float32))], "labels are float32"),
    "one-hot": ([(X, np.eye(CLASSES)[Y])], r"float64 of shape \(20, 5\)"),
    "names": ([(X, [str(y) for y in Y])], "labels are <U1"),
    "negative": ([(X, Y - 1)], "labels are -1 to 3; the program has classes 0 to 4"),
    "too many classes": ([(X, Y + 1)], "labels are 1 to 5; the program has classes 0 to 4"),
}


@pytest.mark.parametrize(("data", "message"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        list(door.labelled(data, SHAPE, CLASSES, 8))


# --- programs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def snn(all_programs) -> ecmt.SpikingModel:
    return ecmt.SpikingModel(all_programs["transformer, accurate"])


@pytest.fixture(scope="module")
def path(snn, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("door") / "p.nir"
    snn.save(file)
    return file


@pytest.fixture(scope="module")
def run(snn) -> ecmt.Run:
    return ecmt.simulate(snn, X[:2], timesteps=2)


PROGRAMS = {
    "model": lambda snn, path, run: snn,
    "program": lambda snn, path, run: snn.program,
    "path": lambda snn, path, run: path,
    "text": lambda snn, path, run: str(path),
    "run": lambda snn, path, run: run,
}
VERBS = {
    "simulate": lambda program, **steps: ecmt.simulate(program, X[:2], **steps).outputs,
    "evaluate": lambda program, **steps: ecmt.evaluate(program, (X[:4], Y[:4]), **steps).activity,
    "trace": lambda program, **steps: ecmt.trace(program, X[:2], **steps).nodes,
    "quantize": lambda program, **steps: ecmt.quantize(program, **steps).exponents,
    "place": lambda program: ecmt.place(program, "loihi2"),
    "load": lambda program: ecmt.load(program)(TX[:2]),
}


@pytest.mark.parametrize("form", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_verb_takes_every_form_of_program(verb, form, snn, path, run):
    found, expected = verb(form(snn, path, run)), verb(snn)
    assert np.array_equal(found, expected) if isinstance(found, np.ndarray | torch.Tensor) else found == expected


NO_PROGRAMS = {
    "a module": (TinyTransformer(), r"TinyTransformer is no program yet; ecmt_deploy.convert\(model, calibration=samples\)"),
    "a number": (3, "int is no program; pass a path"),
    "nothing": (None, "NoneType is no program"),
    "a run of unknown origin": (ecmt.Run(np.zeros((1, 1, 5)), ecmt.Activity(1, 1, {})), "this Run does not know its program"),
}


@pytest.mark.parametrize(("what", "message"), NO_PROGRAMS.values(), ids=NO_PROGRAMS)
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_verb_refuses_what_is_no_program(verb, what, message):
    with pytest.raises(ConfigError, match=message):
        verb(what)


@pytest.mark.parametrize("verb", [name for name, verb in VERBS.items() if inspect.signature(verb).parameters.get("steps")])
@pytest.mark.parametrize("steps", [0, -1, 2.5, "2", [2]])
def test_every_verb_refuses_what_is_no_number_of_steps(verb, steps, snn):
    with pytest.raises(ConfigError, match="timesteps is "):
        VERBS[verb](snn, timesteps=steps)


def test_steps_of_numpy_are_whole_numbers(snn):
    found = ecmt.evaluate(snn, (X[:4], Y[:4]), timesteps=np.int64(2))
    assert type(found.timesteps) is int
    assert found == ecmt.evaluate(snn, (X[:4], Y[:4]), timesteps=2)


def test_evaluation_does_not_depend_on_how_data_comes(snn):
    expected = ecmt.evaluate(snn, (X, Y), batch_size=8)
    assert ecmt.evaluate(snn, DataLoader(TensorDataset(TX, TY), batch_size=20), batch_size=8) == expected
    assert ecmt.evaluate(snn, DataLoader(Pairs(), batch_size=3), batch_size=8) == expected


@pytest.mark.parametrize("form", ["a DataLoader", "a dataset of mappings"])
def test_conversion_takes_what_people_have(form):
    """Labels are left alone."""
    found = ecmt.convert(TinyTransformer(), BATCHES[form](), ecmt.ConvertConfig(preset="paper")).program.provenance.calibration
    assert found.indices == tuple(range(SAMPLES))
    assert found.sha256 == hashlib.sha256(X.tobytes()).hexdigest()


# --- chips, counts, energy -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chip_file(tmp_path_factory) -> Path:
    from importlib import resources

    file = tmp_path_factory.mktemp("chips") / "mine.toml"
    file.write_bytes((resources.files("ecmt_deploy.hw_configs") / "loihi2.toml").read_bytes())
    return file


CHIP_VERBS = {
    "place": lambda snn, run, chip: ecmt.place(snn, chip),
    "energy": lambda snn, run, chip: ecmt.energy(run, chip),
    "energy of a run": lambda snn, run, chip: run.energy(chip),
    "energy of counts": lambda snn, run, chip: ecmt.energy(run.activity, snn, chip),
    "quantize": lambda snn, run, chip: ecmt.quantize(snn, chip).exponents,
    "simulate": lambda snn, run, chip: ecmt.simulate(snn, X[:1], precision="fixed", hardware=chip, timesteps=2).activity,
}


@pytest.mark.parametrize("verb", CHIP_VERBS.values(), ids=CHIP_VERBS)
def test_every_verb_takes_every_form_of_chip(verb, snn, run, chip_file):
    expected = verb(snn, run, ecmt.hardware("loihi2"))
    for chip in ("loihi2", chip_file, str(chip_file)):
        assert verb(snn, run, chip) == expected


@pytest.mark.parametrize("verb", CHIP_VERBS.values(), ids=CHIP_VERBS)
@pytest.mark.parametrize(
    "chip",
    ["nonsense", Path("nonsense"), "", 3, ["nonsense"], object()],
    ids=lambda chip: "object" if type(chip) is object else str(chip),
)
def test_every_verb_refuses_what_is_no_chip(verb, chip, snn, run):
    with pytest.raises(HardwareError, match=r"choose one of darwin3, dynapcnn, horowitz45, .*, or give a \.toml file"):
        verb(snn, run, chip)


def of_counts(energy):
    """The energy as counts alone give it: how many samples are right is of a run that knows the labels."""
    complexity = msgspec.structs.replace(energy.neurobench, classification_accuracy=None)
    return msgspec.structs.replace(energy, neurobench=complexity)


def test_energy_takes_a_run_or_counts_and_their_program(snn, path, run):
    expected = ecmt.energy(run.activity, snn.program, ecmt.hardware("loihi2"))
    for of_run in (run.energy("loihi2"), ecmt.energy(run, hardware="loihi2"), ecmt.energy(run, snn, "loihi2")):
        assert of_counts(of_run) == expected
    assert ecmt.energy(run.activity, path, "loihi2") == expected
    evaluated = ecmt.evaluate(snn, (X[:2], Y[:2]), timesteps=2)
    assert ecmt.energy(evaluated, snn, "loihi2", arithmetic="horowitz45").n_samples == 2


def test_energy_says_what_is_missing(snn, run):
    with pytest.raises(ConfigError, match=r"Activity does not know its program; pass energy\(activity, program, chip\)"):
        ecmt.energy(run.activity, "loihi2")
    with pytest.raises(ConfigError, match="no chip is named"):
        ecmt.energy(run)
    with pytest.raises(RunError, match="int has no counts; pass a Run"):
        ecmt.energy(3, snn, "loihi2")


def test_a_run_knows_the_program_that_ran(snn):
    assert ecmt.simulate(snn, X[:1], timesteps=1).program is snn.program
    assert ecmt.simulate(snn, X[:1], timesteps=1, precision="fixed").program.integer


def test_a_run_of_an_integer_program_is_priced_as_such(snn):
    fixed = ecmt.simulate(snn, X[:1], timesteps=1, precision="fixed")
    assert fixed.energy("loihi2") == ecmt.energy(fixed.activity, ecmt.quantize(snn), "loihi2")


# --- the interface ---------------------------------------------------------------------------------------------------


def test_chips_are_listed_and_packages_are_there():
    assert ecmt.chips() == ecmt.chips.available()
    assert "loihi2" in ecmt.chips()
    assert len(ecmt.data.open("digits", preprocessing=ecmt.models.load("zoo:vit_digits").preprocessing, split="test")) == 360


def test_representations_are_one_short_line(snn, run):
    things = [
        snn, snn.program, ecmt.quantize(snn), run, run.activity, run.energy("loihi2"), ecmt.place(snn, "loihi2"),
        ecmt.place(snn, "truenorth"), ecmt.hardware("loihi2"), ecmt.evaluate(snn, (X[:2], Y[:2])), ecmt.trace(snn, X[:2]),
    ]  # fmt: skip
    for thing in things:
        assert repr(thing).startswith(type(thing).__name__ + "(")
        assert len(repr(thing)) <= 120
        assert repr(thing).isprintable()
    assert repr(run).startswith("Run(2 samples, T = 2, readout (5,), ")
    assert "2 samples, T = 2" in repr(run.activity)
    assert f"{len(snn.program.nodes)} nodes, (2, 4, 4) to (5,), differential coding, T = 4, float32, on cpu" in repr(snn)


def test_samples_may_be_scalars():
    numbers = np.arange(3, dtype=np.float32)
    for data in (numbers, list(numbers), [numbers[:2], numbers[2:]]):
        np.testing.assert_array_equal(door.as_samples(data, ()), numbers)


def test_accuracy_is_of_classes():
    flat = ecmt.convert(torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1)).eval(), TX, ecmt.ConvertConfig(preset="paper"))
    with pytest.raises(ConfigError, match=r"readout has shape \(3, 4, 4\); accuracy is of a vector of classes"):
        ecmt.evaluate(flat, (X, Y))


def test_other_arguments_are_refused_too(snn):
    for call, message in (
        (lambda: ecmt.simulate(snn, X[:1], target=["torch"]), r"unknown target \['torch'\]; registered: "),
        (lambda: ecmt.simulate(snn, X[:1], dtype=torch.float64), "dtype is torch.float64; choose float32 or float64"),
        (lambda: ecmt.convert(TinyTransformer(), TX, "paper"), "config is 'paper'; pass ecmt_deploy.ConvertConfig"),
        (lambda: ecmt.ConvertConfig(timesteps="4"), "timesteps is '4'; expected a whole number"),
    ):
        with pytest.raises(ecmt.EcmtError, match=message):
            call()


def test_a_single_probe_needs_no_list(snn):
    name = snn.program.neurons[0]
    alone, listed = (ecmt.simulate(snn, X[:1], timesteps=1, probes=probes).probes for probes in (name, [name]))
    assert alone.keys() == listed.keys()
