"""Streams against what else could be done with the same clip: writes the tables of docs/streams.md.

    python -m benchmarks.streams                                            the bundled digits transformer alone
    python -m benchmarks.streams --idx DIR --weights fashion.safetensors    and one for Fashion-MNIST
    python -m benchmarks.streams --model NAME --model-weights FILE --data folder:DIR --video FILE    a model and a clip of yours

The weights are what ``python -m benchmarks.train_vit_fashion DIR --out fashion.safetensors`` writes.
Every program is tuned on one clip (an object that moves over a ground, with a sensor's noise) and measured on others: other
objects, grounds and seeds. For each clip: programs of presets ``graded`` and ``accurate``, by steps a frame and budget; a
program reset for every frame; the network on every frame, on fewer, frozen; token gating. Answers are compared with the
network's, both centred over the clip. Where nothing changes but noise the cosine follows noise alone, and the class says more.
All on one thread. With ``--print`` nothing is written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.subjects import Subject, arguments, parse, subjects
from docs.generate.documents import put_rows, table
from ecmt_deploy import data, models
from ecmt_deploy.chips import available
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.estimation.frames import FramePrices
from ecmt_deploy.evaluation.alternatives import GATINGS, equally_good, fewer_frames, reset_each, token_gating
from ecmt_deploy.evaluation.streams import Answers, fidelity
from ecmt_deploy.placement import place
from ecmt_deploy.report import units
from ecmt_deploy.verbs.convert import convert

DOCUMENT = Path(__file__).parents[1] / "docs" / "streams.md"
#: what programs are tuned on, and what they are measured on
TUNING = "made:object,noise=1,seed=7,ground=flower"
CLIPS = {
    "still, noise 1": "made:still,noise=1",
    "still, noise 3": "made:still,noise=3",
    "object over ground": "made:object,noise=0",
    "object, noise 1": "made:object,noise=1,seed=1",
    "pan": "made:pan",
    "cut": "made:cut",
}
#: preset, steps a frame, budgets of events per MAC and frame (``None``: as many as a good answer needs)
PROGRAMS: tuple[tuple[str, int, tuple[float | None, ...]], ...] = (
    ("graded", 1, (None, 0.3, 0.15, 0.08, 0.04)),
    ("accurate", 1, (0.5,)),
    ("accurate", 2, (0.5,)),
    ("accurate", 4, (0.5,)),
)
#: the cosine at which things are compared
EQUAL = 0.97
HEADS = (
    "model", "clip", "what", "per MAC", "once it runs", "cosine", "same class, %", "with memory, of the ANN's", "of reset's",
    "frames/s",
)  # fmt: skip


class Clip(NamedTuple):
    """Frames (F, *input shape), and the network's answers to them."""

    name: str
    frames: torch.Tensor
    network: np.ndarray


class Line(NamedTuple):
    """A row: what was done, what it took and how good it was."""

    what: str
    per_mac: float
    steady: float | None
    answers: np.ndarray
    ratio: float | None
    of_reset: float | None
    per_second: float | None


def main() -> None:
    """Measure, print, and write."""
    parser = arguments(__doc__, 64)
    parser.add_argument("--model", help="a model of timm's instead, with --model-weights and --data for calibration")
    parser.add_argument("--model-weights", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--video", action="append", default=[], help="one more clip: a video, frames:DIR, ..")
    parser.add_argument("--tune-on", default=TUNING, help="the clip that programs are tuned on")
    parser.add_argument("--frames", type=int, default=64, help="of each clip, at most")
    parser.add_argument("--print", action="store_true", help="write nothing")
    options = parse(parser)
    torch.set_num_threads(1)
    if options.model:
        chosen = [Subject(options.model, models.load(options.model, options.model_weights), options.data)]
    else:
        chosen = [subject for subject in subjects(options) if "planted" not in subject.name]
    clips = {**CLIPS, **{video: video for video in options.video}}
    rows, chips, equal = [], [], []
    for subject in chosen:
        programs = list(converted(subject, options.tune_on))
        shown = [opened(subject, programs[0][1], name, spec, options.frames) for name, spec in clips.items()]
        for clip in shown:
            lines = list(measured(clip, programs))
            rows += [row(subject.name, clip, line) for line in lines]
            equal.append(at_equal(subject.name, clip, lines))
        chips += list(on_chips(subject.name, shown[2], programs[:3]))
        print("\n".join([*table(HEADS, [r for r in rows if r[0] == subject.name]), "", *equal, "", *chips]), flush=True)
    if not options.print:
        lines_of = ["| " + " | ".join(cells) + " |" for cells in rows]
        put_rows(DOCUMENT, "streams", table(HEADS, [])[:2], lines_of, "| ")
        put_rows(DOCUMENT, "streams-equal", [], equal, "- **")
        put_rows(DOCUMENT, "streams-chips", [], chips, "- **")


def converted(subject: Subject, tuning: str) -> Iterator[tuple[str, SpikingModel]]:
    """Programs by name, tuned on the clip; a budget that cannot be met is left out, in a line."""
    frames = data.open_clip(tuning, subject.model.preprocessing, 64).array()
    drawn = torch.from_numpy(subject.drawn().x)
    for preset, steps, budgets in PROGRAMS:
        for budget in budgets:
            name = f"{preset}, {steps} step{'s' if steps > 1 else ''}" + ("" if budget is None else f", budget {budget:g}")
            try:
                config = ConvertConfig(preset, timesteps=steps, budget=budget)
                yield (
                    name,
                    convert(subject.model.module, drawn, config, preprocessing=subject.model.preprocessing, stream=frames),
                )
            except ConversionError as error:
                print(f"{subject.name}, {name}: {error}", flush=True)


def opened(subject: Subject, model: SpikingModel, name: str, spec: str, most: int) -> Clip:
    """A clip, with the network's answers."""
    form = f"video:{spec}" if Path(spec).is_file() else spec
    frames = torch.from_numpy(data.open_clip(form, subject.model.preprocessing, most).array())
    return Clip(name, frames, torch.cat([model.analog(frame[None]) for frame in frames]).numpy())


def measured(clip: Clip, programs: Sequence[tuple[str, SpikingModel]]) -> Iterator[Line]:
    """Every program on a clip, and what else could be done with it."""
    begun = time.perf_counter()
    for frame in clip.frames[:16]:
        programs[0][1].analog(frame[None])
    own = len(clip.frames[:16]) / (time.perf_counter() - begun)
    for name, model in programs:
        prices = FramePrices(model.program, "horowitz45", model.program.timesteps)
        with model.stream(model.program.timesteps) as stream:
            begun = time.perf_counter()
            answers = torch.stack([stream.push(frame) for frame in clip.frames]).numpy()
            seconds = time.perf_counter() - begun
            spent, counts = prices.energy(stream.activity), stream.activity
        alone, reset = reset_each(model, clip.frames)
        again = prices.memory_pj(reset)
        running = counts.events_per_mac[~counts.begun]
        yield Line(
            name, counts.total.events_per_mac(model.program.encoding) or 0.0, float(running.mean()) if running.size else None,
            answers, float(spent.snn_pj.mean()) / spent.ann_pj, float(spent.snn_pj.mean()) / again, len(clip.frames) / seconds,
        )  # fmt: skip
        if name == programs[0][0]:
            events = reset.events_per_mac(model.program.encoding) or 0.0
            yield Line(f"{name}, reset for every frame", events, None, alone, again / spent.ann_pj, 1.0, None)
    for (name, _), found in fewer_frames(clip.network).items():
        yield plain(name, found, own)
    for name, tuned in GATINGS.items():
        points = token_gating(programs[0][1], clip.frames, tuned)
        if (best := equally_good(points, clip.network, EQUAL)) is not None:
            yield plain(f"{name}, for a cosine of {EQUAL}", best, None)


def plain(name: str, answers: Answers, per_second: float | None) -> Line:
    """A row of the network with fewer operations, whose energy is in proportion."""
    share = float(answers.macs.mean())
    return Line(name, share, None, answers.values[:, 0], share, None, per_second)


def row(subject: str, clip: Clip, line: Line) -> tuple[str, ...]:
    """Cells of a line."""
    found = fidelity(line.answers, clip.network)
    return (
        subject, clip.name, line.what, units.per_mac(line.per_mac), "" if line.steady is None else units.per_mac(line.steady),
        "?" if found.cosine is None else f"{found.cosine:.3f}",
        "?" if found.agreement is None else units.accuracy(found.agreement, found.frames),
        "" if line.ratio is None else f"{line.ratio:.3g}", "" if line.of_reset is None else f"{line.of_reset:.3g}",
        "" if line.per_second is None else f"{line.per_second:.3g}",
    )  # fmt: skip


def at_equal(subject: str, clip: Clip, lines: Sequence[Line]) -> str:
    """What a cosine of :data:`EQUAL` takes: of graded neurons between the two measured points about it, and of the others."""

    def cosine(line: Line) -> float:
        return fidelity(line.answers, clip.network).cosine or 0.0

    own_lines = [line for line in lines if line.what.startswith("graded") and line.of_reset != 1.0]
    points = sorted(((cosine(line), line) for line in own_lines), key=lambda point: point[0])
    below, above = ([p for p in points if (p[0] < EQUAL) == side] for side in (True, False))
    if above and below:
        (c0, a), (c1, b) = below[-1], above[0]
        share = (EQUAL - c0) / (c1 - c0)
        events, ratio = a.per_mac + share * (b.per_mac - a.per_mac), (a.ratio or 0) + share * ((b.ratio or 0) - (a.ratio or 0))
        own = f"`graded` {events:.2g} events per MAC, {ratio:.2g} times the ANN's energy with memory"
    elif above:
        least = above[0][1]
        own = f"`graded` less than {least.per_mac:.2g} events per MAC, {least.ratio:.2g} times the ANN's energy with memory"
    else:
        own = "`graded` not with these budgets"
    fewer = [line for line in lines if line.what.startswith("the network, every") and cosine(line) >= EQUAL]
    gated = [f"{line.what.partition(', for')[0]} {line.per_mac:.2g}" for line in lines if line.what.startswith("token gating")]
    others = [*gated, *([f"{min(fewer, key=lambda line: line.per_mac).what}" if fewer else ""])]
    return f"- **{subject}**, {clip.name}: {own}; {'; '.join(other for other in others if other)}."


def on_chips(subject: str, clip: Clip, programs: Sequence[tuple[str, SpikingModel]]) -> Iterator[str]:
    """Dynamic energy of a frame on every chip that takes the program, kept and reset."""
    for name, model in programs:
        said: list[str] = []
        for chip in available():
            placed = place(model.program, chip)
            if placed.obstacles or not placed.bounded:
                continue
            prices: Any = FramePrices(model.program, chip, model.program.timesteps)
            with model.stream(model.program.timesteps) as stream:
                for frame in clip.frames:
                    stream.push(frame)
                kept = float(prices.energy(stream.activity).chip_pj.mean())
            reset = prices.chip_pj(reset_each(model, clip.frames)[1])
            said.append(
                f"{chip} {units.energy(kept)} a frame, {units.ratio(kept, reset)} times what a reset for every frame takes"
            )
        yield f"- **{subject}**, {clip.name}, {name}: {'; '.join(said) or 'no chip takes it'}."


if __name__ == "__main__":
    main()
