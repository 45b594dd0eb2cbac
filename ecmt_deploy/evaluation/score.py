"""What samples add to a result: integers, over batches, ranks and shards; shares are formed from them once, at the end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from ecmt_deploy.errors import plural
from ecmt_deploy.evaluation.intervals import accuracy_in_words
from ecmt_deploy.files import read_measured, write_atomically
from ecmt_deploy.program.activity import Activity, empty
from ecmt_deploy.program.audit import MOST
from ecmt_deploy.shown import Brief, Plotted, Tabular

#: a number of things, as far as 64 bits go
Whole = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
#: a number of things of which there is at least one
Positive = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
#: samples by value, in units of :data:`RESOLUTION`
Histogram = dict[int, Positive]

#: readouts are compared to this resolution, as whole numbers of it, so that their histograms add up exactly
RESOLUTION = 1e-4
#: relative error of a readout that is no number, or infinitely far away
LARGEST = 1e6


class Spread(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a measure of the samples spreads, after every step: what a mean hides.

    Attributes
    ----------
    mean : over the samples
    percentile_5 : counted from the worst: one sample in twenty is as bad or worse
    worst : of all samples
    """

    mean: tuple[float, ...]
    percentile_5: tuple[float, ...]
    worst: tuple[float, ...]


class Baseline(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same network plainly quantised, weights as they are (:mod:`~ecmt_deploy.evaluation.baseline`).

    Attributes
    ----------
    bits : fewest bits of its activations with which it agrees with the analog program on as many of the samples as the
        spiking program does after T steps; ``None`` where 16 are too few
    agreement : share of the samples on which it agrees, by width, for every width that was tried
    """

    bits: int | None
    agreement: dict[int, float]


class Evaluation(Tabular, Plotted, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an evaluation measured.

    All that compares with the analog program is ``None`` where there was none: an integer program has none of its own.

    Attributes
    ----------
    n_samples, timesteps : size of the evaluation
    analog_accuracy : share of samples the analog program (neurons as identity, equal to the model) gets right
    accuracy : the same of the spiking program, after every step 1..T
    agreement : share of samples on which spiking and analog program choose the same class, after every step
    activity : counts per node, after T steps
    cosine : of the readout with the analog one, sample by sample
    relative_error : distance of the readout from the analog one, over the norm of that, sample by sample
    data, model : what was evaluated, where known
    quantized : the same network plainly quantised, where that was measured
    integers : of an integer program, its chip and widths; ``None`` where it computed in floats
    skipped : how many samples were left out because they are damaged
    program_sha256 : digest of the program's file, where there was one
    """

    charts = ("accuracy", "events")

    n_samples: int
    timesteps: int
    analog_accuracy: float | None
    accuracy: tuple[float, ...]
    agreement: tuple[float, ...] | None
    activity: Activity
    cosine: Spread | None
    relative_error: Spread | None
    data: str | None = None
    model: str | None = None
    quantized: Baseline | None = None
    integers: str | None = None
    skipped: int = 0
    program_sha256: str | None = None

    def __repr__(self) -> str:
        analog = "" if self.analog_accuracy is None else f", analog {self.analog_accuracy:.2%}"
        found = "".join(accuracy_in_words(share, self.n_samples) for share in self.accuracy[-1:])
        return f"Evaluation({plural(self.n_samples, 'sample')}, T = {self.timesteps}: {found}{analog})"


class Score(Tabular, Plotted, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What some samples add to a result. Integers only, so that the order and the grouping of additions leave no trace.

    Attributes
    ----------
    activity : counts per node over these samples
    correct, agreeing : samples right, and samples on which the analog program chooses the same, after every step 1..T
    analog_correct : samples the analog program gets right
    cosine, relative_error : histogram of the samples, after every step 1..T

    All but ``activity`` and ``correct`` may be ``None``: an integer program has no analog one, and a run keeps no histograms.
    """

    charts = ("accuracy", "events")

    activity: Activity
    correct: tuple[Whole, ...]
    agreeing: tuple[Whole, ...] | None
    analog_correct: Whole | None
    cosine: tuple[Histogram, ...] | None
    relative_error: tuple[Histogram, ...] | None

    @property
    def n_samples(self) -> int:
        """Samples that were scored."""
        return self.activity.n_samples

    @property
    def accuracy(self) -> list[float]:
        """Share of the samples right, after every step; empty where there are no samples."""
        return [right / self.n_samples for right in self.correct] if self.n_samples else []

    @property
    def agreement(self) -> list[float] | None:
        """Share of the samples on which the analog program chooses the same, after every step; unknown of no samples."""
        return None if self.agreeing is None or not self.n_samples else [same / self.n_samples for same in self.agreeing]

    @property
    def analog_accuracy(self) -> float | None:
        """Share of the samples the analog program gets right."""
        return None if self.analog_correct is None or not self.n_samples else self.analog_correct / self.n_samples

    def __add__(self, other: Score) -> Score:
        """Sum over two disjoint sets of samples; what one of them does not have, the sum has not.

        Raises
        ------
        RunError
            if they differ in time steps or nodes.
        """
        return Score(*map(_sum, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))

    def evaluation(
        self, data: str | None, model: str | None, integers: str | None = None, skipped: int = 0,
        program_sha256: str | None = None,
    ) -> Evaluation:  # fmt: skip
        """The shares, of at least one sample."""
        agreement, cosine, error = self.agreement, self.cosine, self.relative_error
        return Evaluation(
            n_samples=self.n_samples,
            timesteps=self.activity.timesteps,
            analog_accuracy=self.analog_accuracy,
            accuracy=tuple(self.accuracy),
            agreement=None if agreement is None else tuple(agreement),
            activity=self.activity,
            cosine=None if cosine is None else spread(cosine, high_is_worse=False),
            relative_error=None if error is None else spread(error, high_is_worse=True),
            data=data,
            model=model,
            integers=integers,
            skipped=skipped,
            program_sha256=program_sha256,
        )


def zero(nodes: Iterable[str], timesteps: int, compared: bool = True) -> Score:
    """The score of no samples: the neutral element of addition for a program with these nodes, with or without an analog
    program that it is compared with."""
    none = (0,) * timesteps
    empties: tuple[Histogram, ...] = ({},) * timesteps
    if not compared:
        return Score(empty(list(nodes), timesteps), none, None, None, None, None)
    return Score(empty(list(nodes), timesteps), none, none, 0, empties, empties)


def chosen_alike(outputs: np.ndarray, analog: np.ndarray | None, labels: np.ndarray, activity: Activity) -> Score:
    """The score of a run: which classes were chosen, without how near readouts came to the analog ones.

    Parameters
    ----------
    outputs : readouts (T, N, classes), after every step
    analog : readouts (N, classes) of the analog program, if there is one
    labels : (N,) the right classes
    activity : what was counted
    """
    chosen = outputs.argmax(axis=-1)
    correct = tuple((chosen == labels).sum(axis=1).tolist())
    if analog is None:
        return Score(activity, correct, None, None, None, None)
    expected = analog.argmax(axis=-1)
    agreeing = tuple((chosen == expected).sum(axis=1).tolist())
    return Score(activity, correct, agreeing, int((expected == labels).sum()), None, None)


def _sum(a: Any, b: Any) -> Any:
    """Sum of two fields of scores, element by element; histograms in order of their values."""
    if a is None or b is None:
        return None
    if isinstance(a, tuple):
        return tuple(_sum(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return {value: a.get(value, 0) + b.get(value, 0) for value in sorted({*a, *b})}
    return a + b


def spread(steps: Sequence[Mapping[int, int]], high_is_worse: bool) -> Spread:
    """How samples spread, by a histogram of them for every step, in units of :data:`RESOLUTION`."""
    rows = []
    for histogram in steps:
        n, order = sum(histogram.values()), sorted(histogram, reverse=high_is_worse)
        cumulative = list(accumulate(histogram[value] for value in order))  # samples as bad as a value, or worse
        mean = sum(value * samples for value, samples in histogram.items()) / n
        rows.append((mean, order[bisect_left(cumulative, -(-n // 20))], order[0]))
    return Spread(*(tuple(round(value * RESOLUTION, 9) for value in column) for column in zip(*rows, strict=True)))


def load_evaluation(path: Path) -> Evaluation:
    """An evaluation from the file that ``evaluate --out`` wrote.

    Raises
    ------
    RunError
        if it is missing or malformed, or says what no evaluation can.
    """
    return read_measured(path, Evaluation, "evaluate", _impossible)


def _impossible(read: Evaluation) -> str | None:
    """Why nothing can have measured this."""
    size = (read.n_samples, read.timesteps)
    if min(size) < 1 or size != (read.activity.n_samples, read.activity.timesteps):
        counted = f"{read.activity.n_samples} of {read.activity.timesteps}"
        return f"{plural(size[0], 'sample')} of {plural(size[1], 'step')}, and counts over {counted}"
    for name, shares in (("accuracy", read.accuracy), ("agreement", read.agreement)):
        if shares is not None and not (len(shares) == size[1] and all(0 <= share <= 1 for share in shares)):
            return f"{name} is no share of the samples for each of {plural(size[1], 'step')}"
    if read.analog_accuracy is not None and not 0 <= read.analog_accuracy <= 1:
        return f"analog_accuracy is {read.analog_accuracy}, expected a share of the samples"
    return None


def write_evaluation(path: Path, result: Evaluation) -> None:
    """Write a result as JSON, the same bytes however it was computed."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(result), indent=1))
