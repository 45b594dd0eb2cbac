"""How long every verb takes for next to no work, beside ``import torch`` and Python alone, in the same run.

Run ``python -m benchmarks.startup [COMMAND ...]``; a command is what follows ``ecmt-deploy``. Without any, those below are
measured and the table of ``docs/performance.md`` is written. Each is run once unmeasured and 3 times, in turn, in a directory
with the bundled model as ``p.nir``, a run of one sample of it as ``run``, a part of an evaluation as ``part``, and an image.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import ecmt_deploy as ecmt
from docs.generate.documents import put

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
ROUNDS = 3
COMMANDS = (
    "--help",
    "hardware",
    "hardware loihi2",
    "inspect p.nir",
    "energy run --hardware loihi2",
    "report run --hardware loihi2 --out report.html",
    "merge part --out eval.json",
    "simulate p.nir --target reference --data digits --limit 1 --out reference --overwrite",
    "quantize p.nir --out q.nir",
    "classify p.nir image.png",
    "evaluate p.nir --data digits --limit 1",
    "trace p.nir --data digits --limit 1",
    "simulate p.nir --target torch --data digits --limit 1 --out torch --overwrite",
    "stream p.nir --video made:digits,frames=1",
    "sweep p.nir --hardware loihi2 --timesteps 1 --limit 1 --out NEW",
    "check zoo:vit_digits",
    "convert zoo:vit_digits --data digits --preset paper --calibration-samples 8 --out made.nir",
)
PYTHON, TORCH = "python -c pass", "python -c 'import torch'"
HEAD = ["| command | median, s | times Python alone | times the import of torch |", "|---|---|---|---|"]


def prepare(directory: Path) -> None:
    """Make what the commands work on."""
    program = directory / "p.nir"
    ecmt.convert("zoo:vit_digits", "digits", ecmt.ConvertConfig(preset="accurate"), calibration_samples=8, out=program)
    ecmt.simulate(program, "digits", target="reference", limit=1, out=directory / "run")
    ecmt.evaluate(program, "digits", limit=1, shard="1/1", checkpoint=directory / "part")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(directory / "image.png")


def measure(commands: tuple[str, ...], directory: Path) -> dict[str, float]:
    """Median seconds of each command, run in ``directory``, after those of Python alone and of the import of torch."""
    entry = "from ecmt_deploy.cli import main; main()"
    measured = {PYTHON: [sys.executable, "-c", "pass"], TORCH: [sys.executable, "-c", "import torch"]}
    measured |= {f"ecmt-deploy {c}": [sys.executable, "-c", entry, *c.split()] for c in commands}
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for repeat in range(ROUNDS + 1):
        for name, command in measured.items():
            begun = time.perf_counter()
            words = [word.replace("NEW", f"new{repeat}") for word in command]
            subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory, check=True)
            if repeat:  # the first fills the caches of the disk
                seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def table(medians: dict[str, float]) -> list[str]:
    """One row for every command."""
    alone, torch = medians[PYTHON], medians[TORCH]
    return [*HEAD, *(f"| `{name}` | {s:.2f} | {s / alone:.1f} | {s / torch:.2f} |" for name, s in medians.items())]


def main(commands: tuple[str, ...]) -> None:
    """Print the table; write it if no command was named."""
    with tempfile.TemporaryDirectory() as made:
        prepare(Path(made))
        lines = table(measure(commands or COMMANDS, Path(made)))
    print("\n".join(lines))
    if not commands:
        put(DOCUMENT, "startup", lines)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
