"""Accuracy and events: what equal accuracy takes, and presets step by step; writes docs/accuracy.md and the README's table.

    python -m docs.generate.accuracy                                    the bundled digits transformer alone
    python -m benchmarks.train_vit_fashion DIR --out fashion.safetensors
    python -m docs.generate.accuracy --idx DIR --weights fashion.safetensors

DIR holds the Fashion-MNIST idx files. What equal accuracy takes is what ``python -m benchmarks.accuracy`` measures, with
these arguments. Step by step (left as it is with ``--without-steps``), each of its models is converted with preset ``paper``,
with ``accurate``, and with ``accurate`` on a budget: the events that ``paper`` takes at T = 4, and 45 % of them. Then with
``accurate`` on five draws of calibration samples, to see how much is luck. Calibration samples come from the training split,
figures from the test split. Rows of models that are not measured stay as they are. All on
one thread, as several round in another order.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import accuracy
from benchmarks.subjects import Subject, arguments, parse, subjects
from docs.generate import equal
from docs.generate.documents import put_rows, table
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.evaluation.evaluate import evaluate
from ecmt_deploy.report.units import accuracy as percent

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "accuracy.md"
STEPS, TUNED = 8, 4
#: samples whose events are counted, once for every number of steps
COUNTED = 128
#: samples computed at once
BATCH = 64
DRAWS = 5


@dataclass
class Row:
    """One model converted one way, figures after every step 1..8."""

    model: str
    preset: str
    samples: int
    top1: list[float] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)
    events: list[float] = field(default_factory=list)
    cosine: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and write."""
    parser = arguments(__doc__, 2000)
    parser.add_argument("--without-steps", action="store_true", help="leave the tables of every step as they are")
    options = parse(parser)
    torch.set_num_threads(1)

    def done(row: accuracy.Row) -> None:
        print(" | ".join(accuracy.cells(row)), flush=True)

    equal.write([accuracy.rows_of(subject, options.samples, done) for subject in subjects(options)])
    if not options.without_steps:
        write_steps(options)


def write_steps(options: argparse.Namespace) -> None:
    """Measure every step, and write the tables of it."""
    rows, claims, draws = [], [], []
    for subject in subjects(options):
        more, analog = rows_of(subject, options.samples)
        rows += more
        claims.append(claim(more, analog))
        draws.append(draws_of(subject, options.samples))
    put_rows(DOCUMENT, "claims", [], claims, "- **")
    put_rows(DOCUMENT, "accuracy", *lines_of(rows, range(1, STEPS + 1)), "| ")
    put_rows(DOCUMENT, "draws", DRAWS_HEAD, draws, "| ")
    head, lines = lines_of(rows, range(1, STEPS + 1))
    for line in [*head, *lines, *claims, *DRAWS_HEAD, *draws]:
        print(line)


def rows_of(subject: Subject, samples: int) -> tuple[list[Row], float]:
    """Rows of one model, and the ANN's accuracy."""
    name, model = subject.name, subject.model
    calibration, x, y = subject.arrays(samples)
    head = model.module.head
    answers = _apply(model.module, x)
    model.module.head = nn.Identity().eval()
    features = _apply(model.module, x)
    rows: list[Row] = []

    def add(preset: str, config: ConvertConfig) -> Row:
        row = Row(name, preset, len(x))
        model.module.head = head
        spiking = convert(model.module, calibration, config)
        chosen = torch.cat([spiking(part, STEPS).argmax(-1) for part in x.split(BATCH)], dim=1)
        row.top1 = [float((c == y).double().mean()) for c in chosen]
        row.agreement = [float((c == answers.argmax(1)).double().mean()) for c in chosen]
        for steps in range(1, STEPS + 1):
            _, activity = spiking.count(x[:COUNTED], steps)
            row.events.append(activity.events_per_mac(spiking.program.encoding) or 0.0)
        model.module.head = nn.Identity().eval()
        spiking = convert(model.module, calibration, config)
        found = torch.cat([spiking(part, STEPS) for part in x.split(BATCH)], dim=1)
        row.cosine = [float(nn.functional.cosine_similarity(f, features).mean()) for f in found]
        rows.append(row)
        print(f"{name}, {preset}: done", flush=True)
        return row

    paper = add("paper", ConvertConfig(preset="paper", timesteps=TUNED))
    spent = paper.events[TUNED - 1]
    add("accurate", ConvertConfig(timesteps=TUNED))
    for share in (1.0, 0.45):
        budget = round(share * spent, 3)
        add(f"accurate, budget {budget:.2f}", ConvertConfig(timesteps=TUNED, budget=budget))
    model.module.head = head
    return rows, float((answers.argmax(1) == y).double().mean())


DRAWS_HEAD = table(
    ["model", "events per MAC", "agreement with the ANN, %", "cosine of readouts", "5th percentile", "worst"], []
)


def draws_of(subject: Subject, samples: int) -> str:
    """From the least to the most of several draws of calibration samples."""
    found = []
    for seed in range(DRAWS):
        drawn = subject.drawn(seed)
        dataset = subject.test(drawn, samples)
        spiking = convert(subject.model.module, torch.from_numpy(drawn.x), ConvertConfig(timesteps=TUNED))
        result = evaluate(spiking, dataset.batches(BATCH), TUNED, BATCH)
        events = result.activity.events_per_mac(spiking.program.encoding) or 0.0
        cosine = result.cosine
        found.append((events, result.agreement[-1], cosine.mean[-1], cosine.percentile_5[-1], cosine.worst[-1]))
        print(f"{subject.name}, draw {seed}: {found[-1]}", flush=True)
    forms = ("{:.2f}".format, lambda share: percent(share, result.n_samples), *["{:.4f}".format] * 3)
    cells = [
        f"{form(min(values))} to {form(max(values))}" for values, form in zip(zip(*found, strict=True), forms, strict=True)
    ]
    return f"| {subject.name} | {' | '.join(cells)} |"


@torch.no_grad()
def _apply(module: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([module(part) for part in x.split(BATCH)])


def claim(rows: list[Row], analog: float) -> str:
    """What the figures say at T = 2 and T = 4, in words."""
    paper, accurate, same, less = rows
    t = TUNED - 1

    def disagrees(row: Row) -> str:
        return f"on {round((1 - row.agreement[t]) * row.samples)} at {row.events[t]:.2f}"

    line = (
        f"- **{paper.model}** (ANN top-1 {percent(analog, paper.samples)} %), T = {t + 1}: of {paper.samples} samples, `paper`"
    )
    line += f" disagrees with the ANN {disagrees(paper)} events per MAC, accurate {disagrees(accurate)},"
    line += f" {same.preset} {disagrees(same)}, {less.preset} {disagrees(less)}. Cosine of features: `paper`"
    line += f" {paper.cosine[t]:.4f}, accurate {accurate.cosine[t]:.4f}, {same.preset} {same.cosine[t]:.4f}."
    return f"{line} T = 2: accurate has top-1 {percent(accurate.top1[1], accurate.samples)} %."


def lines_of(rows: list[Row], steps: Sequence[int], figures: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """The heading of a table, and its rows: of all figures, or of some."""
    head = table(["model", "conversion", "figure", *(f"T = {t}" for t in steps)], [])
    lines = []
    for row in rows:
        for label, values, form in (
            ("top-1, %", row.top1, lambda share, row=row: percent(share, row.samples)),
            ("agreement with the ANN, %", row.agreement, lambda share, row=row: percent(share, row.samples)),
            ("events per MAC", row.events, "{:.2f}".format),
            ("cosine of features", row.cosine, "{:.4f}".format),
        ):
            if figures and label not in figures:
                continue
            name = f"{row.model} ({row.samples} samples)"
            lines.append(f"| {name} | {row.preset} | {label} | {' | '.join(form(values[t - 1]) for t in steps)} |")
    return head, lines


if __name__ == "__main__":
    main()
