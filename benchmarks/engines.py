"""How the targets compare: time per sample and step on the bundled model, as ratios measured in one run.

Run ``python -m benchmarks.engines [SAMPLES]``. Each figure is the best of three; Lava's includes building its network.
"""

from __future__ import annotations

import sys
import time

from ecmt_deploy import convert
from ecmt_deploy.errors import TargetError
from ecmt_deploy.evaluation.samples import evaluation_data
from ecmt_deploy.simulation.run import simulate

ROUNDS = 3


def main(samples: int) -> None:
    """Print one line per target."""
    program = convert("zoo:vit_digits", "digits").program
    x, _ = evaluation_data(program, "digits", samples).arrays()
    seconds: dict[str, float] = {}
    for target in ("reference", "torch", "lava"):
        for _ in range(1 if target == "lava" else ROUNDS):
            begun = time.perf_counter()
            try:
                simulate(program, x, target)
            except TargetError as error:
                print(f"{target}: left out: {error}")
                break
            seconds[target] = min(seconds.get(target, float("inf")), time.perf_counter() - begun)
    for target, taken in seconds.items():
        per_step = taken / (len(x) * program.timesteps)
        print(f"{target}: {1000 * per_step:.2f} ms per sample and step, {taken / seconds['reference']:.2f} x the reference")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16)
