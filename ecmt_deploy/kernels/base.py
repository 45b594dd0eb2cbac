"""The interface of a kernel: one node, one sample, one step at a time, and its counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.errors import NotFiniteError
from ecmt_deploy.kernels.counts import INTEGER_COUNTS, Counts
from ecmt_deploy.kernels.streams import Part, Stream, row_by_row, rows, width

if TYPE_CHECKING:
    from ecmt_deploy.program import Program


@dataclass(frozen=True)
class Site:
    """Where a node stands in its program: all a kernel needs to know besides the node itself.

    Attributes
    ----------
    operand_shapes : shape of each operand
    shape : shape of the output
    spiking : whether each operand holds nothing but spikes
    encoding : whether the node is an encoding layer
    once : whether each operand is exact, so that it enters at t = 1 alone; none where no program is around
    finite : whether the run ends where an operand is infinite or no number
    name : the node's, for errors
    counted : of an operand that several cores keep a copy of, the elements that this core counts; none or ``None``: all
    network_macs : multiply-accumulates that the network spends on the node, where they are not all of the node's
    """

    operand_shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    spiking: tuple[bool, ...]
    encoding: bool
    finite: tuple[bool, ...] = ()
    name: str = ""
    network_macs: int | None = None
    counted: tuple[np.ndarray | None, ...] = ()
    once: tuple[bool, ...] = ()

    @classmethod
    def of(cls, program: Program, name: str) -> Site:
        """The site of node ``name`` in ``program``."""
        sources = program.operands[name]
        return cls(
            operand_shapes=tuple(program.shapes[source] for source in sources),
            shape=program.shapes[name],
            spiking=tuple(source in program.spiking for source in sources),
            encoding=name in program.encoding,
            finite=tuple(source in program.must_be_finite(name) for source in sources),
            name=name,
            once=tuple(source in program.exact for source in sources),
            network_macs=(program.provenance.network_macs or {}).get(name),
        )


class Kernel(ABC):
    """One node running: state of one inference, or of a stream of frames, and counts over all of them.

    Parameters
    ----------
    node : the node
    site : where it stands
    dtype : floating dtype of state and arithmetic
    """

    def __init__(self, node: Any, site: Site, dtype: np.dtype) -> None:
        self.node, self.site, self.dtype = node, site, np.dtype(dtype)
        self.tally: Counter[str] = Counter()
        self._elements = 0
        self.reset()

    @property
    def counts(self) -> Counts:
        """Counts since the kernel was made."""
        return Counts(**self.tally, ecm_ops={self.ecm_kind: self._elements} if self.ecm_kind else {})

    @property
    def row(self) -> list[int]:
        """The same as integers: those of ``INTEGER_COUNTS``, then the elements evaluated."""
        return [*(self.tally[name] for name in INTEGER_COUNTS), self._elements]

    @property
    def ecm_kind(self) -> str | None:
        """Under which kind the node's elementwise work is counted; ``None`` where it does none."""
        return None

    def count_elements(self, elements: int) -> None:
        """Count elements evaluated, under the node's kind."""
        self._elements += elements

    #: multiply-accumulates that the network spends on the node for one sample
    dense_macs = 0

    def reset(self) -> None:  # noqa: B027 - most kernels have no state
        """Forget the inference: the state before t = 1."""

    def begin(self) -> None:
        """Count what the network spends on a frame that begins; of an inference, and of a first frame, step 1 does."""
        self.tally["dense_macs"] += self.dense_macs if self.site.network_macs is None else self.site.network_macs

    def step(self, t: int, *operands: Stream) -> Stream:
        """Advance to step ``t`` (1, 2, ..) and return the output stream, counting what happened.

        Raises
        ------
        NotFiniteError
            if an operand that must be finite is not.
        """
        for operand, must in zip(operands, self.site.finite, strict=False):  # none are named where no program is around
            if must and not np.isfinite(operand.value).all():
                raise NotFiniteError(self.site.name, self.dtype)
        if t == 1:
            self.begin()
            # at the first step everything is news: every row of every operand counts as changed
            operands = tuple(
                o if spiking else Stream(o.value, np.ones(o.value.shape, bool))
                for o, spiking in zip(operands, self.site.spiking, strict=True)
            )
        value, changed = self.advance(t, *operands)
        if t == 1 and not self.emits_spikes:
            changed = np.ones(value.shape, bool)
        if not self.emits_spikes:
            self.tally["analog_messages"] += int(changed.sum())
        return Stream(value, changed)

    #: attributes that last from step to step
    memory: tuple[str, ...] = ()

    def remembered(self) -> list[np.ndarray]:
        """The arrays in ``memory``, in the order in which the op names its state."""
        arrays = [getattr(self, name) for name in self.memory]
        return [part for array in arrays for part in (array if isinstance(array, list) else [array])]

    def state(self) -> np.ndarray:
        """All that is remembered after a step, (elements,): one array after another, row-major."""
        return np.concatenate([np.ravel(part) for part in self.remembered()])

    #: spikes carry their own mask, and are counted as ``messages``
    emits_spikes = False

    @abstractmethod
    def advance(self, t: int, *operands: Stream) -> Stream:
        """One step of the node's equation, with its counts."""

    def zeros(self, shape: tuple[int, ...]) -> np.ndarray:
        """Zero state of ``shape``."""
        return np.zeros(shape, self.dtype)


class SpikingKernel(Kernel):
    """A neuron of any kind."""

    emits_spikes = True

    def emit(self, x: Stream, spikes: np.ndarray, fired: np.ndarray) -> Stream:
        """Count one step in which ``x`` arrived and ``spikes`` leave."""
        events = int(np.count_nonzero(fired))
        if events:
            active = int(np.count_nonzero(rows(x.changed) | fired))
        else:
            active = int(np.count_nonzero(row_by_row(x.changed))) * width(spikes.shape)
        self.tally.update(
            spikes=events,
            messages=events,
            neuron_updates_active=active,
            neuron_updates_idle=spikes.size - active,
        )
        return Stream(spikes, fired)


class RestingKernel(SpikingKernel):
    """A neuron whose membrane changes by what comes and by what leaves alone.

    A row to which nothing came, and of which nothing fired in the step before, would do again what it did then: nothing.
    """

    memory = ("v",)

    def reset(self) -> None:
        self.v = self.zeros(self.site.shape) + cast(self.node.initial_membrane, self.dtype)
        self.restless = np.ones(self.site.shape[:-1], bool)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,), shape = operands, self.site.shape
        part = Part(row_by_row(x.changed) | self.restless, width(shape))
        if part.empty:
            return self.emit(x, self.zeros(shape), np.zeros(shape, bool))
        v = self.membrane(part.of(self.v), part.of(x.value))
        message, sent = self.fire(v, part)
        self.v = part.renewed(self.v, v - sent)
        spikes = part.spread(message, shape)
        fired = spikes != 0
        self.restless = row_by_row(fired)
        return self.emit(x, spikes, fired)

    def membrane(self, v: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The membrane when the step's operand has arrived."""
        return v + x

    @abstractmethod
    def fire(self, v: np.ndarray, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """What the stream holds of what membranes send, and what that takes off them."""


def cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A parameter in the dtype of the run; float32 to float64 is exact."""
    return np.asarray(array, dtype=dtype)
