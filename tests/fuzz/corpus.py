"""Good files of every format, small and quick to read, in ``CORPUS/cases/FORMAT/VARIANT``, and what readers need besides.

They are the same bytes wherever and whenever they are made, so that a seed is the same case.
"""

from __future__ import annotations

import gzip
import io
import re
import shutil
import zipfile
from dataclasses import replace
from importlib import resources
from pathlib import Path

import h5py
import msgspec
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from docs.generate.fixed_vector import quantised
from docs.generate.format_vector import small
from ecmt_deploy.evaluation.checkpoints import Checkpoint, Origin, checkpoint_path, write_checkpoint
from ecmt_deploy.evaluation.score import Score
from ecmt_deploy.files import sha256
from ecmt_deploy.program import Program, ops, write
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.runs.directory import save_run
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.traces import NodeTrace, Trace
from ecmt_deploy.testing.handmade import every_node


def make(corpus: Path) -> Path:
    """Everything, below ``corpus``, which is there."""
    with h5py.File(corpus / "outside.h5", "w") as file:
        file["x"] = np.arange(1000.0)
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    npz(corpus / "data.npz", x=x, y=np.arange(3))
    pictured = every_node("differential")
    taken = Preprocessing((2, 4, 4), (0.0, 0.0), (1.0, 1.0))
    pictured = replace(pictured, provenance=msgspec.structs.replace(pictured.provenance, preprocessing=taken))
    write(pictured, corpus / "program.nir")
    run(corpus / "run", small("differential"), x[:, 0, 0, :3], "array", 2)

    cases = corpus / "cases"
    for name, program in programs().items():
        write(program, new(cases / "program" / name) / "p.nir")
    shutil.copytree(corpus / "run", new(cases / "run") / "one")
    sweep = new(cases / "sweep" / "one" / "program")
    (sweep.parent / "sweep.json").write_text("{}")
    for t in (1, 2):
        run(sweep / f"T{t}", pictured, x, "npz:data.npz", t, corpus / "program.nir")
    parts(new(cases / "parts" / "one"))
    for name in ("loihi2", "horowitz45"):
        chip = (resources.files("ecmt_deploy.hw_configs") / f"{name}.toml").read_bytes()
        (new(cases / "chip" / name) / "chip.toml").write_bytes(chip)
    npz(new(cases / "npz" / "plain") / "a.npz", x=x, y=np.arange(3), x_train=x, y_train=np.arange(3))
    npz(new(cases / "npz" / "packed") / "a.npz", zipfile.ZIP_DEFLATED, x=x, y=np.arange(3, dtype=np.uint8))
    idx(new(cases / "idx" / "plain"), new(cases / "idx" / "packed"))
    images(cases / "images")
    weights(cases / "weights")
    return corpus


def new(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def programs() -> dict[str, Program]:
    """Small ones, so that thousands are quick, and one with every type of node."""
    made = {f"small-{coding}": small(coding) for coding in ("rate", "differential")}
    made |= {f"integer-{coding}": quantised(coding) for coding in ("rate", "differential")}
    made["integer-graded"] = quantised("differential", ops.Graded(np.array(0.11), 6, np.array(2)))
    return made | {"every": every_node("rate")}


def run(path: Path, program: Program, x: np.ndarray, data: str, steps: int, file: Path | None = None) -> None:
    """A run with probes, and a trace of its program."""
    probes = [program.neurons[0], f"{program.neurons[-1]}:membrane"]
    done = simulate(program, x, "reference", steps, probes=probes)
    shares = [1 / len(x)] * steps
    record = RunRecord(
        tool_version="0", target="reference", precision="float", dtype="float64", timesteps=steps, n_samples=len(x), data=data,
        program_sha256=sha256(file) if file else "", provenance=program.provenance, accuracy=shares, analog_accuracy=1 / len(x),
        agreement=shares, labels="name",
    )  # fmt: skip
    record = save_run(path, record, done, program, file).record
    nodes = tuple(NodeTrace(name, "x", (0.5,) * steps) for name in program.nodes)
    trace = Trace(len(x), steps, program.coding, nodes, record.program_sha256, data)
    (path / "trace.json").write_bytes(msgspec.json.encode(trace))


def parts(folder: Path) -> None:
    """Both parts of an evaluation of 4 samples."""
    origin = Origin("0" * 64, "m", "digits", "1" * 64, 4, 2, 2, "float32", "cpu", 1 << 30, False, "0", "2")
    activity = Activity(2, 2, {"a": Counts(spikes=3, synops=6), "b": Counts(macs=8, ecm_ops={"gelu": 4})})
    score = Score(activity, (1, 2), (2, 2), 1, cosine=({9876: 2}, {9990: 2}), relative_error=({2000: 1, 3000: 1}, {500: 2}))
    for index in (1, 2):
        checkpoint = Checkpoint(index, 2, origin, 1, score)
        write_checkpoint(checkpoint_path(folder, checkpoint), checkpoint)


def npz(path: Path, compression: int = zipfile.ZIP_STORED, **arrays: np.ndarray) -> None:
    """What ``numpy.savez`` writes, without the time."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), compression)


def idx(plain: Path, packed: Path) -> None:
    """MNIST's files, and the same gzipped."""
    rng = np.random.default_rng(0)
    for prefix, n in (("train", 5), ("t10k", 4)):
        sizes = b"".join(size.to_bytes(4, "big") for size in (n, 6, 6))
        pixels = rng.integers(0, 256, (n, 6, 6), dtype=np.uint8).tobytes()
        files = {"images-idx3": b"\0\0\x08\x03" + sizes + pixels, "labels-idx1": b"\0\0\x08\x01" + sizes[:4] + bytes(range(n))}
        for kind, content in files.items():
            (plain / f"{prefix}-{kind}-ubyte").write_bytes(content)
            (packed / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, mtime=0))


def images(root: Path) -> None:
    """A picture in every format, of several modes."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm"):
        picture.save(new(root / suffix) / f"a.{suffix}")
    picture.save(new(root / "progressive") / "a.jpg", progressive=True, quality=90)
    picture.save(new(root / "packed") / "a.tif", compression="tiff_lzw")
    picture.convert("P").save(new(root / "palette") / "a.png")
    picture.convert("RGBA").save(new(root / "lossless") / "a.webp", lossless=True)


def weights(root: Path) -> None:
    """A state dict in every kind of file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)).state_dict()
    save_file(state, new(root / "safetensors") / "w.safetensors")
    torch.save({"state_dict": state, "epoch": 3}, new(root / "zip") / "zip.pth")
    legacy = new(root / "legacy") / "w.pth"
    # in the old format a tensor's memory is named by its address: one for all, and another name for it
    parts = torch.cat([value.flatten().float() for value in state.values()]).split([value.numel() for value in state.values()])
    views = {name: part.view(value.shape) for (name, value), part in zip(state.items(), parts, strict=True)}
    torch.save(views, legacy, _use_new_zipfile_serialization=False)
    legacy.write_bytes(re.sub(rb"\d{12,16}", lambda address: b"7" * len(address[0]), legacy.read_bytes()))
