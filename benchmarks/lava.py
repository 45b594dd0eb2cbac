"""What a Lava network costs beside the reference target, measured in one run; writes the table in docs/lava.md.

    python -m benchmarks.lava [MODEL ...]

Models: digits (bundled), and ViT-Tiny, ViT-Small and ViT-Base of timm at 224 px with random weights (what they compute
takes as long). Both targets run the same program on the same samples for T = 4 steps in float64. Memory is measured in a
run of its own, of one sample: the proportional set sizes of all processes of the network, summed, at their largest.
"""

from __future__ import annotations

import argparse
import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from docs.generate.documents import put
from ecmt_deploy import models
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.program import Program
from ecmt_deploy.simulation.run import simulate

DOCUMENT = Path(__file__).parent.parent / "docs" / "lava.md"
TIMESTEPS, CALIBRATION_SAMPLES = 4, 4
POLL_SECONDS = 1.0
#: model by the name in the table, and samples of the timed run
MODELS = {
    "digits": ("zoo:vit_digits", 32),
    "ViT-Tiny": ("vit_tiny_patch16_224", 8),
    "ViT-Small": ("vit_small_patch16_224", 4),
    "ViT-Base": ("vit_base_patch16_224", 1),
}


@dataclass(frozen=True)
class Row:
    """One model; seconds and bytes."""

    model: str
    samples: int
    nodes: int
    processes: int
    build: float
    lava: float
    reference: float
    memory: int


def program(
    name: str, calibration_samples: int = CALIBRATION_SAMPLES, preset: str = "paper", timesteps: int = TIMESTEPS
) -> Program:
    """A converted model: the bundled one, or one of timm with random weights."""
    if name.startswith("zoo:"):
        module = models.load(name).module
        shape: tuple[int, ...] = (1, 8, 8)
    else:
        import timm

        timm.layers.set_fused_attn(False)
        torch.manual_seed(0)
        module, shape = timm.create_model(name, pretrained=False).eval(), (3, 224, 224)
    x = torch.randn(calibration_samples, *shape, generator=torch.Generator().manual_seed(1))
    return convert(module, x, ConvertConfig(preset=preset, timesteps=timesteps)).program


def descendants() -> list[int]:
    """Processes below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = list(children.get(int(Path("/proc/self").readlink().name), []))
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def proportional_bytes(pids: list[int]) -> int:
    """Memory of processes, what they share counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def peak_memory(made: Program, x: np.ndarray) -> int:
    """Largest memory of the network of ``made`` in a run of ``x``."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(POLL_SECONDS):
            peak = max(peak, proportional_bytes(descendants()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        simulate(made, x, "lava", TIMESTEPS)
    finally:
        done.set()
        watcher.join()
    return peak


def measure(label: str) -> Row:
    """Both targets on the same samples."""
    name, samples = MODELS[label]
    made = program(name)
    x = np.random.default_rng(0).normal(size=(samples, *made.input_shape)).astype(np.float32)
    steps = samples * TIMESTEPS
    reference, lava = (simulate(made, x, target, TIMESTEPS) for target in ("reference", "lava"))
    assert lava.activity == reference.activity
    assert None not in (lava.build_seconds, lava.run_seconds, reference.run_seconds, lava.processes)
    return Row(
        label, samples, sum(node.role != "movement" for node in made.nodes.values()), lava.processes, lava.build_seconds,
        lava.run_seconds / steps, reference.run_seconds / steps, peak_memory(made, x[:1]),
    )  # fmt: skip


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    heads = (
        "model", "samples", "nodes", "processes", "build, s", "Lava, ms a step", "reference, ms a step", "Lava / reference",
        "memory, GB",
    )  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for r in rows:
        lines.append(
            f"| {r.model} | {r.samples} | {r.nodes} | {r.processes} | {r.build:.1f} | {1000 * r.lava:.0f} | "
            f"{1000 * r.reference:.0f} | {r.lava / r.reference:.2f} | {r.memory / 2**30:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; all by default")
    chosen = parser.parse_args().models or list(MODELS)
    rows = []
    for label in chosen:
        rows.append(measure(label))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    put(DOCUMENT, "lava", [table(rows)])


if __name__ == "__main__":
    main()
