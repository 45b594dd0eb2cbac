"""What an evaluation adds up: integers over batches, and the shares that are formed from them once, at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy.activity import INTEGER_COUNTS, Activity, Counts, empty
from ecmt_deploy.files import write_atomically


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an evaluation measured.

    Attributes
    ----------
    n_samples, timesteps : size of the evaluation
    analog_accuracy : share of samples the analog program (neurons as identity, equal to the model) gets right
    accuracy : the same of the spiking program, after every step 1..T
    agreement : share of samples on which spiking and analog program choose the same class, after every step
    activity : counts per node, after T steps
    data, model : what was evaluated, where known
    """

    n_samples: int
    timesteps: int
    analog_accuracy: float
    accuracy: tuple[float, ...]
    agreement: tuple[float, ...]
    activity: Activity
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
    """

    activity: Activity
    correct: tuple[int, ...]
    agreeing: tuple[int, ...]
    analog_correct: int

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
        )

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """Pairs of node and kind of function for which elements are counted; none before the first batch."""
        return {(name, kind) for name, counts in self.activity.items() for kind in counts.ecm_ops}

    def vector(self, kinds: Sequence[tuple[str, str]]) -> np.ndarray:
        """All integers as one int64 vector, whose layout follows from nodes, time steps and ``kinds`` alone."""
        nodes = self.activity.nodes
        counts = [getattr(node, field) for node in nodes.values() for field in INTEGER_COUNTS]
        ops = [nodes[name].ecm_ops.get(kind, 0) for name, kind in kinds]
        head = [self.n_samples, self.analog_correct, *self.correct, *self.agreeing]
        return np.array(head + counts + ops, dtype=np.int64)

    def with_vector(self, vector: np.ndarray, kinds: Sequence[tuple[str, str]]) -> Totals:
        """The totals of the same nodes and time steps that a vector of :meth:`vector`'s layout holds."""
        steps, names = self.activity.timesteps, self.activity.keys()
        sizes = [2, steps, steps, len(names) * len(INTEGER_COUNTS)]
        head, correct, agreeing, counts, ops = (part.tolist() for part in np.split(vector, np.cumsum(sizes)))
        of_node: dict[str, dict[str, int]] = {name: {} for name in names}
        for (name, kind), value in zip(kinds, ops, strict=True):
            of_node[name][kind] = value
        rows = np.reshape(counts, (len(names), len(INTEGER_COUNTS))).tolist()
        nodes = {
            name: Counts(**dict(zip(INTEGER_COUNTS, row, strict=True)), ecm_ops=of_node[name])
            for name, row in zip(names, rows, strict=True)
        }
        return Totals(Activity(head[0], steps, nodes), tuple(correct), tuple(agreeing), head[1])

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
            data=data,
            model=model,
        )


def nothing(names: Iterable[str], timesteps: int) -> Totals:
    """The totals of no samples: the neutral element of addition for a program with these node names."""
    return Totals(empty(list(names), timesteps), (0,) * timesteps, (0,) * timesteps, 0)


def write_evaluation(path: Path, result: Evaluation) -> None:
    """Write a result as JSON, the same bytes however it was computed."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(result), indent=1))
