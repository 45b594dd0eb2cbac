"""The residual spaces of a program: channels that several layers write to and norms alone read.

What is written there may be written in another orthonormal basis, if whatever reads it takes that basis: an RMS norm gives the
same in every one of them, and a layer norm is an RMS norm of centred channels (Ashkboos et al., *SliceGPT*, ICLR 2024, call it
computational invariance). Which streams hold the channels of a space, and along which axis, is found from what nodes do to a
ramp along that axis, whatever their types are.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.program import Program

#: functions that read a space, the channels being their last axis; whether they centre them first
NORMS = {"layer_norm": True, "rms_norm": False}
log = logging.getLogger(__name__)


class Reader(NamedTuple):
    """Where the output of a norm goes.

    Attributes
    ----------
    norm : the norm
    stream : its stream, perhaps moved, that ``taker`` takes
    taker : a linear layer or, in front of one, its neuron; any other node needs the channels as they were
    layers : the linear layers behind the taker; none where it is another node
    """

    norm: str
    stream: str
    taker: str
    layers: tuple[str, ...]


class Passage(NamedTuple):
    """What a linear node makes of channels along an axis of one of its operands.

    Attributes
    ----------
    axis : along which they leave it
    gains : what single channels are multiplied by (size,); ``None`` where it is the same for all of a row
    unchanged : whether they leave it as they came, in every row
    """

    axis: int
    gains: np.ndarray | None
    unchanged: bool


@dataclass
class Space:
    """Channels that are written by some nodes and read by norms.

    Attributes
    ----------
    size : number of channels
    axes : by stream that holds them, their axis
    gains : by stream, what its channels are multiplied by on their way into the space (size,); absent where that is one
    writers : linear layers, convolutions, tables of embeddings and constants
    scales : nodes that multiply single channels on the way, such as a LayerScale
    norms : what reads it
    readers : where their outputs go
    """

    size: int
    axes: dict[str, int] = field(default_factory=dict)
    gains: dict[str, np.ndarray] = field(default_factory=dict)
    writers: list[str] = field(default_factory=list)
    scales: list[str] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)


class NoSpaceError(ValueError):
    """Why channels must stay as they are."""


def residual_spaces(program: Program) -> list[Space]:
    """The spaces of a floating program, in the order of their first norms; those that must stay as they are are left out."""
    explorer = _Explorer(program)
    found: list[Space] = []
    for name in program.nodes:
        if explorer.is_norm(name) and not any(name in space.norms for space in found):
            try:
                found.append(explorer.space(name))
            except NoSpaceError as error:
                log.debug("the channels that %s reads stay as they are: %s", name, error)
    return found


class _Explorer:
    def __init__(self, program: Program) -> None:
        self.program, self.nodes = program, program.nodes
        self.takers: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        for name, sources in program.operands.items():
            for position, source in enumerate(sources):
                self.takers[source].append((name, position))
        self.through = cache(self._through)

    def is_norm(self, name: str) -> bool:
        """Whether a node normalises the last axis of one operand."""
        node = self.nodes[name]
        return node.role == "function" and node.function in NORMS and int(node.parameters["normalized_axes"]) == 1

    def space(self, norm: str) -> Space:
        """The space that a norm reads.

        Raises
        ------
        NoSpaceError
            if something else reads it, or if it is written by what cannot take another basis.
        """
        (source,) = self.program.operands[norm]
        shape = self.program.shapes[source]
        space = Space(shape[-1])
        reached = [(source, len(shape) - 1, np.ones(space.size))]
        while reached:
            stream, axis, gain = reached.pop()
            if stream not in space.axes:
                space.axes[stream], space.gains[stream] = axis, gain
                reached += self._written(space, stream) + self._taken(space, stream)
            elif space.axes[stream] != axis or not np.array_equal(space.gains[stream], gain):
                raise NoSpaceError(f"{stream} is read in two ways")
        space.gains = {stream: gain for stream, gain in space.gains.items() if not (gain == 1).all()}
        if len({NORMS[self.nodes[name].function] for name in space.norms}) > 1:
            raise NoSpaceError("some norms centre the channels and some do not")
        space.readers = [reader for name in space.norms for reader in self._readers(name)]
        both = {layer for reader in space.readers for layer in reader.layers}.intersection(space.writers)
        if both:
            raise NoSpaceError(f"{both.pop()} reads and writes it")
        return space

    def _written(self, space: Space, stream: str) -> list[tuple[str, int, np.ndarray]]:
        """What the node of a stream takes from the space; notes writers and scales."""
        node, axis = self.nodes[stream], space.axes[stream]
        last = len(self.program.shapes[stream]) - 1
        writes = {"linear": axis == last, "convolution": axis == 0 and int(getattr(node, "groups", 1)) == 1}
        written = axis == last if node.takes_tokens else writes.get(node.layer, False)  # rows of a table, or of weights
        if node.role == "constant" or (node.role == "synapse" and written):
            space.writers.append(stream)
            return []
        if node.role not in ("movement", "arithmetic"):
            raise NoSpaceError(f"{stream} writes to it, a node of kind {node.kind}")
        found = []
        for position, source in enumerate(self.program.operands[stream]):
            for before in range(len(self.program.shapes[source])):
                moved = self.through(stream, position, before, space.size)
                if moved is not None and moved.axis == axis:
                    if moved.gains is not None:
                        space.scales.append(stream)
                    found.append((source, before, space.gains[stream] * (1.0 if moved.gains is None else moved.gains)))
                    break
            else:
                raise NoSpaceError(f"{stream} mixes its channels")
        return found

    def _taken(self, space: Space, stream: str) -> list[tuple[str, int, np.ndarray]]:
        """Where a stream goes within the space; notes norms."""
        axis, gain, found = space.axes[stream], space.gains[stream], []
        for taker, position in self.takers[stream]:
            if taker in space.axes or taker in space.norms:
                continue
            role = self.nodes[taker].role
            if self.is_norm(taker) and axis == len(self.program.shapes[stream]) - 1 and (gain == 1).all():
                space.norms.append(taker)
                continue
            moved = self.through(taker, position, axis, space.size) if role in ("movement", "arithmetic") else None
            if moved is None or moved.gains is not None:
                raise NoSpaceError(f"{taker} reads it, a node of kind {self.nodes[taker].kind}")
            found.append((taker, moved.axis, gain))
        return found

    def _readers(self, norm: str) -> list[Reader]:
        """Where the output of a norm goes, through whatever moves or averages rows."""
        found, reached = [], [(norm, len(self.program.shapes[norm]) - 1)]
        while reached:
            stream, axis = reached.pop()
            last = axis == len(self.program.shapes[stream]) - 1
            for taker, position in self.takers[stream]:
                node = self.nodes[taker]
                # other operands would have another basis
                alone = node.role in ("movement", "arithmetic") and len(self.program.operands[taker]) == 1
                moved = self.through(taker, position, axis, self.program.shapes[norm][-1]) if alone else None
                if moved is not None and moved.unchanged:
                    reached.append((taker, moved.axis))
                    continue
                behind = [name for name, _ in self.takers[taker]] if node.role == "neuron" else [taker]
                layers = tuple(name for name in behind if self.nodes[name].layer == "linear")
                if not last:
                    raise NoSpaceError(f"{taker} takes the output of {norm} along another axis")
                found.append(Reader(norm, stream, taker, layers if len(layers) == len(behind) else ()))
        return found

    def _through(self, name: str, position: int, axis: int, size: int) -> Passage | None:
        """How channels along an axis of an operand pass a linear node; ``None`` where they do not leave it as channels."""
        shapes = [self.program.shapes[source] for source in self.program.operands[name]]
        if shapes[position][axis] != size:
            return None
        ramp = np.arange(1.0, size + 1)
        given = [np.zeros(shape) for shape in shapes]
        given[position] += ramp.reshape([-1 if i == axis else 1 for i in range(len(shapes[position]))])
        running = kernel(self.nodes[name], Site.of(self.program, name), np.dtype(np.float64))
        out = running.advance(1, *(Stream(x, np.ones(x.shape, bool)) for x in given)).value
        for after in (i for i, length in enumerate(out.shape) if length == size):
            ratios = (np.moveaxis(out, after, -1) / ramp).reshape(-1, size)
            if not ratios.any():
                continue
            if np.allclose(ratios, ratios[:, :1], rtol=1e-9, atol=0):
                return Passage(after, None, np.allclose(ratios, 1, rtol=1e-9, atol=0))
            if (ratios == ratios[0]).all():
                return Passage(after, ratios[0], False)
        return None
