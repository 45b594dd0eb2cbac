"""Fixed point against float: top-1 after every step, and saturations; writes the table in docs/fixed_point.md.

    python -m benchmarks.train_vit_fashion DIR --out fashion.safetensors
    python -m docs.generate.fixed --idx DIR --weights fashion.safetensors

DIR holds the Fashion-MNIST idx files. Each model is converted with every preset, quantised for Loihi 2 (and with narrower
weights than its 8 bits, a scale for each output channel), and all programs run the same test samples on the torch engine, whose
integers are those of the reference. Rows of models that are not measured stay
as they are. All on one thread, as several round in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.subjects import Subject, arguments, parse, subjects
from docs.generate.documents import put_rows, table
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.quantization import quantize
from ecmt_deploy.report.units import accuracy as percent
from ecmt_deploy.simulation.run import simulate

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "fixed_point.md"
#: what fixed arithmetic is called with the chip's weights, and with narrower ones
WIDTHS = {"fixed": None, "fixed, 6-bit weights": 6, "fixed, 4-bit weights": 4}
#: steps of every preset; the published method answers nothing where activations are massive, float or fixed
STEPS = {"graded": 1, "accurate": 4, "paper": 4}
WITHOUT = {("Fashion-MNIST, planted outliers", "paper")}
BATCH, MOST_STEPS = 50, max(STEPS.values())
HEAD = table(
    [
        "model",
        "preset",
        "samples",
        "arithmetic",
        *(f"T = {t}" for t in range(1, MOST_STEPS + 1)),
        "agree at the last",
        "saturations",
    ],
    [],
)


def main() -> None:
    """Measure and write."""
    options = parse(arguments(__doc__, 2000))
    torch.set_num_threads(1)
    lines = [line for subject in subjects(options) for line in rows_of(subject, options.samples, presets_of(subject))]
    print("\n".join([*HEAD, *lines]))
    put_rows(DOCUMENT, "fixed", HEAD, lines, "| ")


def presets_of(subject: Subject) -> list[str]:
    """The presets that a model is converted with."""
    return [preset for preset in STEPS if (subject.name, preset) not in WITHOUT]


def rows_of(subject: Subject, samples: int, presets: Sequence[str]) -> list[str]:
    """Lines of every preset: float, and fixed with how often both choose the same class and how many integers were clipped."""
    calibration, x, labels = subject.arrays(samples)

    def line(preset: str, arithmetic: str, classes: np.ndarray, *more: str) -> str:
        top1 = [percent(float((c == labels.numpy()).mean()), len(x)) for c in classes]
        top1 += [""] * (MOST_STEPS - len(classes))
        return f"| {' | '.join([subject.name, preset, str(len(x)), arithmetic, *top1, *more])} |"

    lines = []
    for preset in presets:
        steps = STEPS[preset]
        spiking = convert(subject.model.module, calibration, ConvertConfig(preset=preset, timesteps=steps))
        exact = np.concatenate([spiking(part, steps).numpy() for part in x.split(BATCH)], axis=1).argmax(-1)
        lines.append(line(preset, "float", exact, "", ""))
        for arithmetic, bits in WIDTHS.items():
            run = simulate(quantize(spiking.program, weight_bits=bits), x.numpy(), "torch", steps, "fixed")
            fixed = run.outputs.argmax(-1)
            clipped = sum(counts.saturations for _, counts in run.activity.items())
            agree = percent(float((fixed[-1] == exact[-1]).mean()), len(x))
            lines.append(line(preset, arithmetic, fixed, agree, str(clipped)))
        print(f"{subject.name}, {preset}: done", flush=True)
    return lines


if __name__ == "__main__":
    main()
