"""Streams on Lava beside the reference: counts of every node and frame, and time per frame; writes a table in docs/lava.md.

    python -m benchmarks.lava_streams [MODEL ...]

Models: digits (bundled), float and in integers, and ViT-Tiny of timm at 98 px, patch 14, with random weights. Each runs a
clip of 50 frames, an object over a ground, one step a frame, in float64 or its integers. Time per frame leaves out building the
network: it is that of all frames over that of the first two.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from docs.generate.documents import put, table
from ecmt_deploy import data, models
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.program import Program
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.simulation.target import Run

DOCUMENT = Path(__file__).parent.parent / "docs" / "lava.md"
FRAMES, FIRST = 50, 2
BUNDLED, TINY = "digits", "ViT-Tiny, 98 px"
#: model and precision
MODELS = {BUNDLED: "float", f"{BUNDLED}, integers": "fixed", TINY: "float"}


def program(label: str) -> tuple[Program, np.ndarray]:
    """A converted model, and a clip for it."""
    if label.startswith(BUNDLED):
        model = models.load("zoo:vit_digits")
        drawn = data.calibration("digits", preprocessing=model.preprocessing, n_samples=32, n_classes=10)
        module, x, preprocessing = model.module, torch.from_numpy(drawn.x), model.preprocessing
    else:
        import timm

        timm.layers.set_fused_attn(False)
        torch.manual_seed(0)
        module = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=98, patch_size=14, num_classes=10).eval()
        x = torch.randn(4, 3, 98, 98, generator=torch.Generator().manual_seed(1))
        preprocessing = Preprocessing(input_size=(3, 98, 98), mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")
    clip = data.open_clip("made:object", preprocessing, FRAMES).array()
    return convert(module, x, ConvertConfig("graded")).program, clip


def timed(made: Program, clip: np.ndarray, target: str, precision: str) -> tuple[Run, float]:
    """A run of the clip, and seconds a frame."""
    seconds = []
    for frames in (clip[:FIRST], clip):
        begun = time.perf_counter()
        run = stream(made, frames, target, precision=precision, dtype="float64")
        seconds.append(time.perf_counter() - begun)
    return run, (seconds[1] - seconds[0]) / (len(clip) - FIRST)


def measure(label: str) -> tuple[str, ...]:
    """Both targets on the same clip."""
    made, clip = program(label)
    (lava, slow), (reference, quick) = (timed(made, clip, target, MODELS[label]) for target in ("lava", "reference"))
    assert lava.frames is not None
    assert reference.frames is not None
    if not np.array_equal(lava.frames.rows, reference.frames.rows):
        raise AssertionError(f"{label}: counts differ; the conformance suite says where")
    apart = float(np.abs(lava.outputs - reference.outputs).max())
    events = reference.frames.events_per_mac[1:].mean()
    return (
        label, str(len(clip)), f"{events:.3g}", "equal", f"{apart:.1g}", f"{1000 * slow:.0f}", f"{1000 * quick:.0f}",
        f"{slow / quick:.2f}",
    )  # fmt: skip


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {'; '.join(MODELS)}; all by default")
    rows = []
    for label in parser.parse_args().models or list(MODELS):
        rows.append(measure(label))
        print(" | ".join(rows[-1]), flush=True)
    heads = (
        "model", "frames", "events per MAC", "counts of every node and frame", "readouts apart by", "Lava, ms a frame",
        "reference, ms a frame", "Lava / reference",
    )  # fmt: skip
    put(DOCUMENT, "lava-streams", table(heads, rows))


if __name__ == "__main__":
    main()
