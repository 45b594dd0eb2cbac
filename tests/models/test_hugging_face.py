"""Models of transformers by name: their directories, what is hostile in them, their image processors pixel for pixel."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest
import torch
import transformers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from ecmt_deploy import models
from ecmt_deploy.data.images import read_image
from ecmt_deploy.errors import EcmtError
from ecmt_deploy.models.hf_preprocessing import preprocessing_of_processor
from tests.support.commands import run
from tests.support.hugging_face import SMALL

EDGE = 32
PLAIN = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.3, 0.2, 0.25]}


@pytest.fixture
def directory(tmp_path):
    """A ViT with its processor, as people save them."""
    return saved(tmp_path / "vit")


def saved(path, kind="ViT", processor=True, **labels):
    model = SMALL[kind].make()
    for field, value in labels.items():
        setattr(model.config, field, value)
    model.save_pretrained(path)
    if processor:
        transformers.ViTImageProcessor(size={"height": EDGE, "width": EDGE}).save_pretrained(path)
    return path


def change(path, **fields):
    """Write fields of a JSON file anew; ``None`` takes one out."""
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def refused(expected, path, **options):
    with pytest.raises(EcmtError, match=expected) as error:
        models.load(f"hf:{path}", **options)
    assert "\n" not in str(error.value)


# --- what a directory gives ----------------------------------------------------------------------------------------------


def test_a_directory_gives_the_model_that_was_saved(tmp_path):
    names = {0: "cat", 1: "dog", **{i: f"thing {i}" for i in range(2, 7)}}
    loaded = models.load(f"hf:{saved(tmp_path, id2label=names, label2id={v: k for k, v in names.items()})}")
    x = SMALL["ViT"].inputs(3)
    with torch.no_grad():
        torch.testing.assert_close(loaded.module(x).logits, SMALL["ViT"].make()(x).logits, rtol=1e-5, atol=1e-5)
    assert not loaded.module.training
    assert {p.dtype for p in loaded.module.parameters()} == {torch.float32}
    assert loaded.class_names == tuple(names.values())
    assert (loaded.n_outputs, loaded.preprocessing.input_size) == (7, (3, EDGE, EDGE))
    assert loaded.weights_sha256 == models.load(f"hf:{tmp_path}").weights_sha256


def test_placeholders_are_no_names_and_half_precision_becomes_single(tmp_path):
    SMALL["ViT"].make().half().save_pretrained(tmp_path)
    loaded = models.load(f"hf:{tmp_path}", preprocessing={"mean": 0.5, "std": 0.25})
    assert loaded.class_names is None
    assert {p.dtype for p in loaded.module.parameters()} == {torch.float32}
    assert loaded.preprocessing_origin["mean"] == "given"
    assert loaded.preprocessing.input_size == (3, EDGE, EDGE)


def test_features_take_the_named_output_and_weights_without_a_pooler_need_none(tmp_path):
    path = saved(tmp_path, "ViT, features")
    assert models.load(f"hf:{path}", output="pooler_output").n_outputs == 24
    refused("name the one that is meant", path)
    weights = {key: value for key, value in load_file(path / "model.safetensors").items() if "pooler" not in key}
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    assert models.load(f"hf:{path}").n_outputs == 24  # the tokens are all that is left


def test_arguments_are_fields_of_the_configuration(directory):
    assert models.load(f"hf:{directory}", model_args={"hidden_act": "relu"}).module.config.hidden_act == "relu"
    refused("no field of ViTConfig", directory, model_args={"hidden_actt": "relu"})
    loaded = models.load(f"hf:{directory}", model_args={"architecture": "ViTModel", "add_pooling_layer": "false"})
    assert type(loaded.module).__name__ == "ViTModel"
    refused("is no model of transformers", directory, model_args={"architecture": "pipeline"})


def test_a_program_of_a_directory_classifies_images(directory, tmp_path, capsys, monkeypatch):
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in range(2):
            (tmp_path / "pets" / split / f"c{label}").mkdir(parents=True)
            for i in range(4):
                pixels = draw.integers(0, 256, (40 + i, 50, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / split / f"c{label}" / f"{i}.png")
    change(directory / "config.json", id2label={str(i): f"c{i}" for i in range(7)}, label2id={f"c{i}": i for i in range(7)})
    arguments = [f"hf:{directory}", "--data", "folder:pets", "--out", "p.nir", "--preset", "graded", "--timesteps", "1"]
    assert run(["convert", *arguments], capsys, monkeypatch, tmp_path)[0] == 0
    status, out, _ = run(["evaluate", "p.nir", "--data", "folder:pets", "--json"], capsys, monkeypatch, tmp_path)
    assert status == 0
    assert json.loads(out)["n_samples"] == 8
    status, out, _ = run(["classify", "p.nir", "pets/val/c0/0.png", "--json"], capsys, monkeypatch, tmp_path)
    assert status == 0
    assert {best["class"] for best in json.loads(out)[0]["steps"][0]} <= {f"c{i}" for i in range(7)}


# --- what is refused -----------------------------------------------------------------------------------------------------


def test_weights_of_pickles_are_refused(directory):
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    refused("no model.safetensors in .*found pytorch_model.bin", directory)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 64, b"\x40\0\0\0\0\0\0\0{"])
def test_damaged_weights_are_one_line(directory, damage):
    (directory / "model.safetensors").write_bytes(damage)
    refused("is no safetensors file", directory)


def test_weights_that_are_cut_short_or_not_finite_are_refused(directory):
    file = directory / "model.safetensors"
    weights, whole = load_file(file), file.read_bytes()
    file.write_bytes(whole[:-100])
    refused("is no safetensors file", directory)
    weights["classifier.weight"][0, 0] = torch.inf
    save_file(weights, file, {"format": "pt"})
    refused("classifier.weight holds NaN or infinity", directory)
    del weights["classifier.weight"]
    save_file(weights, file, {"format": "pt"})
    refused(r"missing \(classifier.weight\).*would be random", directory)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"num_hidden_layers": 10**8}, "num_hidden_layers is 100000000"),
        ({"num_labels": 10**9}, "num_labels is 1000000000"),
        ({"hidden_size": 10**12}, "hidden_size is 1000000000000"),
        ({"hidden_size": 2**24}, "describes a model of|cannot be built"),
        ({"hidden_size": "wide"}, "no model that transformers knows|cannot be built"),
        ({"hidden_size": 20}, "cannot be built|of another shape"),
        ({"model_type": "nobody knows", "architectures": None}, "no model that transformers knows"),
        ({"model_type": "nobody", "architectures": ["Nobody"], "auto_map": {"AutoConfig": "evil.C"}}, "no model that"),
        ({"architectures": ["os.system"], "model_type": None}, "no model that transformers knows"),
        ({"hidden_act": "evil"}, "cannot be built"),
    ],
    ids=str,
)
def test_hostile_configurations_are_one_line(directory, fields, expected):
    (directory / "evil.py").write_text("raise SystemExit('code of a model was run')")
    change(directory / "config.json", **fields)
    refused(expected, directory)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_configuration_is_one_line(directory, content):
    (directory / "config.json").write_bytes(content)
    refused("config.json is no JSON object", directory)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"size": {"height": 10**6, "width": 32}}, "expected 1 to 4096 pixels"),
        ({"size": {"shortest_edge": 32}}, "several sizes"),
        ({"size": {"longest_edge": 32}}, "longest_edge"),
        ({"do_resize": False}, "do_resize"),
        ({"do_flip_channel_order": True}, "nothing that can be said here"),  # a ViT's processor does not look at it
        ({"do_pad": True}, "do_pad"),
        ({"image_std": [0, 1, 1]}, "image_std"),
        ({"image_mean": "grey"}, "image_mean"),
        ({"resample": 9}, "resample"),
        ({"image_processor_type": "EvilProcessor", "auto_map": {"AutoImageProcessor": "evil.P"}}, "cannot be read"),
    ],
    ids=str,
)
def test_processors_that_cannot_be_said_are_refused_by_the_field(directory, fields, expected):
    change(directory / "preprocessor_config.json", **fields)
    refused(expected, directory)


def test_a_processor_may_be_replaced_by_what_the_user_says(directory):
    change(directory / "preprocessor_config.json", do_pad=True)
    said = {"mean": [0.1, 0.2, 0.3], "std": 0.5, "crop_pct": 0.9}
    assert models.load(f"hf:{directory}", preprocessing=said).preprocessing.mean == (0.1, 0.2, 0.3)
    (directory / "preprocessor_config.json").unlink()
    refused("nobody says mean, std", directory)


def test_names_of_the_hub_fail_quickly_without_a_network(monkeypatch, tmp_path):
    def unknown(*_, **__):
        raise socket.gaierror("Name or service not known")

    for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    refused("cannot be fetched from the hub", "nobody/has-this-model")
    refused("no such directory", tmp_path / "nothing")
    refused("has weights of its own", "nobody/has-this-model", weights=tmp_path / "w.safetensors")


def test_without_transformers_one_line_says_what_to_install(monkeypatch, directory):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    refused(r"pip install 'ecmt-deploy\[transformers\]'", directory)


# --- image processors ----------------------------------------------------------------------------------------------------


def processors():
    """Every kind of processor that classifiers have, at any of its settings."""
    edges = st.integers(16, 48)
    scales = st.sampled_from([{}, {"do_normalize": False}, {"do_rescale": False}, {"rescale_factor": 1 / 127.5}, PLAIN])
    common = st.builds(lambda resample, scale: {"resample": resample, **scale}, st.sampled_from([0, 2, 3]), scales)

    flips = st.booleans().map(lambda flip: {"do_flip_channel_order": flip})
    fractions = st.sampled_from([0.875, 0.9])

    def made(name, common, size, crop=None, **more):
        kind = getattr(transformers, name)
        options = {**common, "size": size, **more} | ({} if crop is None else {"crop_size": crop})
        return kind(**options)

    def square(edge):
        return {"height": edge, "width": edge}

    def short(edge):
        return {"shortest_edge": edge}

    return st.one_of(
        st.builds(lambda c, h, w: made("ViTImageProcessorPil", c, {"height": h, "width": w}), common, edges, edges),
        st.builds(lambda c, e, d: made("DeiTImageProcessorPil", c, square(e + d), square(e)), common, edges, st.integers(0, 9)),
        st.builds(lambda c, e, d: made("CLIPImageProcessorPil", c, short(e + d), square(e)), common, edges, st.integers(-5, 9)),
        st.builds(lambda c, e: made("LevitImageProcessorPil", c, short(e), square(e)), common, edges),
        st.builds(lambda c, e, p: made("ConvNextImageProcessorPil", c, short(e), crop_pct=p), common, edges, fractions),
        st.builds(lambda c: made("ConvNextImageProcessorPil", c, short(384)), common),
        st.builds(lambda e, f: made("MobileViTImageProcessorPil", f, short(e), square(e)), edges, flips),
    )  # fmt: skip


@settings(max_examples=40)
@given(processors(), st.integers(10, 90), st.integers(10, 90), st.integers(0, 2**32 - 1))
def test_preprocessing_makes_the_pixels_of_the_processor(processor, height, width, seed):
    assume(max(height, width) <= 6 * min(height, width))
    made = preprocessing_of_processor("hf:model", processor, 3)
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    theirs = processor(images=image, return_tensors="np")["pixel_values"][0]
    ours = read_image("image", image, made)
    assert theirs.shape == ours.shape == made.input_size
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * max(1, np.abs(theirs).max()))
    np.testing.assert_allclose(made.normalised(made.shown(ours)), ours, rtol=1e-4, atol=1e-4 * max(1, np.abs(ours).max()))
