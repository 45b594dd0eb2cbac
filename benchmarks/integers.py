"""Integer programs beside float programs on the torch engine; writes the tables "integers" and "integer nodes" in
docs/performance.md.

    python -m benchmarks.integers [--preset accurate|graded] [--programs DIR]

ViT-S/16 of timm at 224 px with random weights, converted for T = 4 on four random samples, a batch of 4, all counts included.
The float engine computes in float32, neurons operation by operation, as evaluate does by default; the integer engine runs the
integer program of the same float program for loihi2. Both take turns in one run; figures are seconds of one thread of the
processor, of which others on the machine take none away, and a ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.lava import program
from benchmarks.speed import DOCUMENT, MODEL, images, kind
from docs.generate.documents import put
from ecmt_deploy.config import Execution
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.engine.integer.gemm import int8_is_fast_and_exact
from ecmt_deploy.program import write
from ecmt_deploy.quantization import quantize

PRESETS, TIMESTEPS, BATCH, ROUNDS, CALIBRATION_SAMPLES = ("accurate", "graded"), 4, 4, 5, 4
#: groups of nodes that take less than this share of the network's time are left out
LEAST = 0.02


def seconds(model: SpikingModel, x: torch.Tensor, rounds: dict[str, list[float]] | None = None) -> float:
    """Seconds of a run with counts; with ``rounds`` also those of every kind of node."""
    begun = time.process_time()
    if rounds is None:
        model.count(x, TIMESTEPS)
        return time.process_time() - begun
    taken: dict[str, float] = {}
    for op in model.ops:

        def timed(*arguments, op=op, original=op.forward):
            start = time.process_time()
            result = original(*arguments)
            taken[kind(op)] = taken.get(kind(op), 0.0) + time.process_time() - start
            return result

        object.__setattr__(op, "forward", timed)
    model.count(x, TIMESTEPS)
    for op in model.ops:
        object.__delattr__(op, "forward")
    whole = time.process_time() - begun
    for name, share in {**taken, "counting": whole - sum(taken.values())}.items():
        rounds.setdefault(name, []).append(share)
    return whole


def measure(preset: str, path: Path) -> tuple[str, list[str]]:
    """A row of the first table, and rows of the second."""
    floats = load(path)
    integers = SpikingModel(quantize(floats.program, None, TIMESTEPS))
    x = images(BATCH)
    for model in (floats, integers):
        model.use(Execution())
        seconds(model, x)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for model, found in zip((floats, integers), taken, strict=True):
            found.append(seconds(model, x))
    middle = [statistics.median(found) for found in taken]
    ratios = sorted(b / a for a, b in zip(*taken, strict=True))
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    row = f"| {preset} | {middle[0]:.2f} | {middle[1]:.2f} | **{middle[1] / middle[0]:.2f}** | {spread} |"
    print(row, flush=True)
    shares: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    for model, found in zip((floats, integers), shares, strict=True):
        for _ in range(3):
            seconds(model, x, found)
    own = [{name: statistics.median(times) / middle[0] for name, times in found.items()} for found in shares]
    names = sorted(set(own[0]) | set(own[1]), key=lambda name: -own[1].get(name, 0.0))
    rows = []
    for name in names:
        both = [found.get(name, 0.0) for found in own]
        if max(both) >= LEAST:
            rows.append(f"| {preset} | {name} | {both[0]:.2f} | {both[1]:.2f} |")
            print(rows[-1], flush=True)
    return row, rows


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, action="append", help="all unless said; may be given again")
    parser.add_argument("--programs", type=Path, help="directory to keep the converted programs in, and to find them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    speed, nodes = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for preset in arguments.preset or PRESETS:
            path = (arguments.programs or Path(temporary)) / f"{MODEL}-{preset}-T{TIMESTEPS}.nir"
            if not path.exists():
                write(program(MODEL, CALIBRATION_SAMPLES, preset, TIMESTEPS), path)
            row, rows = measure(preset, path)
            speed.append(row)
            nodes += rows
    processor = "with" if int8_is_fast_and_exact() else "without"
    head = ["| preset | float engine, s | integer engine, s | ratio | of single rounds |", "|---|---|---|---|---|"]
    said = f"T = {TIMESTEPS}, batch {BATCH}, one thread of a CPU {processor} instructions for int8:"
    put(DOCUMENT, "integers", [said, "", *head, *speed])
    columns = ["| preset | kind of node | float engine | integer engine |", "|---|---|---|---|"]
    put(DOCUMENT, "integer nodes", [*columns, *nodes])


if __name__ == "__main__":
    main()
