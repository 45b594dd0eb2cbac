"""Fixed point against float: top-1 after every step, and saturations; writes the tables in docs/fixed_point.md and the README.

    python -m benchmarks.train_vit_fashion DIR --out fashion.safetensors
    python -m docs.generate.fixed --idx DIR --weights fashion.safetensors

DIR holds the Fashion-MNIST idx files. Each model is converted with both presets, quantised for Loihi 2, and both programs run
the same test samples: the float program on the torch engine, the integer program on the reference target. Rows of models that
are not measured stay as they are. All on one thread, as several round in another order.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.planted import plant
from benchmarks.train_vit_fashion import ARCHITECTURE, MODEL_ARGS
from docs.generate.documents import put_rows, table
from ecmt_deploy import data, models
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.quantization import quantize
from ecmt_deploy.report.units import accuracy as percent
from ecmt_deploy.simulation.run import simulate

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "docs" / "fixed_point.md", ROOT / "README.md")
STEPS, BATCH = 4, 50


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idx", type=Path, help="directory with the Fashion-MNIST idx files; without it, digits only")
    parser.add_argument("--weights", type=Path, help="what train_vit_fashion wrote")
    parser.add_argument("--samples", type=int, default=1000, help="test samples, at most")
    options = parser.parse_args()
    if (options.idx is None) != (options.weights is None):
        parser.error("--idx and --weights go together")
    torch.set_num_threads(1)
    lines = rows_of("digits", models.load("zoo:vit_digits"), "digits", options.samples, ("accurate", "paper"))
    if options.idx:
        spec = f"idx:{options.idx}"
        model = models.load(ARCHITECTURE, options.weights, MODEL_ARGS)
        lines += rows_of("Fashion-MNIST", model, spec, options.samples, ("accurate", "paper"))
        plant(model.module)
        lines += rows_of("Fashion-MNIST, planted outliers", model, spec, options.samples, ("accurate",))
    steps = [f"T = {t}" for t in range(1, STEPS + 1)]
    head = table(["model", "preset", "samples", "arithmetic", *steps, f"agree at T = {STEPS}", "saturations"], [])
    print("\n".join([*head, *lines]))
    for document in DOCUMENTS:
        put_rows(document, "fixed", head, lines, "| ")


def rows_of(name: str, model: Any, spec: str, samples: int, presets: tuple[str, ...]) -> list[str]:
    """Two lines per preset: float, and fixed with how often both choose the same class and how many integers were clipped."""
    drawn = data.calibration(spec, preprocessing=model.preprocessing, n_samples=64, n_classes=model.n_outputs)
    chosen = data.evaluation(
        spec, preprocessing=model.preprocessing, exclude=drawn.record, limit=samples, n_classes=model.n_outputs
    )
    x, labels = chosen.arrays()
    lines = []
    for preset in presets:
        spiking = convert(model.module, torch.from_numpy(drawn.x), ConvertConfig(preset=preset, timesteps=STEPS))
        parts = torch.from_numpy(x).split(BATCH)
        exact = np.concatenate([spiking(part, STEPS).numpy() for part in parts], axis=1).argmax(-1)
        run = simulate(quantize(spiking.program), x, "reference", STEPS, "fixed")
        fixed = run.outputs.argmax(-1)
        clipped = sum(counts.saturations for _, counts in run.activity.items())
        agree = percent(float((fixed[-1] == exact[-1]).mean()), len(x))
        for arithmetic, classes, more in (("float", exact, ["", ""]), ("fixed", fixed, [agree, str(clipped)])):
            top1 = [percent(float((c == labels).mean()), len(x)) for c in classes]
            lines.append(f"| {' | '.join([name, preset, str(len(x)), arithmetic, *top1, *more])} |")
        print(f"{name}, {preset}: done", flush=True)
    return lines


if __name__ == "__main__":
    main()
