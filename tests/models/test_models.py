"""Models: the bundled one against its card, weight files of every kind, and one-line errors for every mistake."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from ecmt_deploy import data, models
from ecmt_deploy.errors import ModelError
from ecmt_deploy.models import weights, zoo
from ecmt_deploy.report.units import accuracy as percent

VIT = "vit_tiny_patch16_224"
SMALL = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 12, "depth": 1, "num_heads": 2}
RANDOM = {**SMALL, "pretrained": False}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small() -> models.Model:
    return models.load(VIT, model_args=RANDOM)


def refused(expected: str, name: str = VIT, **kwargs) -> str:
    with pytest.raises(ModelError, match=expected) as error:
        models.load(name, **kwargs)
    message = str(error.value)
    assert "\n" not in message
    return message


# --- the bundled model -----------------------------------------------------------------------------------------------


def test_bundled_accuracy_is_that_of_the_card():
    model, card = models.load("zoo:vit_digits"), zoo.card("zoo:vit_digits")
    for measured in card.measured:
        x, y = data.open("digits", preprocessing=model.preprocessing, split=measured.split).arrays()
        with torch.no_grad():
            correct = int((model.module(torch.from_numpy(x)).argmax(1).numpy() == y).sum())
        assert (correct, len(y)) == (measured.correct, measured.samples)
        assert measured.accuracy == correct / len(y)
    test = next(m for m in card.measured if m.split == "test")
    assert test.samples == 360
    assert test.accuracy >= 0.97
    assert f"| test | {test.correct} | 360 | {percent(test.accuracy, 360)} |" in _card_text()


def test_bundled_model_is_small_and_described():
    model, card = models.load("zoo:vit_digits"), zoo.card("zoo:vit_digits")
    assert zoo.weights_path("zoo:vit_digits").stat().st_size <= 1_000_000
    assert model.name == "zoo:vit_digits"
    assert model.class_names == tuple("0123456789")
    assert model.weights_sha256 == card.weights_sha256 == weights.sha256(model.module)
    assert card.n_parameters == sum(p.numel() for p in model.module.parameters())
    assert card.weights_sha256 in _card_text()
    assert not model.module.training
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    assert not any(getattr(m, "fused_attn", False) for m in model.module.modules())


def test_bundled_normalisation_is_that_of_the_train_split():
    preprocessing = models.load("zoo:vit_digits").preprocessing
    x, _ = data.open("digits", preprocessing=preprocessing, split="train").arrays()
    assert abs(x.mean()) < 1e-4
    assert abs(x.std() - 1) < 1e-4


def test_bundled_model_refuses_arguments_unknown_names_and_other_weights(tmp_path, monkeypatch):
    refused("takes no --model-arg", "zoo:vit_digits", model_args={"depth": 2})
    refused("there are zoo:vit_digits", "zoo:nope")
    refused("there are zoo:vit_digits", "zoo:../errors")
    changed = models.load("zoo:vit_digits").module
    with torch.no_grad():
        next(changed.parameters()).add_(1)
    path = save(tmp_path / "changed.safetensors", changed.state_dict())
    assert models.load("zoo:vit_digits", weights=path).weights_sha256 == weights.sha256(changed)
    monkeypatch.setattr(zoo, "weights_path", lambda name: path)
    refused("not those of its card", "zoo:vit_digits")


def _card_text() -> str:
    return (Path(zoo.__file__).parent / "vit_digits.md").read_text()


# --- timm names and random weights -----------------------------------------------------------------------------------


def test_random_weights_only_when_asked_for_and_repeatable(small):
    state = torch.get_rng_state()
    again = models.load(VIT, model_args={k: str(v) for k, v in RANDOM.items()})
    other = models.load(VIT, model_args={**RANDOM, "seed": 1})
    assert torch.equal(state, torch.get_rng_state())
    assert small.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert small.class_names is None
    assert small.n_outputs == 10
    assert small.preprocessing.input_size == (1, 8, 8)
    assert len(small.preprocessing.mean) == 1


def test_preprocessing_follows_the_configuration_and_arguments():
    model = models.load("deit_tiny_patch16_224", model_args={"pretrained": False, "img_size": [32, 48], "depth": 1})
    assert model.preprocessing.input_size == (3, 32, 48)
    assert model.preprocessing.mean == (0.485, 0.456, 0.406)
    assert model.preprocessing.crop_pct == 0.9
    args = {**RANDOM, "mean": "0.286", "std": [0.353], "interpolation": "bilinear", "crop_pct": "1"}
    changed = models.load(VIT, model_args=args).preprocessing
    assert (changed.mean, changed.std) == ((0.286,), (0.353,))
    assert (changed.interpolation, changed.crop_pct) == ("bilinear", 1.0)
    refused("std must be positive", model_args={**RANDOM, "std": 0.0})
    refused("mean has 3 values for 1 channel", model_args={**RANDOM, "mean": [0.1, 0.2, 0.3]})
    refused("could not convert", model_args={**RANDOM, "mean": "grey"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-1", -1),
        ("1e-6", 1e-6),
        ("true", True),
        ("False", False),
        ("avg", "avg"),
        ('"10"', "10"),
        ("[14, 14]", [14, 14]),
        (" 7 ", 7),
        (7, 7),
        ("", ""),
    ],
)
def test_parse_literal(text, value):
    parsed = models.parse_literal(text)
    assert parsed == value
    assert type(parsed) is type(value)


@given(
    st.one_of(
        st.integers(), st.booleans(), st.floats(allow_nan=False), st.lists(st.integers(), max_size=3),
        st.text().filter(lambda text: '"' not in text and "'" not in text),
    )
)  # fmt: skip
@example("[")
def test_literal_is_read_as_the_value_it_is_of(value):
    back = models.parse_literal(models.literal(value))
    assert (back, type(back)) == (value, type(value))


def origin(name: str, **kwargs) -> dict[str, str]:
    model = models.load(name, **kwargs)
    assert set(model.preprocessing_origin) == set(model.preprocessing.__struct_fields__)
    return model.preprocessing_origin


def test_preprocessing_says_where_every_part_comes_from(tmp_path, small):
    config = "timm's config of vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    asked = {"crop_pct": 1, "std": (0.3,)}
    assert origin(VIT, model_args={**RANDOM, "interpolation": "bilinear"}, preprocessing=asked) == {
        "input_size": "given", "mean": f"average of {config}", "std": "given", "interpolation": "given", "crop_pct": "given",
        "crop_mode": config, "channel_order": "timm's default",
    }  # fmt: skip
    assert set(origin("deit_tiny_patch16_224", model_args={"pretrained": False, "depth": 1}).values()) == {
        "timm's config of deit_tiny_patch16_224.fb_in1k",
        "timm's default",  # of the order of channels
    }
    card = origin("zoo:vit_digits", preprocessing={"crop_pct": 0.9})
    assert (card["crop_pct"], card["mean"]) == ("given", "the card of zoo:vit_digits")
    own = origin(local_directory(tmp_path, small, {"std": [0.3], "input_size": [1, 8, 8]}))
    assert (own["std"], own["crop_pct"]) == ("the weights' own config", "timm's default")


@pytest.mark.parametrize(
    ("name", "args", "size", "expected"),
    [
        (VIT, {k: v for k, v in RANDOM.items() if k != "img_size"}, 16, (1, 16, 16)),
        (VIT, {k: v for k, v in RANDOM.items() if k not in ("img_size", "in_chans")}, (3, 16, 8), (3, 16, 8)),
        ("resnet10t", {"pretrained": False}, (64,), (3, 64, 64)),  # takes any size, and no argument that says so
        ("resnet10t", {"pretrained": False}, (1, 32, 64), (1, 32, 64)),
        ("eva02_tiny_patch14_224", {"pretrained": False, "depth": 1}, (28, 42), (3, 28, 42)),
    ],
)
def test_input_size_is_what_the_model_is_built_for(name, args, size, expected):
    model = models.load(name, model_args=args, preprocessing={"input_size": size})
    assert model.preprocessing.input_size == expected
    assert model.preprocessing_origin["input_size"] == "given"
    assert model.module(torch.zeros(1, *expected)).shape == (1, model.n_outputs)


def test_preprocessing_errors():
    refused("say the size of inputs", model_args=RANDOM, preprocessing={"input_size": 8})
    refused("--mean and --model-arg mean say the same", model_args={**RANDOM, "mean": 0.5}, preprocessing={"mean": (0.5,)})
    refused("--input-size 0: expected pixels", model_args={"pretrained": False}, preprocessing={"input_size": (0,)})
    refused("--input-size 1 2 3 4", model_args={"pretrained": False}, preprocessing={"input_size": (1, 2, 3, 4)})
    refused("takes no --input-size", "zoo:vit_digits", preprocessing={"input_size": 8})
    refused("crop_pct must be in", "zoo:vit_digits", preprocessing={"crop_pct": 3.0})
    refused("unknown interpolation 'cubic'", model_args=RANDOM, preprocessing={"interpolation": "cubic"})


def test_malformed_list_is_refused():
    with pytest.raises(ModelError, match="is not a list"):
        models.parse_literal("[1, 2")


def test_name_errors():
    assert "vit_tiny_patch16_224" in refused("did you mean", "vit_tiny_patch16_244")
    assert "augreg_in21k_ft_in1k" in refused("no pretrained weights tagged 'augreg_in22k'", f"{VIT}.augreg_in22k")
    refused("no such model; expected a timm name or zoo:vit_digits", "@@@@")


def test_argument_errors():
    refused("cannot be built with .*window=1", model_args={**RANDOM, "window": 1})
    refused("cannot be built", model_args={**RANDOM, "num_heads": 5})
    refused("pretrained=true or false", model_args={**RANDOM, "pretrained": "maybe"})
    refused("weights come from --weights", model_args={**RANDOM, "checkpoint_path": "x.pth"})
    refused("cannot be built", "resnet18", model_args=RANDOM)
    refused(
        "does not run on 3 x 0 x 0|cannot be built|must be positive",
        "resnet18",
        model_args={"pretrained": False, "img_size": 0},
    )
    refused("expected one vector per sample", model_args={**RANDOM, "num_classes": 0, "global_pool": ""})


def test_pretrained_weights_never_become_random():
    refused("num_classes=10 would be random", model_args={"num_classes": 10})
    refused("no pretrained weights for it; pass --weights FILE", "vit_small_patch16_36x1_224")


def local_directory(directory: Path, model: models.Model, cfg: dict) -> str:
    """Name of a directory in the hub's layout."""
    model_args = {k: v for k, v in SMALL.items() if k != "num_classes"}
    cfg = {"num_classes": 10, "classifier": "head", **cfg}
    config = {"architecture": VIT, "num_classes": 10, "model_args": model_args, "pretrained_cfg": cfg}
    (directory / "config.json").write_text(json.dumps(config))
    save(directory / "model.safetensors", model.module.state_dict())
    return f"local-dir:{directory}"


def test_pretrained_weights_of_a_local_directory(tmp_path, small):
    """timm's own loading of pretrained weights, from a directory in the hub's layout."""
    name = local_directory(tmp_path, small, {"input_size": [1, 8, 8], "mean": [0.2], "std": [0.3]})
    loaded = models.load(name)
    assert loaded.weights_sha256 == small.weights_sha256
    assert (loaded.preprocessing.input_size, loaded.preprocessing.mean) == ((1, 8, 8), (0.2,))
    refused("num_classes=7 would be random", name, model_args={"num_classes": 7})
    refused("pretrained weights do not fit depth=2", name, model_args={"depth": 2})
    refused("cannot be built|cannot be fetched", f"local-dir:{tmp_path / 'none'}")


def test_label_names_of_a_configuration_are_ids_where_it_describes_them(tmp_path, small):
    labels = [f"n{i}" for i in range(10)]
    described = {"label_names": labels, "label_descriptions": {label: f"thing {label}" for label in labels}}
    loaded = models.load(local_directory(tmp_path, small, {"input_size": [1, 8, 8], **described}))
    assert (loaded.class_names[:2], loaded.class_ids) == (("thing n0", "thing n1"), tuple(labels))
    loaded = models.load(local_directory(tmp_path, small, {"input_size": [1, 8, 8], "label_names": labels}))
    assert (loaded.class_names, loaded.class_ids) == (tuple(labels), None)


def test_offline_is_one_line_and_soon(tmp_path):
    """In a process of its own: the hub's client reads its settings when it is first imported."""
    code = (
        "from ecmt_deploy import errors, models\n"
        "try:\n    models.load('vit_tiny_patch16_224.augreg_in21k_ft_in1k')\n"
        "except errors.ModelError as error:\n    print(error)\n"
    )
    with_no_hub = {**os.environ, "HF_ENDPOINT": "https://hub.invalid", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=with_no_hub, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "cannot be fetched" in done.stdout
    assert "pass --weights FILE" in done.stdout
    assert done.stdout.count("\n") == 1


# --- weight files ----------------------------------------------------------------------------------------------------


def save(path: Path, content) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({k: v.contiguous() for k, v in content.items()}, path)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
def test_round_trip(tmp_path, small, suffix):
    path = save(tmp_path / f"w{suffix}", small.module.state_dict())
    loaded = models.load(VIT, weights=path, model_args=SMALL)
    assert loaded.weights_sha256 == small.weights_sha256
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32))
    with torch.no_grad():
        assert torch.equal(loaded.module(x), small.module(x))


@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_wrapped_checkpoints(tmp_path, small, wrapper):
    state = {f"module.{k}": v.half().float() for k, v in small.module.state_dict().items()}
    content = {wrapper: state, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    loaded = models.load(VIT, weights=save(tmp_path / "w.pth", content), model_args=SMALL)
    assert torch.equal(loaded.module.head.weight, state["module.head.weight"])
    assert loaded.weights_key == f"{wrapper}.module"


def test_of_an_average_and_what_it_is_the_average_of_the_average_is_taken(tmp_path, small, caplog):
    """timm's rule, said aloud; any other pair of weights that fit is for the user to choose from."""
    own = small.module.state_dict()
    other = {k: torch.zeros_like(v) for k, v in own.items()}
    path = save(tmp_path / "e.pth", {"model": other, "model_ema": own, "optimizer": {"state": {0: {"step": torch.ones(1)}}}})
    averaged = models.load(VIT, weights=path, model_args=SMALL)
    assert (averaged.weights_sha256, averaged.weights_key) == (small.weights_sha256, "model_ema")
    assert "takes its weights model_ema; it also holds model, which --weights-key chooses" in caplog.text
    caplog.clear()
    chosen = models.load(VIT, weights=path, model_args=SMALL, weights_key="model")
    assert not any(p.any() for p in chosen.module.parameters())
    assert (chosen.weights_key, "also holds" in caplog.text) == ("model", False)
    refused("no tensors at 'modle'; there are model .*model_ema", weights=path, model_args=SMALL, weights_key="modle")
    bare = save(tmp_path / "b.pth", own)
    assert models.load(VIT, weights=bare, model_args=SMALL).weights_key == ""
    refused("no tensors at 'model'", weights=bare, model_args=SMALL, weights_key="model")
    refused("give --weights FILE too", model_args=RANDOM, weights_key="model")
    assert models.load("zoo:vit_digits").weights_key is None
    pair = save(tmp_path / "p.pth", {"teacher": own, "student": other})
    refused("which weights\\? there are .*choose with --weights-key", weights=pair, model_args=SMALL)
    assert models.load(VIT, weights=pair, model_args=SMALL, weights_key="teacher").weights_key == "teacher"


def test_half_precision_files_become_float32(tmp_path, small):
    state = {k: v.half() for k, v in small.module.state_dict().items()}
    loaded = models.load(VIT, weights=save(tmp_path / "w.safetensors", state), model_args=SMALL)
    assert {p.dtype for p in loaded.module.parameters()} == {torch.float32}
    assert torch.equal(loaded.module.head.weight, state["head.weight"].float())


def test_position_embeddings_are_resized_as_timm_does(tmp_path, caplog):
    args = {**RANDOM, "img_size": 16}
    large = models.load(VIT, model_args=args).module.state_dict()
    loaded = models.load(VIT, weights=save(tmp_path / "w.pth", large), model_args=SMALL)
    assert loaded.module.pos_embed.shape == (1, 17, 12)
    assert "pos_embed" in caplog.text
    assert "resized" in caplog.text


def test_original_dinov2_naming_is_translated(tmp_path):
    args = {"img_size": 28, "embed_dim": 12, "depth": 1, "num_heads": 2}
    reference = models.load("vit_small_patch14_dinov2", model_args={**args, "pretrained": False})
    state = {k: v.clone() for k, v in reference.module.state_dict().items()}
    original = {**state, "mask_token": torch.zeros(1, 12)}
    loaded = models.load("vit_small_patch14_dinov2", weights=save(tmp_path / "d.pth", original), model_args=args)
    assert loaded.weights_sha256 == reference.weights_sha256


def test_head_is_ignored_only_where_the_model_has_none(tmp_path, small):
    path = save(tmp_path / "w.pth", small.module.state_dict())
    assert models.load(VIT, weights=path, model_args={**SMALL, "num_classes": 0}).module.num_classes == 0
    refused("say --model-arg num_classes=10", weights=path, model_args={**SMALL, "num_classes": 7})


def test_class_names_of_imagenet(tmp_path):
    args = {**SMALL, "num_classes": 1000}
    random = models.load(VIT, model_args={**args, "pretrained": False})
    loaded = models.load(VIT, weights=save(tmp_path / "w.pth", random.module.state_dict()), model_args=args)
    assert loaded.class_names is not None
    assert len(loaded.class_names) == 1000
    assert loaded.class_names[0].startswith("tench")
    assert loaded.class_ids[0] == "n01440764"
    assert random.class_names is None


def test_weights_of_another_architecture(tmp_path, small):
    state = small.module.state_dict()
    path = save(tmp_path / "w.safetensors", state)
    deeper = refused("another architecture", weights=path, model_args={**SMALL, "depth": 2})
    assert "12 missing (blocks.1.norm1.weight" in deeper
    wider = refused("another architecture", weights=path, model_args={**SMALL, "embed_dim": 16})
    assert "of another shape (cls_token (1, 1, 12) for (1, 1, 16)" in wider
    extra = save(tmp_path / "x.pth", {**state, "neck.weight": torch.ones(1)})
    assert "1 unexpected (neck.weight)" in refused("another architecture", weights=extra, model_args=SMALL)
    resnet = refused("another architecture than ResNet", "resnet18", weights=path)
    assert "missing (conv1.weight" in resnet
    assert "unexpected (" in resnet


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_weight_files_execute_nothing(tmp_path, small):
    trap = tmp_path / "trap"
    path = tmp_path / "w.pth"
    torch.save({"state_dict": small.module.state_dict(), "x": Malicious(trap)}, path)
    refused("would need more than tensors", weights=path, model_args=SMALL)
    path.write_bytes(pickle.dumps(Malicious(trap)))
    refused("more than tensors|not a readable weight file", weights=path, model_args=SMALL)
    assert not trap.exists()


def test_weight_file_errors(tmp_path, small):
    refused("no such weight file", weights=tmp_path / "none.pth", model_args=SMALL)
    (tmp_path / "w.onnx").write_bytes(b"x")
    refused("unknown kind of weight file", weights=tmp_path / "w.onnx", model_args=SMALL)
    whole = save(tmp_path / "w.safetensors", small.module.state_dict()).read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-8])
    refused("not a readable weight file", weights=tmp_path / "w.safetensors", model_args=SMALL)
    (tmp_path / "w.pth").write_bytes(b"")
    refused("not a readable weight file", weights=tmp_path / "w.pth", model_args=SMALL)
    refused("holds no tensors", weights=save(tmp_path / "e.pth", {"epoch": 1}), model_args=SMALL)
    refused("holds a list", weights=save(tmp_path / "l.pth", [torch.ones(1)]), model_args=SMALL)
    state = {**small.module.state_dict(), "head.bias": torch.full((10,), float("nan"))}
    refused("head.bias holds NaN", weights=save(tmp_path / "n.pth", state), model_args=SMALL)


def test_sha256_depends_on_names_shapes_and_values(small):
    linear = torch.nn.Linear(2, 3, bias=False)
    same = torch.nn.Linear(2, 3, bias=False)
    same.load_state_dict(linear.state_dict())
    assert weights.sha256(linear) == weights.sha256(same)
    reshaped = torch.nn.Linear(3, 2, bias=False)
    reshaped.weight.data = linear.weight.data.reshape(2, 3)
    renamed = torch.nn.ParameterDict({"other": linear.weight})
    assert len({weights.sha256(m) for m in (linear, reshaped, renamed)}) == 3
