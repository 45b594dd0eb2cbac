"""The spaces of attention heads: channels that linear layers write and only a product, or the layers behind it, read.

Queries and keys of a head meet in a product that sums over their channels: the same in every orthonormal basis that both are
written in. What values a product averages keeps its channels, so that a basis they are written in may be undone in the layer
that reads them. In the basis of their principal components few channels of a head say most of it, and the others are silent:
events are saved at all four operands. It is the same mathematics, in the weights alone.

Which channels these are is found from where labels of a layer's outputs end up, whatever the nodes between are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.answers import samples_at_once
from ecmt_deploy.conversion.calibration.tools.neurons import with_nodes
from ecmt_deploy.conversion.calibration.tools.rotation import same_answers
from ecmt_deploy.conversion.lowering import Lowered
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.program import Program
from ecmt_deploy.program.graph import unrepeated
from ecmt_deploy.program.ops import Op


class End(NamedTuple):
    """A side of a space: the channels of every head in the weight of a linear layer.

    Attributes
    ----------
    layer : a linear layer
    writes : whether they are its outputs
    channels : (heads, size)
    constants : biases that are added to them, channels along the last axis
    """

    layer: str
    writes: bool
    channels: np.ndarray
    constants: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeadSpace:
    """Channels of heads, which may be written in another basis at all their ends at once.

    Attributes
    ----------
    ends : its sides
    seen : by stream in which they are seen, their labels there: 1 + head size + channel
    """

    ends: tuple[End, ...]
    seen: Mapping[str, np.ndarray]

    def order(self, stream: str) -> np.ndarray:
        """Where the channels of every head are in the flattened stream, (rows, heads, size)."""
        heads, size = self.ends[0].channels.shape
        return np.argsort(self.seen[stream].ravel(), kind="stable").reshape(heads, size, -1).transpose(2, 0, 1).copy()


def head_spaces(program: Program) -> list[HeadSpace]:
    """The spaces of an analog program, in the order of its products."""
    traces = {name: _of_layer(program, name) for name, node in program.nodes.items() if node.layer == "linear"}
    found = []
    for name, node in program.nodes.items():
        if node.role == "product" and node.product == "matmul":
            found += [_summed(program, name, traces), _averaged(program, name, traces)]
    return [space for space in found if space is not None]


def in_head_bases(lowered: Lowered, x: Tensor) -> Lowered:
    """The same mathematics with the channels of every head in the basis of their principal components over samples.

    Parameters
    ----------
    lowered : an analog program with the places of its neurons
    x : samples (N, *input shape)

    Where rounding would change the answers, the program is left as it is, with a warning.
    """
    program = lowered.program
    spaces, made = head_spaces(program), dict[str, Op]()
    for space, bases in zip(spaces, _principal_components(program, spaces, x), strict=True):
        for end in space.ends:
            node: Any = made.get(end.layer, program.nodes[end.layer])
            made[end.layer] = replace(node, weight=_turned(node.weight, end.channels, bases, 0 if end.writes else 1))
            for name in end.constants:
                node = made.get(name, program.nodes[name])
                value = _turned(unrepeated(node.value), end.channels, bases, node.value.ndim - 1)
                made[name] = replace(node, value=np.broadcast_to(value, node.value.shape))
    if not made:
        return lowered
    turned = replace(lowered, program=with_nodes(program, made))
    return turned if same_answers(lowered, turned, x) else lowered


def _turned(array: np.ndarray, channels: np.ndarray, bases: np.ndarray, axis: int) -> np.ndarray:
    """An array whose channels along an axis are written in bases (heads, size, size), a row a component."""
    turned = np.moveaxis(array.astype(np.float64), axis, 0)
    for chosen, basis in zip(channels, bases, strict=True):
        turned[chosen] = np.tensordot(basis, turned[chosen], axes=1)
    return np.moveaxis(turned, 0, axis).astype(array.dtype)


def _principal_components(program: Program, spaces: list[HeadSpace], x: Tensor) -> list[np.ndarray]:
    """By space, bases (heads, size, size): components of what is seen of it about its mean over samples, the largest first."""
    where = {stream: torch.from_numpy(space.order(stream)) for space in spaces for stream in space.seen}
    sums: dict[str, Any] = dict.fromkeys(where, 0.0)
    squares: dict[str, Any] = dict.fromkeys(where, 0.0)

    def observe(name: str, value: Tensor) -> None:
        if name in where:
            rows = value.flatten(1)[:, where[name]].double()  # (B, rows, heads, size)
            sums[name] = sums[name] + rows.sum(dim=0)
            squares[name] = squares[name] + torch.einsum("brhi,brhj->hij", rows, rows)

    engine = SpikingModel(program)
    for part in x.split(samples_at_once(program)):
        engine.trace(part, observe)
    found = []
    for space in spaces:
        total = torch.zeros(())
        for stream in space.seen:
            covariance = squares[stream] - torch.einsum("rhi,rhj->hij", sums[stream], sums[stream]) / len(x)
            scale = covariance.diagonal(dim1=1, dim2=2).sum(dim=1).clamp(min=1e-300)
            total = total + covariance / scale[:, None, None]
        found.append(torch.linalg.eigh(total).eigenvectors.flip(2).mT.numpy())
    return found


class _Trace:
    """Where the labels that a stream carries end up: in front of what is neither wiring, a neuron nor a scale for all alike.

    Attributes
    ----------
    arrivals : by taker and position, the labels there; 0 is what is not labelled
    constants : what is added to labels that nothing has moved yet
    """

    def __init__(self, program: Program, origin: str, labels: np.ndarray) -> None:
        self.arrivals: dict[tuple[str, int], np.ndarray] = {}
        self.constants: list[str] = []
        self._program, self._labels, reached = program, labels, {origin: labels}
        for name, sources in program.operands.items():
            if any(source in reached for source in sources):
                given = [reached.get(source, np.zeros(program.shapes[source], np.int64)) for source in sources]
                passed = self._passed(name, given)
                if passed is not None:
                    reached[name] = passed
                    continue
                self.arrivals |= {(name, at): found for at, found in enumerate(given) if sources[at] in reached}

    def at(self, taker: str, position: int) -> np.ndarray | None:
        """The labels that arrive there, if everything there is labelled and arrives nowhere else."""
        found = self.arrivals.get((taker, position))
        if found is None or not found.all():
            return None
        others = [labels for where, labels in self.arrivals.items() if where != (taker, position)]
        return None if any(np.isin(labels, found).any() for labels in others) else found

    def _passed(self, name: str, given: list[np.ndarray]) -> np.ndarray | None:
        """The labels behind a node; ``None`` where it makes something else of what they are on."""
        program, node = self._program, self._program.nodes[name]
        if node.role == "neuron":
            return given[0]
        if node.role == "movement":
            moved: np.ndarray = node.rewire(*given)
            return moved
        if node.role != "arithmetic":
            return None
        labelled = [labels for labels in given if labels.any()]
        others = [source for source, labels in zip(program.operands[name], given, strict=True) if not labels.any()]
        if len(labelled) != 1 or not all(program.nodes[other].role == "constant" for other in others):
            return None
        if others and (labelled[0] is not self._labels or any(program.takers[other] != [name] for other in others)):
            return None  # it would have to be written in another basis where it is
        streams = [Stream(labels.astype(np.float64), np.ones(labels.shape, bool)) for labels in given]
        made = kernel(node, Site.of(program, name), np.dtype(np.float64)).advance(1, *streams).value
        if made.shape != labelled[0].shape:
            return None
        factors = made[labelled[0] > 0] / labelled[0][labelled[0] > 0]
        if not factors.size or not factors[0] or not np.allclose(factors, factors[0], rtol=1e-12, atol=0):
            return None
        self.constants += others
        return labelled[0]


def _of_layer(program: Program, layer: str) -> _Trace:
    shape = program.shapes[layer]
    return _Trace(program, layer, np.broadcast_to(np.arange(1, shape[-1] + 1), shape))


def _heads(labels: np.ndarray, axis: int) -> np.ndarray | None:
    """The labels (leading axes, channels) of the matrices of an operand; ``None`` where they change along the other axis."""
    rows = np.moveaxis(labels, axis, -1)
    return rows[..., 0, :] if rows.ndim > 1 and (rows == rows[..., :1, :]).all() else None


def _summed(program: Program, product: str, traces: Mapping[str, _Trace]) -> HeadSpace | None:
    """The space of channels that a product sums over."""
    sides = []
    for position, axis in enumerate((-1, -2)):
        for layer, trace in traces.items():
            labels = trace.at(product, position)
            heads = None if labels is None else _heads(labels, axis)
            if labels is not None and heads is not None:
                sides.append((layer, labels, heads))
    if len(sides) != 2 or sides[0][2].shape != sides[1][2].shape:
        return None
    size = sides[0][2].shape[-1]
    pairs = np.unique(np.concatenate([heads.reshape(-1, size) for _, _, heads in sides], axis=1), axis=0)
    ends, seen = [], {}
    for position, (layer, labels, _) in enumerate(sides):
        channels = pairs[:, position * size : (position + 1) * size]
        if len(np.unique(channels)) != channels.size:
            return None  # heads that share some
        ends.append(End(layer, True, channels - 1, tuple(traces[layer].constants)))
        seen[program.operands[product][position]] = _numbered(labels, channels)
    return HeadSpace(tuple(ends), seen)


def _averaged(program: Program, product: str, traces: Mapping[str, _Trace]) -> HeadSpace | None:
    """The space of channels that the rows of a product's right operand have, and so has what it gives to linear layers."""
    for layer, trace in traces.items():
        labels = trace.at(product, 1)
        heads = None if labels is None else _heads(labels, -1)
        if labels is None or heads is None:
            continue
        channels = np.unique(heads.reshape(-1, heads.shape[-1]), axis=0)
        if len(np.unique(channels)) != channels.size:
            continue
        given = np.broadcast_to(_numbered(heads, channels)[..., None, :], program.shapes[product])
        behind = _Trace(program, product, given)
        ends = [End(layer, True, channels - 1, tuple(trace.constants))]
        for reader, position in behind.arrivals:
            found = behind.at(reader, position)
            if found is None or program.nodes[reader].layer != "linear" or behind.constants:
                break
            order = found.reshape(-1, found.shape[-1])
            if (order != order[0]).any() or not len(np.unique(order[0])) == order.shape[1] == channels.size:
                break
            ends.append(End(reader, False, np.argsort(order[0]).reshape(channels.shape)))
        else:
            if len(ends) > 1:
                return HeadSpace(tuple(ends), {program.operands[product][1]: _numbered(labels, channels)})
    return None


def _numbered(labels: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Labels as they follow in ``channels`` (heads, size), from 1 on."""
    numbers = np.zeros(int(channels.max()) + 1, np.int64)
    numbers[channels.ravel()] = np.arange(1, channels.size + 1)
    return numbers[labels]
