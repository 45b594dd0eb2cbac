"""What each part of presets ``accurate`` and ``graded`` is worth: answers and events without it, on the same budgets of events.

    python -m docs.generate.ablation                                    the bundled model alone
    python -m docs.generate.ablation --idx DIR --weights fashion.safetensors

DIR holds the Fashion-MNIST idx files. Writes the tables in docs/accurate.md (bundled model alone) and docs/graded.md. Every
variant has the same calibration samples and the same budgets, and is measured on the test split. A variant is options of its
preset, and attributes that are something else while it is converted: a function of the calibration, or a constant. One that
changes no program is an error. Rows of models that are not measured stay as they are. All on one thread, as several round in
another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.subjects import Subject, arguments, digits, parse, subjects
from docs.generate.documents import put, put_rows, table
from ecmt_deploy.config import Preset
from ecmt_deploy.conversion.calibration.accurate import Accurate
from ecmt_deploy.conversion.calibration.graded import Graded
from ecmt_deploy.conversion.calibration.tools import allocation, common, heads, rotation, trials
from ecmt_deploy.conversion.calibration.tools.answers import readout_variance
from ecmt_deploy.conversion.calibration.tools.survey import Survey
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.program.ops import Op
from ecmt_deploy.report import units

DOCS = Path(__file__).parents[2] / "docs"
BATCH = 64
#: models of the table of ``graded``; what is planted into a model takes nothing from the others
MODELS = ("digits", "Fashion-MNIST")
AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Variant:
    """Options of the preset, and (owner, attribute, value there) of what is changed while it converts."""

    options: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[tuple[Any, str, Any], ...] = ()

    @contextmanager
    def preset(self, kind: type[Preset], **options: Any) -> Iterator[Preset]:
        """The preset with these options and its own, for as long as the changes last."""
        with ExitStack() as stack:
            for change in self.changes:
                stack.enter_context(patch.object(*change))
            yield kind(**{**options, **self.options})


class Figures(NamedTuple):
    """What a program answers and takes: the mean distance as in tuning records, shares, and bits of an event on average."""

    distance: float
    relative_error: float
    agreement: float
    events_per_mac: float
    payload_bits: float | None


def seen(change: Callable[[Survey], Survey]) -> tuple[Any, str, Any]:
    """Everything that is surveyed, changed."""
    measured = trials.survey
    return trials, "survey", lambda *arguments: {name: change(s) for name, s in measured(*arguments).items()}


def pooled(found: Survey, keep: tuple[int, ...]) -> Survey:
    """Sensitivities averaged over all axes but ``keep`` (counted from the end)."""
    shape = found.sensitivity.shape
    axes = tuple(i for i in range(len(shape)) if i - len(shape) not in keep)
    mean = found.sensitivity.mean(axis=axes, keepdims=True)
    return replace(found, sensitivity=np.broadcast_to(mean, shape).copy())


def unexpected(found: Survey) -> Survey:
    """As if nothing were expected."""
    return replace(found, expected=np.zeros_like(found.expected), reach=found.reach + np.abs(found.expected))


def one_expectation(found: Survey) -> Survey:
    """One expected value a channel, the same for every token."""
    if found.expected.ndim < 2:
        return found
    mean = found.expected.mean(axis=tuple(range(found.expected.ndim - 1)), keepdims=True)
    mean = np.broadcast_to(mean, found.expected.shape).copy()
    return replace(found, expected=mean, reach=found.reach + np.abs(found.expected - mean))


def most_sensitive(array: np.ndarray, channel_axis: int | None, reduce: np.ufunc) -> np.ndarray:
    """:func:`.allocation.by_channel` with the largest value in place of a mean: of a sum, so many times the largest."""
    if reduce is not np.add:
        return BY_CHANNEL(array, channel_axis, reduce)
    most = BY_CHANNEL(array, channel_axis, np.maximum)
    return most * (array.size / most.size)


BY_CHANNEL = allocation.by_channel
A_CHANNEL = seen(lambda s: pooled(s, (-1,)))
UNROTATED, UNCORRECTED = (rotation, "rotated", lambda lowered, x: lowered), (Graded, "corrects", False)
HEADS, WHOLE = (heads, "in_head_bases", lambda lowered, x: lowered), (common, "with_rows_apart", lambda lowered, x: lowered)

BY_ITSELF = (trials, "together", lambda model, x, timesteps, progress: dict.fromkeys(model.program.neurons, 1.0))

#: the preset itself decides whether there is a correction
MAY_BE_LEFT_OUT = "no correction"

ACCURATE: dict[str, Variant] = {
    AS_IT_IS: Variant(),
    "no expectation": Variant(changes=(seen(unexpected),)),
    "expectation a channel, not a token": Variant(changes=(seen(one_expectation),)),
    "sensitivity a channel, not a token": Variant(changes=(A_CHANNEL,)),
    "sensitivity a node": Variant(changes=(seen(lambda s: pooled(s, ())),)),
    "a spike costs the same everywhere": Variant(
        changes=((Program, "fan_outs", property(lambda p: dict.fromkeys(p.neurons, 64.0))),)
    ),
    "c = 0.68": Variant(changes=((Accurate, "fraction", 0.68),)),
    "c = 0.80": Variant(changes=((Accurate, "fraction", 0.80),)),
}
GRADED: dict[str, Variant] = {
    AS_IT_IS: Variant(),
    "errors each by itself": Variant(changes=(BY_ITSELF,)),
    "no rotation": Variant(changes=(UNROTATED,)),
    MAY_BE_LEFT_OUT: Variant(changes=(UNCORRECTED,)),
    "neither": Variant(changes=(UNROTATED, UNCORRECTED)),
    "heads as they are": Variant(changes=(HEADS,)),
    "rows as they are": Variant(changes=(WHOLE,)),
    "heads and rows as they are": Variant(changes=(HEADS, WHOLE)),
    "no expectation": Variant(changes=(seen(unexpected),)),
    "sensitivity a channel, not a token": Variant(changes=(A_CHANNEL,)),
    "base a channel's smallest dead zone / 1.5": Variant(
        changes=((allocation, "by_channel", most_sensitive), (allocation, "COARSE", 1 / 1.5))
    ),
    "base half as coarse": Variant(changes=((allocation, "COARSE", 0.5),)),
    "base twice as coarse": Variant(changes=((allocation, "COARSE", 2.0),)),
    "payloads of 8 bits": Variant({"payload_bits": 8}),
    "payloads of 6 bits": Variant({"payload_bits": 6}),
    "payloads of 4 bits": Variant({"payload_bits": 4}),
    "payloads of 4 bits, T = 2": Variant({"payload_bits": 4, "timesteps": 2}),
}
ACCURATE_BUDGETS, GRADED_BUDGETS = (0.5, 1.0), (0.33, 0.58)


def alike(one: Program, other: Program) -> bool:
    """Whether two programs are the same nodes with the same parameters, and run for as many steps."""
    if one.operands != other.operands or one.timesteps != other.timesteps:
        return False
    mine, theirs = ([value for node in program.nodes.values() for value in _values(node)] for program in (one, other))
    return len(mine) == len(theirs) and all(map(np.array_equal, mine, theirs))


def _values(node: Op) -> list[Any]:
    """Everything a node holds, arrays and numbers."""
    own = [getattr(node, name) for name in node.fields]
    return [node.kind, *parameters(node), *(value for value in own if isinstance(value, int | float | str))]


def figures(spiking: SpikingModel, x: Tensor, answers: Tensor) -> Figures:
    """Of samples (N, *input shape), whose analog readouts are ``answers`` (N, classes)."""
    program = spiking.program
    runs = [spiking.count(part, program.timesteps) for part in x.split(BATCH)]
    readouts = torch.cat([outputs[-1] for outputs, _ in runs]).double()
    activity = sum((activity for _, activity in runs[1:]), runs[0][1])
    distances = (readouts - answers).norm(dim=1) / readout_variance(answers) ** 0.5
    agreement = (readouts.argmax(1) == answers.argmax(1)).double().mean()
    return Figures(
        float(distances.mean()), float(distances.square().mean()), float(agreement),
        activity.events_per_mac(program.encoding) or 0.0, activity.payload_bits(program.spike_bits),
    )  # fmt: skip


def measured(
    subject: Subject, samples: int, kind: type[Preset], variants: Mapping[str, Variant], budgets: tuple[float, ...],
    timesteps: int,
) -> Iterator[tuple[str, int, list[Figures]]]:  # fmt: skip
    """Of every variant, its name, the number of test samples, and figures at every budget.

    Raises
    ------
    ValueError
        if a variant is the preset as it is.
    """
    x, test, _ = subject.arrays(samples)
    module = subject.model.module
    with torch.no_grad():
        answers = torch.cat([module(part) for part in test.split(BATCH)]).double()
    first: dict[float, Program] = {}
    for name, variant in variants.items():
        found = []
        for budget in budgets:
            with variant.preset(kind, budget=budget, timesteps=timesteps) as preset:
                spiking = convert(module, x, preset)
            if alike(spiking.program, first.setdefault(budget, spiking.program)) and name not in (AS_IT_IS, MAY_BE_LEFT_OUT):
                raise ValueError(f"{subject.name}, {name}: the program at {budget:g} events per MAC is that of the preset")
            found.append(figures(spiking, test, answers))
        yield name, len(test), found


def accurate_lines() -> list[str]:
    """The table of preset ``accurate``: relative squared errors, events in brackets."""
    heads = ["variant", *(f"error at {budget:g} events per MAC" for budget in ACCURATE_BUDGETS)]
    rows = []
    for name, _, found in measured(digits(), 2000, Accurate, ACCURATE, ACCURATE_BUDGETS, 4):
        rows.append([name, *(f"{f.relative_error:.1e} ({f.events_per_mac:.2f})" for f in found)])
        print(" | ".join(rows[-1]), flush=True)
    return table(heads, rows)


GRADED_HEADS = [
    "model", "variant",
    *(f"{head} (budget {b:g})" for b in GRADED_BUDGETS
      for head in ("distance, %", "agreement with the ANN, %", "events per MAC", "bits per event")),
]  # fmt: skip


def write_graded(subject: Subject, samples: int) -> None:
    """Measure preset ``graded`` on a model, and write its rows."""
    rows = []
    for name, count, found in measured(subject, samples, Graded, GRADED, GRADED_BUDGETS, 1):
        row = [f"{subject.name} ({count} samples)", name]
        for f in found:
            bits = "" if f.payload_bits is None else f"{f.payload_bits:.1f}"
            row += [units.hundredths(f.distance), units.accuracy(f.agreement, count), f"{f.events_per_mac:.3f}", bits]
        rows.append(row)
        print(" | ".join(row), flush=True)
    put_rows(DOCS / "graded.md", "ablation", table(GRADED_HEADS, []), table(GRADED_HEADS, rows)[2:], "| ")


def main() -> None:
    """Measure and write."""
    options = parse(arguments(__doc__, 2000))
    torch.set_num_threads(1)
    put(DOCS / "accurate.md", "ablation", accurate_lines())
    for subject in subjects(options):
        if subject.name in MODELS:
            write_graded(subject, options.samples)


if __name__ == "__main__":
    main()
