"""Accuracy against what it costs: the presets at several budgets beside plain quantisation.

    python -m benchmarks.accuracy                                       the bundled digits transformer alone
    python -m benchmarks.train_vit_fashion DIR --out fashion.safetensors
    python -m benchmarks.accuracy --idx DIR --weights fashion.safetensors

DIR holds the Fashion-MNIST idx files. Three models: the bundled digits transformer, a vision transformer trained on
Fashion-MNIST, and the same with planted massive activations (benchmarks/planted.py). Preset ``graded`` runs for one step, the
others for four. Plain quantisation (benchmarks/plain.py) is priced as the spiking program that sends its integers, one event
for each that is not zero; that program must take the events that plain quantisation counts, or nothing is reported. Calibration
samples come from the training split, figures from the test split. ``python -m docs.generate.accuracy`` writes them into
docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isclose
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import plain
from benchmarks.subjects import Subject, arguments, parse, subjects
from ecmt_deploy.chips import available, hardware
from ecmt_deploy.config import ConvertConfig, Preset
from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.conversion.lowering import Lowered
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.estimation import Energy, energy
from ecmt_deploy.estimation.pricing import ARITHMETIC
from ecmt_deploy.estimation.result import MemoryView
from ecmt_deploy.evaluation.evaluate import evaluate
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.report import units

BATCH = 64
STEPS = {"graded": 1, "accurate": 4, "paper": 4}
#: events per MAC that presets may take: ``None`` is as many as a good answer needs
BUDGETS: dict[str, tuple[float | None, ...]] = {
    "graded": (None, 0.7, 0.58, 0.48, 0.4, 0.33, 0.28, 0.23, 0.18, 0.14, 0.1),
    "accurate": (None, 0.8),
    "paper": (None,),
}
BITS = (4, 5, 6, 7, 8)
PLAIN = "plain"
#: samples on which the program of plain quantisation is counted, and by what share its events may differ: values halfway
#: between two integers may be rounded either way
COUNTED, SLACK = 128, 0.005


class Row(NamedTuple):
    """One model, one way.

    Attributes
    ----------
    top1, agreement : shares of the samples, the latter with the choice of the ANN
    events_per_mac : encoding layers left out
    payload_bits : of an event, on average; ``None`` where nothing fires
    memory : view (c), with its ANN
    chips : energy on every chip that takes payloads
    """

    model: str
    method: str
    timesteps: int
    samples: int
    top1: float
    agreement: float
    events_per_mac: float
    payload_bits: float | None
    memory: MemoryView
    chips: dict[str, Energy]

    @property
    def family(self) -> str:
        """``graded``, ``accurate``, ``paper`` or ``plain``."""
        return self.method.split()[0].rstrip(",")

    @property
    def sides_pj(self) -> tuple[float, float]:
        """Energy in view (c), of the spiking program and of the ANN."""
        return sum(self.memory.snn_pj.values()), sum(self.memory.ann_pj.values())

    @property
    def ratio(self) -> float:
        """The former over the latter."""
        spiking, ann = self.sides_pj
        return spiking / ann


def graded_chips() -> list[str]:
    """Chips whose spikes carry a payload of more than a bit."""
    limits = {chip: hardware(chip).limits.graded_payload_bits for chip in available()}
    return [chip for chip, bits in limits.items() if bits is not None and bits.value > 1]


def rows_of(subject: Subject, samples: int, done: Callable[[Row], None]) -> list[Row]:
    """All rows of a model, on so many test samples at most; ``done`` hears of each as it is measured."""
    x, test, labels = subject.arrays(samples)
    rows = []
    for made in (_presets, _plain):
        for row in made(subject, x, test, labels):
            rows.append(row)
            done(row)
    return rows


def _presets(subject: Subject, x: Tensor, test: Tensor, labels: Tensor) -> Iterator[Row]:
    for preset, budgets in BUDGETS.items():
        for budget in budgets:
            config = ConvertConfig(preset=preset, timesteps=STEPS[preset], budget=budget)
            spiking = convert(subject.model.module, x, config)
            batches = zip(test.split(BATCH), labels.split(BATCH), strict=True)
            found = evaluate(spiking, batches, STEPS[preset], BATCH)
            if found.agreement is None:
                raise ValueError(f"{subject.name}: its program has no analog form to agree with")
            yield Row(
                subject.name, preset if budget is None else f"{preset}, budget {budget:g}", STEPS[preset], len(test),
                found.accuracy[-1], found.agreement[-1], *_costs(found.activity, spiking.program),
            )  # fmt: skip


def _plain(subject: Subject, x: Tensor, test: Tensor, labels: Tensor) -> Iterator[Row]:
    module = subject.model.module
    program = convert(module, x, Anchored()).program
    with torch.no_grad():
        chosen = torch.cat([module(part).argmax(-1) for part in test.split(BATCH)])
    for bits in BITS:
        for name, quantised in plain.plain_quantisations(module, x, bits):
            found = plain.answers(module, test, quantised)
            answers = found.readouts.argmax(-1)
            few = plain.answers(module, test[:COUNTED], quantised).events_per_mac
            events, *costs = _costs(*counted(program, quantised, test[:COUNTED]))
            if not isclose(events, few, rel_tol=SLACK):
                raise ValueError(f"{subject.name}, {bits} bits {name}: {few} events per MAC, but its program takes {events}")
            yield Row(
                subject.name, f"{PLAIN} {bits} bits {name}", 1, len(test), float((answers == labels).double().mean()),
                float((answers == chosen).double().mean()), found.events_per_mac, *costs,
            )  # fmt: skip


class Anchored(Preset, frozen=True, kw_only=True):
    """The program whose neurons :func:`counted` fills in: nothing is measured, nothing expected."""

    name: ClassVar[str] = PLAIN
    coding: ClassVar[str] = "differential"
    most_levels: ClassVar[int] = 1

    timesteps: int = 1

    def calibrate(self, lowered: Lowered, batches: list[Tensor], progress: Callable[[str, int], None]) -> Program:
        base = np.ones((), lowered.program.dtype)
        return with_nodes(lowered.program, {name: ops.Graded(base, ops.graded.LEAST_BITS) for name in lowered.program.neurons})


def counted(program: Program, quantised: plain.Plain, x: Tensor) -> tuple[Activity, Program]:
    """What the spiking program that sends the integers of ``quantised`` does, and that program.

    ``program`` is of :class:`Anchored`; its neurons stand in the order in which the network computes their operands.
    """
    neurons: dict[str, Any] = {
        name: ops.Graded(scale.numpy().astype(program.dtype), quantised.bits)
        for name, scale in zip(program.neurons, quantised.scales, strict=True)
    }
    filled = with_nodes(program, neurons)
    model = SpikingModel(filled)
    activity = [model.count(part, 1)[1] for part in x.split(BATCH)]
    return sum(activity[1:], activity[0]), filled


def _costs(activity: Activity, program: Program) -> tuple[float, float | None, MemoryView, dict[str, Energy]]:
    """Events per MAC, payload bits per event, view (c), and energy on every chip that takes payloads."""
    spikes = {name: activity[name].spikes for name in program.neurons}
    bits = sum(fired * (program.nodes[name].message_bits or 0) for name, fired in spikes.items())
    fired = sum(spikes.values())
    return (
        activity.events_per_mac(program.encoding) or 0.0,
        bits / fired if fired else None,
        energy(activity, program, ARITHMETIC).memory,
        {chip: energy(activity, program, chip) for chip in graded_chips()},
    )


def heads() -> list[str]:
    """Heads of the columns of :func:`cells`."""
    return [
        "model", "method", "T", "samples", "top-1, %", "agreement with the ANN, %", "events per MAC", "bits per event",
        "view (c)", "its ANN", "ratio", *graded_chips(),
    ]  # fmt: skip


def cells(row: Row) -> list[str]:
    """A row as it is read."""
    spiking, ann = row.sides_pj
    found = [
        row.model, row.method, str(row.timesteps), str(row.samples), units.accuracy(row.top1, row.samples),
        units.accuracy(row.agreement, row.samples), f"{row.events_per_mac:.3f}",
        "" if row.payload_bits is None else f"{row.payload_bits:.1f}", units.energy(spiking),
        f"{units.energy(ann)} ({row.memory.ann_bits} bits)", units.ratio(spiking, ann),
        *(units.total(e, ranged=False) for e in row.chips.values()),
    ]  # fmt: skip
    return [cell.replace(units.SPACE, " ") for cell in found]


def cheapest(rows: Sequence[Row], family: str, agreement: float) -> Row | None:
    """The row of ``graded`` or ``plain`` with the fewest events among those that agree so often; ``None`` if there is none."""
    able = [row for row in rows if row.family == family and row.agreement >= agreement]
    return min(able, key=lambda row: row.events_per_mac, default=None)


def main() -> None:
    """Measure and print."""
    options = parse(arguments(__doc__, 2000))
    torch.set_num_threads(1)
    print(" | ".join(heads()))
    for subject in subjects(options):
        rows_of(subject, options.samples, lambda row: print(" | ".join(cells(row)), flush=True))


if __name__ == "__main__":
    main()
