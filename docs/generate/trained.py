"""Energies of trained models, pictures and streams, on every chip where no obstacle is known; the table in docs/energy.md.

    python -m docs.generate.trained                                            the bundled digits transformer alone
    python -m docs.generate.trained --idx DIR --weights fashion.safetensors    and one for Fashion-MNIST

The weights are what ``python -m benchmarks.train_vit_fashion DIR --out fashion.safetensors`` writes. Pictures are the first 64
test samples; the stream is a made clip (an object over a ground, with state kept), on a program that was tuned on another.
All on one thread. With ``--programs DIR`` programs are kept there, and taken from there where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.subjects import Subject, arguments, parse, subjects
from docs.generate.documents import put_rows, table
from ecmt_deploy import data, energy, load, simulate, stream
from ecmt_deploy.chips import available
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.estimation import Energy
from ecmt_deploy.report import units
from ecmt_deploy.report.data import both
from ecmt_deploy.simulation.target import Run
from ecmt_deploy.verbs.convert import convert

DOCUMENT = Path(__file__).parents[2] / "docs" / "energy.md"
#: what a streaming program is tuned on, and what it is measured on
TUNING, CLIP = "made:object,noise=1,seed=7,ground=flower", "made:object,noise=0"
FRAMES = 64


class Kind(NamedTuple):
    """A preset with its time steps, on pictures, or on a stream with a budget of events per MAC and frame."""

    preset: str
    timesteps: int
    budget: float | None = None

    @property
    def streams(self) -> bool:
        """Whether it runs on a stream."""
        return self.budget is not None

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"`{self.preset}`, T = {self.timesteps}" + (f", stream, budget {self.budget:g}" if self.streams else "")


KINDS = (Kind("paper", 4), Kind("accurate", 4), Kind("graded", 1), Kind("graded", 1, 0.15))


def program(subject: Subject, kind: Kind) -> SpikingModel:
    """The converted model."""
    frames = data.open_clip(TUNING, subject.model.preprocessing, FRAMES).array() if kind.streams else None
    config = ConvertConfig(kind.preset, timesteps=kind.timesteps, budget=kind.budget)
    drawn = torch.from_numpy(subject.drawn().x)
    return convert(subject.model.module, drawn, config, preprocessing=subject.model.preprocessing, stream=frames)


def kept(folder: Path | None, name: str, make: Callable[[], SpikingModel]) -> SpikingModel:
    """What ``make`` gives, or gave when it was last asked with this folder."""
    if folder is None:
        return make()
    path = folder / f"{name}.nir"
    if not path.exists():
        make().save(path)
    return load(path)


def run(subject: Subject, kind: Kind, model: SpikingModel, samples: int) -> Run:
    """Its counts."""
    if kind.streams:
        return stream(model, data.open_clip(CLIP, subject.model.preprocessing, FRAMES).array())
    x, _ = subject.test(subject.drawn(), samples).arrays()
    return simulate(model, x, target="torch", timesteps=kind.timesteps)


def rows(subject: Subject, folder: Path | None, samples: int) -> Iterator[list[str]]:
    """A row for each kind of program."""
    for kind in KINDS:
        name = f"{subject.name}-{'stream' if kind.streams else kind.preset}"
        counted = run(subject, kind, kept(folder, name, lambda kind=kind: program(subject, kind)), samples)
        energies = [energy(counted, chip) for chip in available()]
        first = energies[0]
        yield [
            subject.name, kind.name, units.per_mac(first.events_per_mac),
            units.ratio(first.paper.snn_pj, first.paper.ann_pj), units.ratio(*both(first.memory)),
            "; ".join(_on_chip(each) for each in energies if not each.obstacles) or "obstacles everywhere",
        ]  # fmt: skip


def _on_chip(e: Energy) -> str:
    total = e.total_pj
    low, value, high = (units.energy(pj).replace(units.SPACE, " ") for pj in (total.low, total.value, total.high))
    spread = "" if total.exact else f" ({low} to {high})"
    return f"{e.hardware} {units.bound_mark(e.bounds)}{value}{spread}{'' if e.complete else ' +'}"


def main() -> None:
    """Run, print, and write."""
    parser = arguments(__doc__, 64)
    parser.add_argument("--programs", type=Path, help="folder that keeps the programs")
    options = parse(parser)
    torch.set_num_threads(1)
    heads = [
        "model", "program", "events per MAC", "(a) of the ANN's", "(c) of the ANN's",
        "(b) per inference or frame, where no obstacle is known",
    ]  # fmt: skip
    found = [
        row for subject in subjects(options) if "planted" not in subject.name
        for row in rows(subject, options.programs, options.samples)
    ]  # fmt: skip
    print("\n".join(table(heads, found)))
    put_rows(DOCUMENT, "trained", table(heads, [])[:2], ["| " + " | ".join(row) + " |" for row in found], "| ")


if __name__ == "__main__":
    main()
