"""Shards of an evaluation: they add up to it whatever the division, resume from checkpoints, and nothing else is one."""

import hashlib
import json

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecmt_deploy.engine import load
from ecmt_deploy.errors import RunError
from ecmt_deploy.evaluation import checkpoints, jobs
from ecmt_deploy.evaluation.checkpoints import Saver, checkpoint_path, find_checkpoints, read_checkpoint, write_checkpoint
from ecmt_deploy.evaluation.evaluate import Engines, compare, evaluate, score_batch
from ecmt_deploy.evaluation.score import spread, write_evaluation, zero
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.runs.merge import merge
from tests.support.evaluations import BATCH, SAMPLES, STEPS, prepare, shard, undivided

BATCHES = -(-SAMPLES // BATCH)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("evaluation")
    prepare(made)
    return made


@pytest.fixture(scope="module")
def whole(folder):
    return undivided(folder, folder / "whole.json")


@pytest.fixture(scope="module")
def batch_scores(folder):
    """Model and score of every batch."""
    model, data = load(folder / "p.nir"), np.load(folder / "data.npz")
    cuts = range(BATCH, SAMPLES, BATCH)
    pairs = zip(np.split(data["x"], cuts), np.split(data["y"], cuts), strict=True)
    return model, [score_batch(Engines(model, model), x, y, STEPS, BATCH) for x, y in pairs]


# --- adding ---------------------------------------------------------------------------------------------------------------


def test_the_evaluation_is_what_it_says(folder, whole):
    """As one sample after the other says, without filler."""
    model, data = load(folder / "p.nir"), np.load(folder / "data.npz")
    result = msgspec.json.decode(whole)
    assert (result["n_samples"], result["model"]) == (SAMPLES, "tiny")
    single = evaluate(model, ((data["x"][i : i + 1], data["y"][i : i + 1]) for i in range(SAMPLES)), STEPS, 1)
    assert single.accuracy == tuple(result["accuracy"])
    assert 0 < single.analog_accuracy < 1
    assert single.analog_accuracy == result["analog_accuracy"]


def test_spreads_are_those_of_the_samples(folder, whole):
    """Cosines and relative errors of every sample, worked out one after another."""
    model, data = load(folder / "p.nir"), np.load(folder / "data.npz")
    result = msgspec.json.decode(whole)
    cosines, errors = [], []
    for x in data["x"]:
        one = torch.from_numpy(x[None])
        o, a = model(one, STEPS).double().numpy()[:, 0], model.analog(one).double().numpy()[0]
        cosines.append(o @ a / np.linalg.norm(o, axis=1) / np.linalg.norm(a))
        errors.append(np.linalg.norm(o - a, axis=1) / np.linalg.norm(a))
    cosines, errors = np.array(cosines), np.array(errors)
    close = {"rtol": 0, "atol": 1.1e-4}  # half of the resolution, and floats of another batch
    np.testing.assert_allclose(result["cosine"]["mean"], cosines.mean(0), **close)
    np.testing.assert_allclose(result["cosine"]["worst"], cosines.min(0), **close)
    np.testing.assert_allclose(result["relative_error"]["mean"], errors.mean(0), **close)
    np.testing.assert_allclose(result["relative_error"]["worst"], errors.max(0), **close)
    assert result["cosine"]["percentile_5"] == result["cosine"]["worst"]  # of 17 samples


@given(values=st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=200), high=st.booleans())
def test_a_percentile_is_counted_from_the_worst(values, high):
    numbers = {value: values.count(value) for value in values}
    found = spread([numbers], high)
    ordered = sorted(values, reverse=high)
    assert found.worst[0] == pytest.approx(ordered[0] / 1e4)
    assert found.percentile_5[0] == pytest.approx(ordered[-(-len(values) // 20) - 1] / 1e4)
    assert found.mean[0] == pytest.approx(np.mean(values) / 1e4, abs=1e-9)


@pytest.mark.parametrize(
    ("output", "analog", "cosine", "error"),
    [
        ([3.0, 4.0], [3.0, 4.0], 10_000, 0),
        ([-3.0, -4.0], [3.0, 4.0], -10_000, 20_000),
        ([0.0, 0.0], [0.0, 0.0], 10_000, 0),
        ([0.0, 0.0], [3.0, 4.0], 0, 10_000),
        ([3.0, 4.0], [0.0, 0.0], 0, 10**10),
        ([np.nan, 4.0], [3.0, 4.0], -10_000, 10**10),
        ([np.inf, 4.0], [3.0, 4.0], -10_000, 10**10),
    ],
)
def test_readouts_are_compared_whatever_they_are(output, analog, cosine, error):
    found = compare(torch.tensor([[output]]), torch.tensor([analog]))
    assert [values.tolist() for values in found] == [[[cosine]], [[error]]]


@given(st.data())
def test_any_partition_adds_to_the_same_bytes(batch_scores, whole, folder, tmp_path_factory, data):
    """As shards add batches and ranks gather shards: in any order and grouping, shards without a batch among them."""
    model, scores = batch_scores
    order = data.draw(st.permutations(range(len(scores))))
    shares = data.draw(st.lists(st.integers(0, 3), min_size=len(scores), max_size=len(scores)))
    shards = [zero(model.program.nodes, STEPS)] * 4
    for batch in order:
        shards[shares[batch]] += scores[batch]
    a, b, c, d = data.draw(st.permutations(shards))
    assert (a + b) + (c + d) == a + (b + (c + d)) == sum(scores[1:], scores[0])
    out = tmp_path_factory.getbasetemp() / "added.json"
    digest = json.loads(whole)["program_sha256"]
    write_evaluation(out, (a + b + c + d).evaluation(f"npz:{folder / 'data.npz'}", "tiny", program_sha256=digest))
    assert out.read_bytes() == whole


@given(n=st.integers(1, 60), size=st.integers(1, 9), count=st.integers(1, 9))
def test_every_sample_is_in_one_batch_of_one_part(tmp_path_factory, example, n, size, count):
    origin = msgspec.structs.replace(example.origin, n_samples=n, batch_size=size)
    parts = [msgspec.structs.replace(example, origin=origin, index=i + 1, count=count, done=0) for i in range(count)]
    assert sorted(np.concatenate([part.remaining for part in parts]).tolist()) == list(range(n))
    for part in parts:
        for done in range(len(part.batches) + 1):
            assert msgspec.structs.replace(part, done=done).n_samples == len(part.remaining) - len(
                msgspec.structs.replace(part, done=done).remaining
            )
            begins = msgspec.structs.replace(part, done=done).remaining[::size]
            assert (begins % size == 0).all()  # batches are the same whatever the division


@pytest.fixture(scope="module")
def example(folder):
    return shard(folder, "1/2", folder / "example")


@pytest.mark.parametrize("count", [1, 2, 3, BATCHES + 2])
def test_shards_merge_to_the_undivided_bytes(folder, whole, tmp_path, count):
    for i in reversed(range(1, count + 1)):
        shard(folder, f"{i}/{count}", tmp_path / "parts")
    merge([tmp_path / "parts"], tmp_path / "merged.json")
    assert (tmp_path / "merged.json").read_bytes() == whole


def test_parts_may_lie_in_several_directories(folder, whole, tmp_path):
    for i in (1, 2):
        shard(folder, f"{i}/2", tmp_path / f"{i}")
    merge([tmp_path / "2", tmp_path / "1"], tmp_path / "merged.json")
    assert (tmp_path / "merged.json").read_bytes() == whole


# --- going on -------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As abrupt as a signal."""


@pytest.fixture
def computed(monkeypatch):
    """Sizes of the batches that are computed; assign ``computed.limit`` to be killed instead of computing more."""

    class Sizes(list):
        limit = None

    sizes, compute = Sizes(), jobs.score_batch

    def counting(model, images, *args):
        if sizes.limit is not None and len(sizes) >= sizes.limit:
            raise Killed
        sizes.append(len(images))
        return compute(model, images, *args)

    monkeypatch.setattr(jobs, "score_batch", counting)
    return sizes


def test_an_interrupted_evaluation_goes_on_where_it_stopped(folder, whole, tmp_path, computed):
    said = []
    for limit in (2, 3, None):
        computed.limit = limit
        try:
            undivided(folder, tmp_path / "e.json", checkpoint=tmp_path / "parts", say=said.append)
        except Killed:
            assert not (tmp_path / "e.json").exists()
    assert computed == [4, 4, 4, 4, 1]  # every batch once
    assert [line.split(": ")[1] for line in said] == [f"{n} of 17 samples are counted already" for n in (8, 12)]
    assert (tmp_path / "e.json").read_bytes() == whole
    undivided(folder, tmp_path / "e.json", checkpoint=tmp_path / "parts")
    assert computed == [4, 4, 4, 4, 1]


def test_what_was_written_last_counts_when_nothing_can_be_written_any_more(folder, whole, tmp_path, computed, monkeypatch):
    """SIGKILL: batches that were done but not kept are computed again, and counted once."""
    monkeypatch.setattr(checkpoints, "write_checkpoint", lambda path, made: made.done == 2 and write_checkpoint(path, made))
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: 0.0)  # every batch is due
    computed.limit = 4
    with pytest.raises(Killed):
        undivided(folder, tmp_path / "e.json", checkpoint=tmp_path / "parts")
    monkeypatch.undo()
    assert read_checkpoint(checkpoint_path(tmp_path / "parts", Shard(1, 1))).done == 2
    assert undivided(folder, tmp_path / "e.json", checkpoint=tmp_path / "parts") == whole


def test_writing_takes_a_small_share_of_the_time(tmp_path, example, monkeypatch):
    now, written = [0.0], []

    def write(path, checkpoint):
        written.append(checkpoint.done)
        now[0] += 0.1

    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoints, "write_checkpoint", write)
    with Saver(tmp_path / "x", example) as saver:
        for done in range(1000):
            saver.save(msgspec.structs.replace(example, done=done))
            now[0] += 0.05
        assert len(written) * 0.1 <= 0.021 * now[0] + 0.1
        before = len(written)
        saver.save(msgspec.structs.replace(example, done=1))
    assert written[before:] == [1], "the last is written, once"


# --- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timesteps": 2}, "time steps 3, not 2"),
        ({"batch_size": 5}, "batch size 4, not 5"),
        ({"limit": 9}, "samples "),
    ],
)
def test_a_checkpoint_of_another_evaluation_is_refused(folder, example, options, words):
    before = (folder / "example" / "part-1-of-2.json").read_bytes()
    with pytest.raises(RunError, match=f"part-1-of-2.json: of another evaluation: {words}.*choose another --checkpoint"):
        shard(folder, "1/2", folder / "example", **options)
    assert (folder / "example" / "part-1-of-2.json").read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("program_sha256", "0" * 64, "program 000000000000, not"),
        ("samples_sha256", "0" * 64, "samples 000000000000, not"),
        ("dtype", "float64", "dtype float64, not float32"),
        ("device", "cuda", "device cuda, not cpu"),
        ("data", "digits", "data digits, not npz:"),
        ("tool_version", "0.0", "tool version 0.0, not"),
    ],
)
def test_every_fact_of_an_evaluation_matters(folder, example, tmp_path, field, value, words):
    origin = msgspec.structs.replace(example.origin, **{field: value})
    write_checkpoint(tmp_path / "part-1-of-2.json", msgspec.structs.replace(example, origin=origin))
    with pytest.raises(RunError, match=f"of another evaluation: {words}"):
        shard(folder, "1/2", tmp_path)
    shard(folder, "2/2", tmp_path)
    with pytest.raises(RunError, match="part-2-of-2.json: of another job than .*part-1-of-2.json"):
        merge([tmp_path], tmp_path / "merged.json")
    assert not (tmp_path / "merged.json").exists()


def test_another_division_is_refused(folder, example):
    for count in (1, 3):
        with pytest.raises(RunError, match=f"one of 2 shards, this evaluation is divided in {count}; .*--shard i/2"):
            shard(folder, f"1/{count}", folder / "example")
    with pytest.raises(RunError, match="divided in 1"):
        undivided(folder, folder / "e.json", checkpoint=folder / "example")


def changed(part, **changes):
    """A part with other content, sealed as if it were right."""
    text = msgspec.json.decode(msgspec.json.encode(part))
    for name, value in changes.items():
        *way, last = name.split("__")
        inner = text
        for step in way:
            inner = inner[step]
        inner[last] = value
    encoded = msgspec.json.encode(text)
    return msgspec.json.encode({"sha256": hashlib.sha256(encoded).hexdigest(), "part": msgspec.Raw(encoded)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"done": 4}, "4 batches done, but it has 3"),
        ({"done": -1}, "damaged .*>= 0.*done"),
        ({"done": 2}, "counts 9 samples, but its 2 batches hold 8"),
        ({"index": 3}, "shard 3/2, expected an index"),
        ({"index": 0}, "shard 0/2, expected an index"),
        ({"totals__correct": [1, 2]}, "not of 3 time steps"),
        ({"totals__correct": [1, 2, 99]}, "more samples right than the 9"),
        ({"totals__analog_correct": -1}, "damaged .*>= 0.*analog_correct"),
        ({"totals__agreeing": None}, "no comparison with the analog program"),
        ({"totals__activity__nodes__norm1__macs": -1}, "norm1 that are negative or beyond 64 bits"),
        ({"totals__activity__nodes__norm1__macs": 2**63}, "norm1 that are negative or beyond 64 bits"),
        ({"totals__activity__nodes__norm1__macs": 1.5}, "damaged"),
        ({"totals__activity__nodes__norm1__macs": 1}, "counts per step that do not add up"),
        ({"totals__activity__steps": [{}]}, "counts per step that are not of its 3 steps and its nodes"),
        ({"totals__activity__steps": [{}] * 3}, "counts per step that are not of its 3 steps and its nodes"),
        ({"totals__cosine": [{"9000": 9}, {"9000": 9}, {"9000": 8}]}, "cosines or errors are not of 9 samples"),
        ({"totals__cosine": [{"9000": 9}, {"9000": 9}, {"9000": 10, "1": -1}]}, "damaged .*>= 1.*cosine"),
        ({"totals__cosine": [{"9000": 9}, {"9000": 9}, {"-10001": 9}]}, "cosines or errors that are none"),
        ({"totals__relative_error": [{"9": 9}, {"9": 9}]}, "not of 3 time steps"),
        ({"totals__relative_error": [{"9": 9}, {"9": 9}, {"0.5": 9}]}, "damaged"),
        ({"origin__batch_size": 0}, "damaged .*>= 1.*batch_size"),
        ({"surprise": 1}, "damaged"),
    ],
)
def test_impossible_parts_are_refused(folder, example, tmp_path, changes, words):
    index = changes.get("index", 1)
    path = checkpoint_path(tmp_path, Shard(index, 2))
    path.write_bytes(changed(example, **changes))
    with pytest.raises(RunError, match=f"part-{index}-of-2.json: .*{words}") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_counts_that_the_program_cannot_have_are_not_gone_on_from(folder, tmp_path):
    """Sealed anew, and within 64 bits; only whoever has the program can tell."""
    shard(folder, "1/2", tmp_path / "parts")
    path = checkpoint_path(tmp_path / "parts", Shard(1, 2))
    part = read_checkpoint(path)
    activity = part.score.activity
    name, counts = next((name, counts) for name, counts in activity.items() if counts.synops)
    nodes = {**activity.nodes, name: msgspec.structs.replace(counts, synops=10**15)}
    score = msgspec.structs.replace(part.score, activity=msgspec.structs.replace(activity, nodes=nodes, steps=()))
    write_checkpoint(path, msgspec.structs.replace(part, score=score))
    with pytest.raises(RunError, match=r"part-1-of-2.json: node .* synops is 1,000,000,000,000,000, expected") as caught:
        shard(folder, "1/2", tmp_path / "parts")
    assert "delete it, and evaluate computes it anew" in str(caught.value)


def test_a_part_of_an_older_version_is_refused(folder, example, tmp_path):
    text = msgspec.to_builtins(example)
    del text["totals"]["cosine"], text["totals"]["relative_error"]
    encoded = msgspec.json.encode(text)
    path = tmp_path / "part-1-of-2.json"
    path.write_bytes(msgspec.json.encode({"sha256": hashlib.sha256(encoded).hexdigest(), "part": msgspec.Raw(encoded)}))
    with pytest.raises(RunError, match="part-1-of-2.json: damaged .*`cosine`.*; delete it, and evaluate computes it anew"):
        read_checkpoint(path)


def test_damaged_parts_are_refused_and_left_alone(folder, example, tmp_path):
    sound = (folder / "example" / "part-1-of-2.json").read_bytes()
    digit = sound.index(b'"analog_correct":') + len(b'"analog_correct":')
    edited = sound[:digit] + bytes([sound[digit] ^ 1]) + sound[digit + 1 :]
    path = tmp_path / "part-1-of-2.json"
    for content in (b"", b"{}", b"[" * 100_000, sound[:-20], b"\xff" + sound, edited):
        path.write_bytes(content)
        with pytest.raises(RunError, match="part-1-of-2.json: damaged.*delete it") as caught:
            shard(folder, "1/2", tmp_path)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == content
    path.unlink()
    shard(folder, "1/2", tmp_path)
    assert path.read_bytes() == sound


def test_incomplete_doubled_and_mixed_parts_do_not_merge(folder, example, tmp_path):
    out = tmp_path / "merged.json"
    there = folder / "example"
    with pytest.raises(RunError, match="incomplete without shard 2/2"):
        merge([there], out)
    shard(folder, "2/2", tmp_path / "other")
    shard(folder, "1/2", tmp_path / "other")
    with pytest.raises(RunError, match="part-1-of-2.json: shard 1/2 is there twice, also as"):
        merge([there, tmp_path / "other"], out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="empty: neither a run nor checkpoints"):
        merge([tmp_path / "other", tmp_path / "empty"], out)
    (tmp_path / "empty" / "run.json").write_text("{}")
    with pytest.raises(RunError, match="empty: holds no checkpoint"):
        merge([tmp_path / "other", tmp_path / "empty"], out)
    shard(folder, "1/3", tmp_path / "three")
    with pytest.raises(RunError, match="part-1-of-3.json: shard 1/3, but .* is shard"):
        merge([tmp_path / "other", tmp_path / "three"], out)
    half = msgspec.structs.replace(example, done=0, score=zero(example.score.activity.keys(), example.origin.timesteps))
    write_checkpoint(tmp_path / "other" / "part-1-of-2.json", half)
    with pytest.raises(RunError, match="part-1-of-2.json: only 0 of 3 batches done"):
        merge([tmp_path / "other"], out)
    (there / "part-1-of-2.json").rename(tmp_path / "part-2-of-2.json")
    with pytest.raises(RunError, match="part-2-of-2.json: holds part-1-of-2.json; it was renamed or copied"):
        read_checkpoint(tmp_path / "part-2-of-2.json")
    (tmp_path / "part-2-of-2.json").rename(there / "part-1-of-2.json")
    assert not out.exists()


def test_a_file_is_no_directory_for_checkpoints(folder, tmp_path):
    for place in (folder / "p.nir", tmp_path / "none" / "parts"):
        with pytest.raises(RunError, match="cannot be made a directory for checkpoints"):
            shard(folder, "1/2", place)
    assert find_checkpoints(tmp_path / "none") == {}
