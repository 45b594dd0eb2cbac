"""What an evaluation adds up: integers over batches, and the shares that are formed from them once, at the end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.files import write_atomically
from ecmt_deploy.program.activity import INTEGER_COUNTS, Activity, Counts, empty

#: readouts are compared to this resolution, as whole numbers of it, so that how they spread adds up exactly
RESOLUTION = 1e-4
#: of a readout that is no number, or infinitely far away
LARGEST = 1e6


#: field, node or time step, and kind or value of something that is counted
Key = tuple[str, str, str]


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an evaluation measured.

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
    """

    n_samples: int
    timesteps: int
    analog_accuracy: float
    accuracy: tuple[float, ...]
    agreement: tuple[float, ...]
    activity: Activity
    cosine: Spread
    relative_error: Spread
    data: str | None = None
    model: str | None = None

    def __repr__(self) -> str:
        right = "".join(f"{share:.2%} right, " for share in self.accuracy[-1:])
        return f"Evaluation({self.n_samples} samples, T = {self.timesteps}: {right}analog {self.analog_accuracy:.2%})"


class Totals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What some batches add to an evaluation. Integers only, so that the order and the grouping of additions leave no trace.

    Attributes
    ----------
    activity : counts per node over these samples
    correct, agreeing : samples right, and samples on which the analog program chooses the same, after every step 1..T
    analog_correct : samples the analog program gets right
    cosine, relative_error : samples by value, in units of :data:`RESOLUTION`, after every step 1..T
    """

    activity: Activity
    correct: tuple[int, ...]
    agreeing: tuple[int, ...]
    analog_correct: int
    cosine: tuple[dict[int, int], ...]
    relative_error: tuple[dict[int, int], ...]

    @property
    def n_samples(self) -> int:
        """Samples these totals are over."""
        return self.activity.n_samples

    def __add__(self, other: Totals) -> Totals:
        """Sum over two disjoint sets of samples of one evaluation.

        Raises
        ------
        RunError
            if they differ in time steps or nodes.
        """
        return Totals(
            self.activity + other.activity,
            tuple(a + b for a, b in zip(self.correct, other.correct, strict=True)),
            tuple(a + b for a, b in zip(self.agreeing, other.agreeing, strict=True)),
            self.analog_correct + other.analog_correct,
            tuple(_sum(a, b) for a, b in zip(self.cosine, other.cosine, strict=True)),
            tuple(_sum(a, b) for a, b in zip(self.relative_error, other.relative_error, strict=True)),
        )

    @property
    def _sparse(self) -> dict[Key, int]:
        """What is counted by kinds that turn up on the way: functions of a node, values of a step."""
        found: dict[Key, int] = {}
        for name, counts in self.activity.items():
            found |= {("ecm_ops", name, kind): number for kind, number in counts.ecm_ops.items()}
        for field in ("cosine", "relative_error"):
            for t, values in enumerate(getattr(self, field)):
                found |= {(field, str(t), str(value)): number for value, number in values.items()}
        return found

    @property
    def kinds(self) -> set[Key]:
        """What is counted besides the counts of every node and step; nothing before the first batch."""
        return set(self._sparse)

    def vector(self, kinds: Sequence[Key]) -> np.ndarray:
        """All integers as one int64 vector, whose layout follows from nodes, time steps and ``kinds`` alone."""
        nodes, sparse = self.activity.nodes, self._sparse
        counts = [getattr(node, field) for node in nodes.values() for field in INTEGER_COUNTS]
        head = [self.n_samples, self.analog_correct, *self.correct, *self.agreeing]
        return np.array(head + counts + [sparse.get(kind, 0) for kind in kinds], dtype=np.int64)

    def with_vector(self, vector: np.ndarray, kinds: Sequence[Key]) -> Totals:
        """The totals of the same nodes and time steps that a vector of :meth:`vector`'s layout holds."""
        steps, names = self.activity.timesteps, self.activity.keys()
        sizes = [2, steps, steps, len(names) * len(INTEGER_COUNTS)]
        head, correct, agreeing, counts, sparse = (part.tolist() for part in np.split(vector, np.cumsum(sizes)))
        of_node: dict[str, dict[str, int]] = {name: {} for name in names}
        of_step: dict[str, list[dict[int, int]]] = {f: [{} for _ in range(steps)] for f in ("cosine", "relative_error")}
        for (field, where, kind), number in zip(kinds, sparse, strict=True):
            if field == "ecm_ops":
                of_node[where][kind] = number
            else:
                of_step[field][int(where)][int(kind)] = number
        rows = np.reshape(counts, (len(names), len(INTEGER_COUNTS))).tolist()
        nodes = {
            name: Counts(**dict(zip(INTEGER_COUNTS, row, strict=True)), ecm_ops=of_node[name])
            for name, row in zip(names, rows, strict=True)
        }
        spreads = (tuple(_sum(values, {}) for values in of_step[field]) for field in ("cosine", "relative_error"))
        return Totals(Activity(head[0], steps, nodes), tuple(correct), tuple(agreeing), head[1], *spreads)

    def evaluation(self, data: str | None, model: str | None) -> Evaluation:
        """The shares; of at least one sample."""
        n = self.n_samples
        return Evaluation(
            n_samples=n,
            timesteps=self.activity.timesteps,
            analog_accuracy=self.analog_correct / n,
            accuracy=tuple(right / n for right in self.correct),
            agreement=tuple(same / n for same in self.agreeing),
            activity=self.activity,
            cosine=_spread(self.cosine, high_is_worse=False),
            relative_error=_spread(self.relative_error, high_is_worse=True),
            data=data,
            model=model,
        )


def nothing(names: Iterable[str], timesteps: int) -> Totals:
    """The totals of no samples: the neutral element of addition for a program with these node names."""
    none: tuple[dict[int, int], ...] = ({},) * timesteps
    return Totals(empty(list(names), timesteps), (0,) * timesteps, (0,) * timesteps, 0, none, none)


def _sum(a: Mapping[int, int], b: Mapping[int, int]) -> dict[int, int]:
    """Numbers of samples by value, in order of the values."""
    return {value: a.get(value, 0) + b.get(value, 0) for value in sorted({*a, *b})}


def _spread(steps: Sequence[Mapping[int, int]], high_is_worse: bool) -> Spread:
    rows = []
    for values in steps:
        n, order = sum(values.values()), sorted(values, reverse=high_is_worse)
        up_to = list(accumulate(values[value] for value in order))  # samples as bad as a value, or worse
        mean = sum(value * number for value, number in values.items()) / n
        rows.append((mean, order[bisect_left(up_to, -(-n // 20))], order[0]))
    return Spread(*(tuple(round(value * RESOLUTION, 9) for value in column) for column in zip(*rows, strict=True)))


def write_evaluation(path: Path, result: Evaluation) -> None:
    """Write a result as JSON, the same bytes however it was computed."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(result), indent=1))
