"""Whole models and a block on the cores of a chip, beside the reference; writes the table in docs/cores.md.

    python -m benchmarks.cores [MODEL ...]

Models: the bundled model with every preset on loihi2, and with preset paper on loihi1_sanafe, whose mesh is known and whose
spikes carry nothing (so that it does not fit, and runs all the same); and the first block of timm's ViT-Tiny at 224 px with its
patch embedding and a head, random weights. Every stream of spikes, readout and count must equal the reference's. Memory is the
largest resident set of a process of its own, which has converted and quantised the program, too.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from docs.generate.documents import put_rows, table
from ecmt_deploy import convert, data, models
from ecmt_deploy.chips import Hardware
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.door import as_chip
from ecmt_deploy.placement import place
from ecmt_deploy.program import Program
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Probe
from ecmt_deploy.targets.cores import CoresTarget
from ecmt_deploy.testing import differences

DOCUMENT = Path(__file__).parent.parent / "docs" / "cores.md"
CALIBRATION_SAMPLES = 16
HEADS = (
    "model", "chip", "samples, T", "cores", "steps of the chip", "fullest core", "its events in a step", "mean of its step",
    "differences", "build, s", "run, s", "reference, s", "memory, GB",
)  # fmt: skip


class Case(NamedTuple):
    """A program on a chip.

    Attributes
    ----------
    model, preset, chip : what is converted how and for what
    samples : how many run
    """

    model: str
    preset: str
    chip: str
    samples: int


CASES = {
    "digits, accurate": Case("digits", "accurate", "loihi2", 2),
    "digits, graded": Case("digits", "graded", "loihi2", 2),
    "digits, paper": Case("digits", "paper", "loihi2", 2),
    "digits, paper, binary spikes": Case("digits", "paper", "loihi1_sanafe", 2),
    "ViT-Tiny, one block, accurate": Case("block", "accurate", "loihi2", 1),
}


class Row(msgspec.Struct):
    """What was measured; seconds and bytes, events of an inference."""

    name: str
    chip: str
    samples: int
    timesteps: int
    cores: int
    steps: int
    fullest: int
    events: float
    mean: float
    differing: int
    build: float
    run: float
    reference: float
    memory: int


def program(case: Case, chip: Hardware) -> tuple[Program, np.ndarray]:
    """An integer program and samples for it."""
    torch.set_num_threads(1)
    config = ConvertConfig(preset=case.preset)
    if case.model == "digits":
        made = convert("zoo:vit_digits", "digits", config, calibration_samples=CALIBRATION_SAMPLES).program
        loaded = models.load("zoo:vit_digits")
        x = data.open("digits", preprocessing=loaded.preprocessing, split="test").take(range(case.samples)).arrays()[0]
    else:
        import timm

        timm.layers.set_fused_attn(False)
        torch.manual_seed(0)
        module = timm.create_model("vit_tiny_patch16_224", pretrained=False, depth=1, num_classes=10).eval()
        drawn = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(5))
        made, x = convert(module, drawn, config).program, drawn[: case.samples].numpy()
    payload = chip.limits.graded_payload_bits
    widths = None if payload is not None and payload.value == 1 else chip  # binary spikes have no payload to quantise to
    return quantize(made, widths, made.timesteps), np.asarray(x)


def measure(name: str) -> Row:
    """A case, in this process."""
    case = CASES[name]
    chip = as_chip(case.chip)
    made, x = program(case, chip)
    probes = [Probe(neuron, "spikes") for neuron in made.neurons]
    begun = time.perf_counter()
    expected = simulate(made, x, "reference", None, "fixed", probes=probes)
    reference = time.perf_counter() - begun
    run = simulate(made, x, CoresTarget(), None, "fixed", hardware=chip, probes=probes, allow_misfit=True)
    placement, loads = place(made, chip), run.loads
    assert loads is not None
    assert loads.cores == placement.cores, "the cores that ran are those of the placement"
    assert run.build_seconds is not None
    assert run.run_seconds is not None
    events = loads.events / loads.samples
    step, core = (int(i) for i in np.unravel_index(events.argmax(), events.shape))
    unit = next(u for u in placement.units if u.first_core <= core < u.first_core + u.cores)
    beside = events[step, unit.first_core : unit.first_core + unit.cores].mean()
    return Row(
        name, case.chip, case.samples, made.timesteps, loads.cores, loads.steps, core, float(events.max()), float(beside),
        len(list(differences(made, run, expected))), run.build_seconds, run.run_seconds, reference,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )  # fmt: skip


def cells(row: Row) -> list[str]:
    """A row of the table."""
    return [
        row.name, f"`{row.chip}`", f"{row.samples}, {row.timesteps}", f"{row.cores:,}", str(row.steps), str(row.fullest),
        f"{row.events:,.0f}", f"{row.mean:,.0f}", str(row.differing), f"{row.build:.1f}", f"{row.run:.1f}",
        f"{row.reference:.1f}", f"{row.memory / 2**30:.1f}",
    ]  # fmt: skip


def main() -> None:
    """Measure each in a process of its own, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {'; '.join(CASES)}; all by default")
    parser.add_argument("--here", action="store_true", help="measure one model in this process, and print it as JSON")
    options = parser.parse_args()
    if options.here:
        sys.stdout.buffer.write(msgspec.json.encode(measure(options.models[0])))
        return
    lines = []
    for name in options.models or CASES:
        command = [sys.executable, "-m", "benchmarks.cores", name, "--here"]
        printed = subprocess.run(command, check=True, capture_output=True).stdout
        row = msgspec.json.decode(printed.splitlines()[-1], type=Row)
        (line,) = table(HEADS, [cells(row)])[2:]
        print(line)
        lines.append(line)
    put_rows(DOCUMENT, "cores", table(HEADS, []), lines, "| ")


if __name__ == "__main__":
    main()
