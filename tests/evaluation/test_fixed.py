"""``evaluate --precision fixed``: the integer program on the torch engine, beside the network it was made of."""

from __future__ import annotations

import functools
import operator

import msgspec
import numpy as np
import pytest

from ecmt_deploy import evaluate, merge, quantize, read, simulate
from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.program import Program, write
from tests.support.evaluations import BATCH, STEPS, job, prepare, shard, undivided


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("fixed")
    prepare(made)
    write(quantize(made / "p.nir", timesteps=STEPS), made / "q.nir")
    return made


@pytest.fixture(scope="module")
def data(folder) -> tuple[np.ndarray, np.ndarray]:
    held = np.load(folder / "data.npz")
    return held["x"], held["y"]


def of(folder, precision: str, **options):
    return evaluate(folder / "p.nir", f"npz:{folder / 'data.npz'}", STEPS, BATCH, precision=precision, **options)


def test_it_is_the_integer_program_and_its_counts(folder, data):
    """Accuracy and every count are those of the reference, agreement and cosine those with the float program's network."""
    x, y = data
    made: Program = read(folder / "q.nir")
    run = simulate(made, x, "reference", STEPS, "fixed")
    found, floats = of(folder, "fixed"), of(folder, "float")
    assert found.activity.differences(run.activity) == []
    assert found.accuracy == tuple((run.outputs.argmax(axis=-1) == y).mean(axis=1).tolist())
    assert found.analog_accuracy == floats.analog_accuracy
    assert found.agreement is not None
    assert found.agreement[-1] > 0.5
    assert found.cosine is not None
    assert floats.cosine is not None
    assert found.cosine.mean[-1] == pytest.approx(floats.cosine.mean[-1], abs=0.02)
    assert found.integers == f"loihi2: weights 8, state 24, payloads 16 bits, {max(STEPS, made.timesteps)} steps"
    assert floats.integers is None
    in_memory = evaluate(read(folder / "p.nir"), [(x, y)], STEPS, BATCH, precision="fixed")
    assert in_memory.program_sha256 is None
    assert msgspec.structs.replace(in_memory, data=found.data, program_sha256=found.program_sha256) == found


def test_an_integer_program_alone_and_with_its_network(folder):
    spec, options = f"npz:{folder / 'data.npz'}", {"timesteps": STEPS, "batch_size": BATCH, "precision": "fixed"}
    alone = evaluate(folder / "q.nir", spec, **options)
    assert (alone.agreement, alone.analog_accuracy, alone.cosine, alone.relative_error) == (None,) * 4
    assert "analog" not in repr(alone)
    with_network = evaluate(folder / "q.nir", spec, network=folder / "p.nir", **options)
    on_the_way = msgspec.structs.replace(of(folder, "fixed"), program_sha256=alone.program_sha256)
    assert with_network == on_the_way
    assert msgspec.structs.replace(on_the_way, **dict.fromkeys(
        ("agreement", "analog_accuracy", "cosine", "relative_error"))) == alone  # fmt: skip
    with pytest.raises(ConfigError, match="run it with --precision fixed"):
        evaluate(folder / "q.nir", spec)
    with pytest.raises(ConfigError, match="no network to quantise plainly"):
        evaluate(folder / "q.nir", spec, quantized_baseline=True, **options)
    with pytest.raises(ConfigError, match="give it with --precision fixed"):
        evaluate(folder / "p.nir", spec, hardware="loihi2")


@pytest.mark.parametrize("program", ["p.nir", "q.nir"])
def test_shards_add_to_the_same_bytes(folder, tmp_path, program):
    options = {"precision": "fixed", "program": folder / program}
    whole = undivided(folder, tmp_path / "whole.json", **options)
    parts = [shard(folder, f"{i}/3", tmp_path / "c", **options) for i in (1, 2, 3)]
    assert functools.reduce(operator.add, (part.n_samples for part in parts)) == 17
    merge([tmp_path / "c"], tmp_path / "merged.json")
    assert (tmp_path / "merged.json").read_bytes() == whole
    said: list[str] = []
    kept = tmp_path / "kept"
    undivided(folder, tmp_path / "first.json", checkpoint=kept, **options)
    assert undivided(folder, tmp_path / "again.json", said.append, checkpoint=kept, **options) == whole
    assert "17 of 17 samples are counted already" in said[0]


def test_a_checkpoint_of_floats_is_not_resumed_in_integers(folder, tmp_path):
    shard(folder, "1/2", tmp_path / "c", precision="float")
    with pytest.raises(RunError, match="of another evaluation"):
        shard(folder, "1/2", tmp_path / "c", precision="fixed")
    assert job(folder, precision="fixed").precision == "fixed"
