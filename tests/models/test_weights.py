"""Weight files as people save them: found at any depth under any prefix, read without running anything, damaged in one line."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import enum
import functools
import importlib
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import threading
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from ecmt_deploy.errors import ModelError
from ecmt_deploy.models.build import build, build_with_weights
from ecmt_deploy.models.weights import Weights, choose, collections_in, fit, misfits
from ecmt_deploy.models.weights.reading import MOST_GROWTH
from ecmt_deploy.testing.transformer import TinyTransformer

MODEL, OTHER = TinyTransformer(), TinyTransformer(seed=1)
STATE, AVERAGED = MODEL.state_dict(), OTHER.state_dict()


class Config:
    """A class of the training script's, which is not there when its checkpoint is read."""

    def __init__(self) -> None:
        self.rate, self.out, self.when = 0.1, Path("out"), datetime.datetime(2024, 5, 1)


@dataclasses.dataclass(frozen=True)
class Frozen:
    steps: int = 3


class Mode(enum.Enum):
    TRAIN = "train"


class Named(enum.Enum):
    """Saved by its name, as early releases of Python 3.11 save every enum."""

    TRAIN = "train"

    def __reduce_ex__(self, protocol):
        return getattr, (type(self), self.name)


class Outer:
    class Inner:
        def __init__(self) -> None:
            self.rate = 0.1

    class Named(enum.Enum):
        TRAIN = "train"

        def __reduce_ex__(self, protocol):
            return getattr, (type(self), self.name)


class Attributes(dict):
    """A dict of attributes, as configuration libraries have them."""


def prefixed(prefix: str, state=STATE) -> dict:
    return {prefix + name: tensor for name, tensor in state.items()}


def each(change) -> dict:
    return {name: change(tensor) for name, tensor in STATE.items()}


def save(folder: Path, content, name: str = "w.pth", **options) -> Path:
    torch.save(content, folder / name, **options)
    return folder / name


def loaded(path: Path, key: str | None = None) -> tuple[Weights, nn.Module]:
    """What is found for the tiny transformer, and that with it."""
    module = TinyTransformer(seed=2)
    found = choose(path, collections_in(path), key, misfits(module, None))
    fit(module, found, None, str(path))
    return found, module


def holds(module: nn.Module, state=STATE, tolerance: float = 0.0) -> None:
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=tolerance, atol=tolerance)


def refused(path: Path, key: str | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        loaded(path, key)
    assert str(caught.value).isprintable()
    return str(caught.value)


# --- where the weights are -------------------------------------------------------------------------------------------

NESTED = {  # what is saved, and where in it the weights are
    "bare": (STATE, ""),
    "under a key": ({"state_dict": STATE, "epoch": 3}, "state_dict"),
    "under any key": ({"my own weights": STATE, "acc": 1.0}, "my own weights"),
    "under a number": ({0: STATE}, "0"),
    "under two keys": ({"model": {"state_dict": STATE}}, "model.state_dict"),
    "under five keys": ({"a": {"b": {"c": {"d": {"e": STATE}}}}}, "a.b.c.d.e"),
    "of Lightning": ({"state_dict": {**prefixed("model."), "loss.weight": torch.ones(3)}, "loops": {}}, "state_dict.model"),
    "of a wrapper": (prefixed("net."), "net"),
    "of a backbone and a head": ({**prefixed("backbone."), "neck.weight": torch.ones(3)}, "backbone"),
    "of DataParallel": (prefixed("module."), "module"),
    "compiled": (prefixed("_orig_mod."), "_orig_mod"),
    "compiled, then DataParallel": (prefixed("module._orig_mod."), "module._orig_mod"),
    "DataParallel, then compiled": ({"model": prefixed("_orig_mod.module.")}, "model._orig_mod.module"),
    "of a larger network": (prefixed("towers.image.trunk."), "towers.image.trunk"),
    "averaged": (torch.optim.swa_utils.AveragedModel(MODEL).state_dict(), "module"),
    "a teacher": ({"teacher": prefixed("backbone."), "student": {"head.w": torch.ones(2)}}, "teacher.backbone"),
    "a Namespace": (argparse.Namespace(model=STATE), "model"),
    "a whole module": (MODEL, ""),
    "a whole module under a key": ({"ema": MODEL, "model": None}, "ema"),
    "a whole module in DataParallel": (nn.DataParallel(MODEL), "module"),
    "twice the same": ({"model": STATE, "state_dict": STATE}, "model"),
    "twice the same content": ({"model": STATE, "ema": each(torch.clone)}, "model"),
}


@pytest.mark.parametrize(("content", "key"), NESTED.values(), ids=NESTED)
def test_weights_are_found_wherever_they_are(content, key, tmp_path):
    found, module = loaded(save(tmp_path, content))
    assert found.key == key
    holds(module)
    if key:  # the key that is told is the key that chooses, and so is every key above it
        for shorter in (key, key.partition(".")[0]):
            assert loaded(save(tmp_path, content), shorter)[0].key == key


def test_training_state_beside_the_weights_is_left_alone(tmp_path):
    model = TinyTransformer()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 2, 4, 4)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    found, module = loaded(save(tmp_path, content))
    assert found.key == "model"
    holds(module, model.state_dict())


SEVERAL = {
    "an average by another name": ({"model": STATE, "ema": AVERAGED}, ("model", "ema")),
    "teacher and student": (
        {"teacher": prefixed("backbone.", AVERAGED), "student": prefixed("module.backbone.")},
        ("student.module.backbone", "teacher.backbone"),
    ),
    "prefixes": ({"state_dict": {**prefixed("model."), **prefixed("ema.", AVERAGED)}}, ("state_dict.model", "state_dict.ema")),
    "whole modules": ({"model": MODEL, "ema": OTHER}, ("model", "ema")),
}


@pytest.mark.parametrize(("content", "keys"), SEVERAL.values(), ids=SEVERAL)
def test_several_weights_that_fit_are_listed_and_chosen(content, keys, tmp_path):
    path, (first, second) = save(tmp_path, content), keys
    message = refused(path)
    assert "which weights?" in message
    assert all(f"{key} (" in message for key in keys)
    assert "choose with --weights-key" in message
    holds(loaded(path, first)[1])
    holds(loaded(path, second)[1], AVERAGED)
    message = refused(path, "nowhere")
    assert f"{path}: no tensors at 'nowhere'; there are " in message


def test_where_none_fits_the_closest_is_taken_for_the_error(tmp_path):
    """Whatever lies beside it, and however many tensors that has."""
    short = {name: tensor for name, tensor in STATE.items() if name != "head.bias"}
    beside = {f"layer.{i}": torch.ones(1) for i in range(100)}
    path = save(tmp_path, {"large": beside, "state_dict": prefixed("model.", short), "few": {"head.bias": torch.ones(5)}})
    found = choose(path, collections_in(path), None, misfits(MODEL, None))
    assert (found.key, list(found)) == ("state_dict.model", list(short))
    message = "another architecture than TinyTransformer: 1 missing (head.bias)"
    assert message in refused(path)
    path = save(tmp_path, {"few": {"head.bias": torch.ones(5)}, "more": {"head.bias": torch.ones(5), "x": torch.ones(1)}})
    assert choose(path, collections_in(path), None, misfits(MODEL, None)).key == "more"


PAIRS = {
    "bare": ({"model": STATE, "model_ema": AVERAGED}, "model", "model_ema"),
    "timm's": ({"state_dict_ema": AVERAGED, "state_dict": STATE}, "state_dict", "state_dict_ema"),
    "inside": ({"run": {"model": prefixed("module."), "model_ema": AVERAGED}}, "run.model.module", "run.model_ema"),
}


@pytest.mark.parametrize(("content", "own", "average"), PAIRS.values(), ids=PAIRS)
def test_a_moving_average_is_preferred_to_what_it_is_the_average_of(content, own, average, tmp_path):
    """timm's rule; what was not taken is told."""
    found, module = loaded(save(tmp_path, content))
    assert (found.key, found.others) == (average, (own,))
    holds(module, AVERAGED)
    found, module = loaded(save(tmp_path, content), own)
    assert (found.key, found.others) == (own, ())
    holds(module)


def test_weights_that_do_not_fit_are_told_where_they_are(tmp_path):
    state = build("vit_tiny_patch16_224", {**SMALL, "num_classes": 7}, 0, pretrained=False).state_dict()
    path = save(tmp_path, {"model": state, "ema": {name: 2 * tensor for name, tensor in state.items()}})
    with pytest.raises(ModelError, match=r"\(model\): weights of another architecture .* say --model-arg num_classes=7"):
        build_with_weights("vit_tiny_patch16_224", path, None, SMALL)


SMALL = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 12, "depth": 1, "num_heads": 2}


@pytest.mark.parametrize("key", ["model", "ema"])
def test_models_take_the_weights_that_were_chosen(key, tmp_path):
    states = [build("vit_tiny_patch16_224", SMALL, seed, pretrained=False).state_dict() for seed in (0, 1)]
    content = {"model": prefixed("module.", states[0]), "ema": states[1], "args": argparse.Namespace(lr=0.1)}
    path = save(tmp_path, content)
    with pytest.raises(ModelError, match=r"there are model.module \(20 tensors\), ema \(20 tensors\)"):
        build_with_weights("vit_tiny_patch16_224", path, None, SMALL)
    module, found_at = build_with_weights("vit_tiny_patch16_224", path, key, SMALL)
    holds(module, states[key == "ema"])
    assert found_at == {"model": "model.module", "ema": "ema"}[key]


# --- what they are saved as, and beside what --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.ckpt", "w.tar", "w.pth.tar", "weights", "w.pt", "w.bin", "w.safetensors", "w.anything"])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_a_file_is_what_its_bytes_are_whatever_it_is_called(name, kind, tmp_path):
    if kind == "safetensors":
        safetensors.torch.save_file(STATE, tmp_path / name)
    else:
        save(tmp_path, {"model": STATE, "args": argparse.Namespace()}, name, _use_new_zipfile_serialization=kind == "zip")
    holds(loaded(tmp_path / name)[1])


BESIDE = {
    "a number of NumPy's": np.float64(0.1),
    "arrays of NumPy's": {"a": np.ones(3), "objects": np.array([1, "a"], object), "records": np.zeros(2, [("a", "f4")])},
    "long doubles": np.zeros(2, np.longdouble),
    "random states": [torch.get_rng_state(), np.random.get_state(), random.getstate(), random.Random(0)],
    "a Namespace": argparse.Namespace(lr=1.0, out=Path("out")),
    "a class of the script's": Config(),
    "a frozen dataclass": Frozen(),
    "an enum": Mode.TRAIN,
    "an enum by its name": [Named.TRAIN, {Named.TRAIN: 1}],
    "classes inside a class": [Outer.Inner(), Outer.Named.TRAIN],
    "a dict of a class of its own": Attributes(lr=1),
    "a default dict": collections.defaultdict(list, {"loss": [1.0]}),
    "a function": nn.functional.gelu,
    "times": [datetime.datetime(2024, 5, 1), datetime.timedelta(1)],
    "plain things": [1, 2.0, "text", b"bytes", None, True, {1, 2}, (3,), 1 + 2j, slice(1), range(3), torch.device("cpu")],
}  # fmt: skip


MODULES = {
    "a partial function": functools.partial(nn.LayerNorm, eps=1e-6),
    "a class": nn.GELU,
    "a module": nn.Linear(2, 2),
}  # torch's old files hold the source code of these, which its reader refuses


@pytest.mark.parametrize(
    ("thing", "legacy"),
    [(thing, False) for thing in (BESIDE | MODULES).values()] + [(thing, True) for thing in BESIDE.values()],
    ids=[*BESIDE, *MODULES, *(f"{name}, legacy" for name in BESIDE)],
)
def test_harmless_things_beside_the_weights_are_left_alone(thing, legacy, tmp_path):
    path = save(tmp_path, {"extra": thing, "state_dict": STATE}, _use_new_zipfile_serialization=not legacy)
    found, module = loaded(path)
    assert found.key == "state_dict"
    holds(module)


def test_classes_of_the_script_need_not_exist(tmp_path, monkeypatch):
    """Of a module that cannot be imported any more when the file is read."""
    script = types.ModuleType("training")
    exec("class Config: pass", script.__dict__)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "training", script)
        path = save(tmp_path, {"model": MODEL, "config": script.Config()})
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("training")
    assert b"training" in zipfile.ZipFile(path).read("w/data.pkl")
    holds(loaded(path)[1])


STORED = {
    "parameters": (nn.Parameter, 0.0),
    "half precision": (torch.Tensor.half, 1e-3),
    "bfloat16": (torch.Tensor.bfloat16, 1e-2),
    "float8": (lambda t: t.to(torch.float8_e5m2), 0.3),
    "double precision": (torch.Tensor.double, 0.0),
    "sparse": (lambda t: t.to_sparse() if t.ndim == 2 else t, 0.0),
    "sparse rows": (lambda t: t.to_sparse_csr() if t.ndim == 2 else t, 0.0),
    "quantized": (lambda t: torch.quantize_per_tensor(t, 0.4, 0, torch.qint8), 0.3),
    "not contiguous": (lambda t: t.mT.contiguous().mT if t.ndim > 1 else t, 0.0),
    "arrays": (torch.Tensor.numpy, 0.0),
    "arrays of float64": (lambda t: t.double().numpy(), 0.0),
    "arrays of the other byte order": (lambda t: t.numpy().astype(t.numpy().dtype.newbyteorder()), 0.0),
    "arrays in Fortran's order": (lambda t: np.asfortranarray(t.numpy()), 0.0),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("change", "tolerance"), STORED.values(), ids=STORED)
def test_every_kind_of_tensor_becomes_the_models(change, tolerance, tmp_path, capfd):
    found, module = loaded(save(tmp_path, each(change)))
    assert all(tensor.layout == torch.strided and not tensor.is_quantized for tensor in found.values())
    holds(module, tolerance=tolerance)
    assert not capfd.readouterr().err


def test_buffers_that_a_state_dict_leaves_out_are_left_out_of_a_whole_module(tmp_path):
    class Noted(TinyTransformer):
        pass

    Noted.__qualname__ = "Noted"
    globals()["Noted"] = Noted
    model = Noted()
    model.register_buffer("cache", torch.ones(3), persistent=False)
    found, module = loaded(save(tmp_path, model))
    assert "cache" not in found
    holds(module)


NOT_WEIGHTS = {
    "integers": (each(torch.Tensor.int), "token is torch.int32, the model's torch.float32; save the weights as floating point"),
    "complex numbers": (each(lambda t: t.to(torch.complex64)), "token is torch.complex64"),
    "infinity": ({**STATE, "head.bias": torch.full((5,), torch.inf)}, "head.bias holds NaN or infinity"),
    "too large for the model": ({**STATE, "head.bias": torch.full((5,), 1e300, dtype=torch.float64)}, "NaN or infinity"),
    "no memory": (each(lambda t: t.to("meta")), "holds no tensors (keys: token, position"),
    "nothing": ({}, "holds no tensors (keys: none); expected a state dict"),
    "text": ("text", "holds a str; expected a state dict"),
    "a tensor": (torch.ones(3), "holds a Tensor; expected"),
    "a list": ([STATE], "holds a list; expected"),
    "names that no terminal should show": ({"\x1b[2J\u202e": {"a": 1}}, "holds no tensors (keys: \ufffd[2J\ufffd)"),
}


@pytest.mark.parametrize(("content", "message"), NOT_WEIGHTS.values(), ids=NOT_WEIGHTS)
def test_what_is_no_weights_is_refused(content, message, tmp_path):
    assert message in refused(save(tmp_path, content))


# --- hostile and damaged files ---------------------------------------------------------------------------------------


class Runs:
    """What a pickle runs when it is loaded."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


class Script:
    touch = staticmethod(lambda path: Path(path).touch())


class Called:
    """An attribute of a class, which a pickle reads and then calls."""

    def __init__(self, owner, name, *args) -> None:
        self.made = owner, name, args

    def __reduce_ex__(self, protocol):
        owner, name, args = self.made
        return Looked(owner, name), args


class Looked(Runs):
    """What is written as a look-up, where a pickler wants something that can be called."""

    def __init__(self, owner, name) -> None:
        super().__init__(getattr, owner, name)

    def __call__(self) -> None: ...


CODE = {
    "a system call": Runs(os.mkdir, "trap"),
    "a shell": Runs(os.system, "mkdir trap"),
    "a process": Runs(subprocess.Popen, ["mkdir", "trap"]),
    "an expression": Runs(eval, "__import__('os').mkdir('trap')"),
    "a statement": Runs(exec, "import os; os.mkdir('trap')"),
    "an attribute": Runs(getattr, Path, "mkdir"),
    "an attribute of a function of torch's": Runs(getattr, torch._utils._rebuild_tensor, "__globals__"),
    "an attribute of a class of torch's": Runs(getattr, torch.FloatStorage, "from_file"),
    "an attribute of a tensor": Runs(getattr, torch.ones(1), "numpy"),
    "an attribute of an attribute's reader": Runs(getattr, getattr, "__self__"),
    "an attribute of a module's name": Runs(getattr, "os", "system"),
    "an attribute of an object": Runs(getattr, Config(), "__class__"),
    "an attribute that is called": Called(Path, "touch", "trap"),
    "an attribute without a name": Runs(getattr, Config),
    "an attribute or something else": Runs(getattr, Config, "missing", Config),
    "an import": Runs(__import__, "trap"),
    "another pickle": Runs(pickle.loads, pickle.dumps(Runs(os.mkdir, "trap"))),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
def test_code_is_refused_and_not_run(code, legacy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused(save(tmp_path, {"model": STATE, "x": code}, _use_new_zipfile_serialization=not legacy))
    assert "refused, loading it would need more than tensors (" in message
    assert message.endswith("save model.state_dict() alone where it was made, best as .safetensors")
    assert not (tmp_path / "trap").exists()


def test_functions_of_other_packages_are_not_run(tmp_path, monkeypatch):
    """What takes their place does nothing, and so does what they would return."""
    monkeypatch.chdir(tmp_path)
    calls = [Runs(torch.hub.load, ".", "trap"), Runs(np.save, "trap.npy", np.ones(1)), Runs(torch.save, 1, "trap.pth")]
    calls += [Runs(getattr, np.memmap, "tofile"), Called(Script, "touch", "trap")]
    holds(loaded(save(tmp_path, {"model": STATE, "x": calls}))[1])
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_loads_side_by_side_leave_torch_as_it_was(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    path = save(tmp_path, {"model": STATE, "config": Config(), "array": np.ones(3)})
    errors = []

    def load():
        try:
            for _ in range(5):
                holds(loaded(path)[1])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert set(torch.serialization.get_safe_globals()) == before


def repacked(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """An archive of torch's with members changed or added."""
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w", compression) as new:
        (root,) = {name.partition("/")[0] for name in old.namelist()}
        for name in old.namelist():
            new.writestr(name, members.pop(name.partition("/")[2], old.read(name)))
        for name, added in members.items():
            new.writestr(f"{root}/{name}", added)
    path.write_bytes(content.getvalue())
    return path


LARGE = {
    "a tensor that repeats one number": lambda folder: save(folder, {"x": torch.zeros(1).expand(1 << 40)}),
    "a sparse tensor of nothing": lambda folder: save(
        folder, {"x": torch.sparse_coo_tensor(torch.zeros((2, 1), dtype=torch.long), torch.ones(1), (1 << 20, 1 << 20))}
    ),
    "many views of one tensor": lambda folder: save(folder, {str(i): torch.zeros(1).expand(1 << 12) for i in range(2000)}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_tensors_that_take_more_than_the_file_are_refused(make, tmp_path):
    assert f"its tensors take more than {MOST_GROWTH} times the room of the file" in refused(make(tmp_path))


def test_an_archive_that_unpacks_to_more_than_itself_is_refused(tmp_path):
    path = repacked(save(tmp_path, STATE), zipfile.ZIP_DEFLATED, bomb=bytes(1 << 24))
    assert "w.pth: unpacks to 16," in refused(path)


def test_a_mapping_that_holds_itself_ends(tmp_path):
    content = {"model": STATE}
    content["again"] = content
    holds(loaded(save(tmp_path, content))[1])


def test_mappings_that_share_mappings_end(tmp_path):
    """Each holds the one below it twice: 2**100 ways down."""
    inner: dict = {"model": STATE}
    for _ in range(100):
        inner = {"a": inner, "b": inner}
    holds(loaded(save(tmp_path, inner))[1])


def test_modules_that_share_modules_end(tmp_path):
    inner: nn.Module = nn.Identity()
    for _ in range(60):
        inner = nn.Sequential(inner, inner)
    assert "parameters and submodules; it is damaged" in refused(save(tmp_path, inner))


def test_a_pickle_of_countless_classes_is_refused(tmp_path):
    names = b"".join(b"cmod\nname%d\n0" % i for i in range(2000))
    path = repacked(save(tmp_path, STATE), **{"data.pkl": b"\x80\x02" + names + b"}."})
    assert "asks for 2,000 classes" in refused(path)


OTHER_KINDS = {
    "TorchScript": (lambda folder: torch.jit.trace(MODEL, torch.zeros(1, 2, 4, 4)).save(folder / "w"), "is TorchScript"),
    "an archive of arrays": (lambda folder: (folder / "w").write_bytes(archive()), "without weights of torch's in it"),
    "text": (lambda folder: (folder / "w").write_text("weights"), "unknown kind of weight file"),
    "nothing": (lambda folder: (folder / "w").touch(), "unknown kind of weight file"),
    "a directory": (lambda folder: (folder / "w").mkdir(), "is a directory; name the weight file in it"),
    "no file": (lambda folder: None, "no such weight file"),
    "a pickle": (lambda folder: (folder / "w").write_bytes(pickle.dumps(STATE)), "unknown kind of weight file"),
    "a pickle of protocol 2": (lambda folder: (folder / "w").write_bytes(pickle.dumps(STATE, 2)), "not a readable weight file"),
    "a newer protocol": (
        lambda folder: save(folder, STATE, "w", pickle_protocol=4),
        "Unsupported operand 149); save ",
    ),
}


def archive() -> bytes:
    content = io.BytesIO()
    np.savez(content, **{name: tensor.numpy() for name, tensor in STATE.items()})
    return content.getvalue()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("make", "message"), OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_other_kinds_of_files_are_refused(make, message, tmp_path):
    make(tmp_path)
    assert message in refused(tmp_path / "w")


def seeds() -> dict[str, bytes]:
    """Small files of every kind, with everything in them that a reader meets."""
    small = {"a.weight": torch.randn(4, 3), "s": torch.eye(4).to_sparse(), "h": torch.randn(3).half(), "n": torch.tensor(3)}
    rich = {"model": small, "args": Config(), "np": {"x": np.ones(3), "y": np.float64(1)}, "m": nn.Sequential(nn.Linear(2, 2))}
    made = {}
    for name, legacy in (("zip", False), ("legacy", True)):
        content = io.BytesIO()
        torch.save(rich, content, _use_new_zipfile_serialization=not legacy)
        made[name] = content.getvalue()
    return {**made, "safetensors": safetensors.torch.save({"a": torch.randn(4, 3), "b": torch.randn(3).half()})}


def damaged(content: bytes, r: random.Random) -> bytes:
    """With bytes changed, cut out or put in, or without an end; of an archive half of the time inside."""
    if content.startswith(b"PK") and r.random() < 0.5:
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
            for name in old.namelist():
                new.writestr(name, damaged(old.read(name), r) if name.endswith("data.pkl") else old.read(name))
        return packed.getvalue()
    changed, at = bytearray(content), r.randrange(len(content))
    match r.randrange(4):
        case 0:
            for _ in range(r.choice((1, 2, 8))):
                changed[r.randrange(len(changed))] = r.randrange(256)
        case 1:
            del changed[at:]
        case 2:
            del changed[at : at + r.randrange(1, 40)]
        case 3:
            changed[at:at] = r.randbytes(r.randrange(1, 20))
    return bytes(changed)


def campaign(count: int, folder: Path) -> None:
    torch.manual_seed(0)
    r, originals = random.Random(count), seeds()
    for _ in range(count):
        path = folder / "damaged"
        path.write_bytes(damaged(originals[r.choice(list(originals))], r))
        try:
            collections_in(path)
        except ModelError as error:
            assert str(error).isprintable()
    holds(loaded(save(folder, each(lambda t: t.to_sparse() if t.ndim == 2 else t)))[1])  # a good one is read after all that


def test_damaged_files_are_refused_in_one_line(tmp_path):
    campaign(300, tmp_path)


@pytest.mark.slow
def test_many_damaged_files_are_refused_in_one_line(tmp_path):
    campaign(5_000, tmp_path)


def test_a_header_longer_than_the_file_is_refused(tmp_path):
    (tmp_path / "w").write_bytes(struct.pack("<Q", 1 << 50) + b"{" + bytes(100))
    assert "unknown kind of weight file" in refused(tmp_path / "w")
