"""Blocks of the bundled model on SANA-FE, and here from our counts: ``python -m tests.support.sanafe_comparison``.

SANA-FE (https://github.com/SLAM-Lab/SANA-FE, GPL-3) is used through its Python interface and with the numbers of its own
``loihi.yaml``. Nothing but this comparison needs it: ``pip install -e '.[crosscheck]'``.
"""

from __future__ import annotations

from functools import cache
from math import isclose
from typing import NamedTuple

import torch

from ecmt_deploy.program import read
from ecmt_deploy.quantization import quantize
from tests.support import trained
from tests.support.replay.loads import Cores
from tests.support.replay.machine import Measured, simulated
from tests.support.replay.ours import Estimated, estimated
from tests.support.replay.workload import Workload, workload

#: steps of an inference, by preset
STEPS = {"paper": 4, "accurate": 4, "graded": 2}
#: what the table is about
BLOCKS, SAMPLES = ("blocks.0.",), 1
ALL = ("blocks.",)
#: rows of the table: field of both sides, and what it is called
ROWS = {
    "synops": "synaptic events", "packets": "packets", "hops": "hops between tiles", "synapse_pj": "synapses, pJ",
    "network_pj": "network, pJ", "soma_pj": "neurons, pJ",
}  # fmt: skip


class Comparison(NamedTuple):
    """A replay, what we make of it, and what SANA-FE does, without queues in the mesh and with them."""

    work: Workload
    loads: Cores
    ours: Estimated
    simple: Measured
    queued: Measured


def replayed(preset: str, blocks: tuple[str, ...], samples: int) -> Workload:
    """Layers of the bundled model, in integers, under these module paths."""
    program = quantize(read(trained.program_file(preset)), None, STEPS[preset])
    return workload(program, trained.samples(samples), STEPS[preset], blocks)


@cache
def compared(preset: str, blocks: tuple[str, ...] = BLOCKS, samples: int = SAMPLES) -> Comparison:
    """Layers of the bundled model under these module paths, of so many samples, on both sides."""
    work = replayed(preset, blocks, samples)
    loads = Cores.of(work)
    theirs = simulated(work)
    return Comparison(work, loads, estimated(work, loads), theirs["simple"], theirs["detailed"])


def rows(preset: str) -> list[tuple[str, float, float]]:
    """What is compared: its name, ours, SANA-FE's."""
    both = compared(preset)
    step = float(both.ours.steps_ns.mean())
    return [
        *((label, float(getattr(both.ours, field)), float(getattr(both.simple, field))) for field, label in ROWS.items()),
        ("a step, ns, no queues", step, float(both.simple.steps_ns.mean())),
        ("the same, from counts alone", float(both.ours.spread_ns.mean()), float(both.simple.steps_ns.mean())),
        ("a step, ns, queues in the mesh", step, float(both.queued.steps_ns.mean())),
    ]


def whole() -> str:
    """Steps of the replay of all blocks, in Markdown."""
    lines = ["| preset | all blocks: a step, ns | ours | SANA-FE | difference |", "|---|---|---|---|---|"]
    for preset in STEPS:
        both = compared(preset, ALL)
        ours = float(both.ours.steps_ns.mean())
        for label, theirs in (("no queues", both.simple), ("queues in the mesh", both.queued)):
            step = float(theirs.steps_ns.mean())
            lines.append(f"| `{preset}` | {label} | {ours:,.0f} | {step:,.0f} | {_percent(ours, step)} |")
    return "\n".join(lines)


def table() -> str:
    """Both sides and their differences, in Markdown."""
    lines = ["| preset | | ours | SANA-FE | difference |", "|---|---|---|---|---|"]
    for preset, steps in STEPS.items():
        cores = compared(preset).work.placement.cores
        for i, (label, ours, theirs) in enumerate(rows(preset)):
            head = f"`{preset}`, T = {steps}, {cores:,} cores" if i == 0 else ""
            lines.append(f"| {head} | {label} | {ours:,.0f} | {theirs:,.0f} | {_percent(ours, theirs)} |")
    return "\n".join(lines)


def _percent(a: float, b: float) -> str:
    return "none" if isclose(a, b, rel_tol=1e-6) else f"{100 * (a / b - 1):+.2f} %"


if __name__ == "__main__":
    torch.set_num_threads(1)  # several round in another order
    print(table(), whole(), sep="\n\n")
