"""ViTs at 224 px on every chip: where they fit, what an inference costs, or the exact reason why not; the table in README.md.

    python -m benchmarks.chips [MODEL ...]

Models: ViT-Tiny, ViT-Small and ViT-Base of timm (all by default) with random weights, preset ``paper``, T = 4: placement does
not depend on the weights, events do, so the energies of a trained model differ from these with its events per MAC. Counts are
those of the torch engine on two random images. Where a program does not fit, the first obstacle is given whole.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.documents import put
from benchmarks.lava import program
from ecmt_deploy.chips import available, hardware
from ecmt_deploy.graph import Program
from ecmt_deploy.placement import Placement, place
from ecmt_deploy.pricing import Energy, bound_mark, energy
from ecmt_deploy.simulation import simulate

DOCUMENT = Path(__file__).parent.parent / "README.md"
TIMESTEPS, SAMPLES = 4, 2
MODELS = {
    "ViT-Tiny": "vit_tiny_patch16_224",
    "ViT-Small": "vit_small_patch16_224",
    "ViT-Base": "vit_base_patch16_224",
}
HEADS = ("model", "chip", "cores", "chips", "energy, mJ", "without a price", "latency, ms", "why it does not fit")


def measure(label: str, made: Program) -> list[str]:
    """Rows of one model, a chip each."""
    x = np.random.default_rng(0).normal(size=(SAMPLES, *made.input_shape)).astype(np.float32)
    activity = simulate(made, x, "torch", TIMESTEPS).activity
    rows = []
    for name in available():
        chip = hardware(name)
        begun = time.process_time()
        placed = place(made, chip)
        seconds = time.process_time() - begun
        rows.append(_row(label, energy(activity, made, chip, placed), placed))
        print(f"{rows[-1]}   (placed in {seconds:.1f} s)", flush=True)
    return rows


def _row(label: str, result: Energy, placed: Placement) -> str:
    if result.obstacles:
        others = len(result.obstacles) - 1
        cells = ["", "", "", "", "", result.obstacles[0] + (f" (and {others} more)" if others else "")]
    else:
        limits = any(use.limit is not None for unit in placed.units for use in unit.use.values())
        timing = result.timing
        cells = [
            f"{result.cores:,}" if limits else "no limits",
            "unknown" if result.chips is None else f"{result.chips:,}",
            f"{bound_mark(result.bounds)}{result.total_pj.value * 1e-9:,.3g}",
            ", ".join(sorted({count.partition(".")[0] for count in result.unpriced})),
            "unknown" if timing is None else f"{'≥ ' if timing.unknown else ''}{timing.latency_us.value / 1000:,.3g}",
            "",
        ]
    return f"| {' | '.join((label, result.hardware, *cells))} |"


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; all by default")
    chosen = parser.parse_args().models or list(MODELS)
    rows = [row for label in chosen for row in measure(label, program(MODELS[label], SAMPLES))]
    table = [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}", *rows]
    put(DOCUMENT, "chips", table)


if __name__ == "__main__":
    main()
