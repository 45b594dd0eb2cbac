"""The torch engine beside one forward pass of the network it came from; writes the tables "speed" and "nodes" in
docs/performance.md.

    python -m benchmarks.speed [--eager] [--preset accurate|paper|graded]

ViT-S/16 of timm at 224 px with random weights, a batch of 4, float32, two threads, counts included, neurons as fused kernels
(--eager: without; prints only). Network and program take turns; a ratio is that of the medians, the spread that of the
quartiles of the program's times. A graded program is converted for T = 1 and measured there, with counts and without; how long
each conversion takes beside that with preset accurate is printed, where no program was kept. Peak memory is the largest
resident set of a process of its own, at a batch of 16.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.lava import program
from docs.generate.documents import put
from ecmt_deploy.config import Execution
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.program import write

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
MODEL, THREADS, BATCH, ROUNDS, MEMORY_BATCH = "vit_small_patch16_224", 2, 4, 7, 16
TIMESTEPS = (1, 2, 4, 8)
PRESETS = ("accurate", "paper", "graded")
CALIBRATION_SAMPLES = 8


def network() -> nn.Module:
    """The network, as timm makes it."""
    import timm

    timm.layers.set_fused_attn(True)  # its default, which a conversion in this process has changed
    torch.manual_seed(0)
    return timm.create_model(MODEL, pretrained=False).eval()


def images(batch: int) -> torch.Tensor:
    """Random images."""
    return torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(5))


def alternating(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of both, taking turns; each is run once before."""
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, seconds, turns in ((first, times[0], 3), (second, times[1], 1)):
            for _ in range(turns):
                begun = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - begun)
    return times


def kind(op: Any) -> str:
    """What kind of node, as the table names it."""
    return str(getattr(op.node, "function", type(op).__name__))


def shares(model: SpikingModel, x: torch.Tensor, steps: int) -> dict[str, float]:
    """Seconds of one run by kind of node, counting by itself."""
    taken: dict[str, float] = defaultdict(float)

    def timed(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            begun = time.perf_counter()
            result = original(*arguments)
            taken[name] += time.perf_counter() - begun
            return result

        return run

    for op in model.ops:
        object.__setattr__(op, "forward", timed(kind(op), op.forward))
    object.__setattr__(model.runner, "count", timed("counting", model.runner.count))
    rounds = 3
    for _ in range(rounds):
        model.count(x, steps)
    for op in model.ops:
        object.__delattr__(op, "forward")
    object.__delattr__(model.runner, "count")
    return {name: seconds / rounds for name, seconds in taken.items()}


def products(model: SpikingModel, x: torch.Tensor, steps: int) -> float:
    """Seconds of the floor: the matrix products of one run, and nothing else, on operands of their shapes."""
    runs = []
    for name, op in zip(model.program.nodes, model.ops, strict=True):
        shapes = [model.program.shapes[source] for source in model.program.operands[name]]
        if type(op).__name__ == "Linear" and not op.encoding:
            a, w = torch.randn(steps, len(x), *shapes[0]), op.weight
            runs.append(lambda a=a, w=w: torch.nn.functional.linear(a, w))
        elif getattr(op, "matmul", False):
            a, b = (torch.randn(steps, len(x), *shape) for shape in shapes)
            runs.append(lambda a=a, b=b: a @ b)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        for run in runs:
            run()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def measure(preset: str, path: Path, eager: bool) -> tuple[list[str], list[str]]:
    """Rows of the two tables."""
    ann, x = network(), images(BATCH)
    model = load(path)
    model.use(Execution(memory_bytes=2**34, compiled=not eager))

    def once() -> None:
        with torch.inference_mode():
            ann(x)

    rows, parts = [], []
    graded = preset == "graded"
    for steps, counts in ((1, True), (1, False)) if graded else [(steps, True) for steps in TIMESTEPS]:
        forward, run = alternating(once, functools.partial(model.count if counts else model, x, steps), ROUNDS)
        one = statistics.median(forward)
        ratio, low, high = (q / one for q in (statistics.median(run), *statistics.quantiles(run, n=4)[::2]))
        floor = products(model, x, steps) / one
        label = preset if counts else f"{preset}, no counts"
        rows.append(f"| {label} | {steps} | {ratio:.1f} | {low:.1f} to {high:.1f} | {floor:.1f} | {1000 * one:.0f} |")
        print(rows[-1], flush=True)
        if counts and steps == (1 if graded else 4):
            for name, seconds in sorted(shares(model, x, steps).items(), key=lambda item: -item[1]):
                if seconds / one >= 0.005:
                    parts.append(f"| {preset} | {name} | {seconds / one:.2f} |")
                    print(parts[-1], flush=True)
    return rows, parts


def peak(what: str, path: str, budget: float) -> None:
    """In a process of its own: print the largest resident set, in KiB, with one run at the larger batch."""
    x = images(MEMORY_BATCH)
    if what == "ann":
        ann = network()
        with torch.inference_mode():
            ann(x)
    else:
        model = load(path)
        model.use(Execution(memory_bytes=round(budget * 2**30)))
        model.count(x, 4)
    # not getrusage: its figure begins with what the parent process held
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def memory(path: Path, preset: str) -> list[str]:
    """Rows of the table of peak memory."""
    rows = []
    network_kib = 0
    for label, what, budget in (
        ("network", "ann", 1.0),
        ("program, 1 GiB", "program", 1.0),
        ("program, 0.25 GiB", "program", 0.25),
    ):
        command = [sys.executable, "-m", "benchmarks.speed", "--peak", what, str(path), str(budget)]
        kib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        network_kib = network_kib or kib
        rows.append(f"| {preset} | {label} | {kib / 2**20:.2f} | {kib / network_kib:.2f} |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eager", action="store_true", help="neurons operation by operation; writes nothing")
    parser.add_argument("--preset", choices=PRESETS, action="append", help="all unless said; may be given again")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--programs", type=Path, help="directory to keep the converted programs in, and to find them")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    if arguments.peak:
        peak(arguments.peak[0], arguments.peak[1], float(arguments.peak[2]))
        return
    speed, nodes, resident, conversions = [], [], [], dict[str, float]()
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.programs or Path(temporary)
        for preset in arguments.preset or PRESETS:
            path = directory / f"{MODEL}-{preset}.nir"
            if not path.exists():
                begun = time.perf_counter()
                write(program(MODEL, CALIBRATION_SAMPLES, preset, 1 if preset == "graded" else 4), path)
                conversions[preset] = time.perf_counter() - begun
            rows, parts = measure(preset, path, arguments.eager)
            speed, nodes = speed + rows, nodes + parts
            if not arguments.eager and preset != "graded":
                resident += memory(path, preset)
    if "accurate" in conversions:
        for preset, seconds in conversions.items():
            print(
                f"conversion, {preset}: {seconds:.0f} s, {seconds / conversions['accurate']:.2f} times accurate's", flush=True
            )
    if not arguments.eager:
        head = "| preset | T | program / network | middle half | matrix products alone | network, ms |"
        put(DOCUMENT, "speed", [head, "|---|---|---|---|---|---|", *speed])
        put(DOCUMENT, "nodes", ["| preset | kind of node | share, in network passes |", "|---|---|---|", *nodes])
        put(DOCUMENT, "memory", ["| preset | what | peak, GiB | times the network's |", "|---|---|---|---|", *resident])


if __name__ == "__main__":
    main()
