"""A verified program: the NIR graph in topological order, with what every engine needs to know about its streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import nir
import numpy as np

from ecmt_deploy.errors import ConfigError, ProgramError, plural
from ecmt_deploy.program.inputs import Inputs, NamedInput
from ecmt_deploy.program.ops import Op, Work
from ecmt_deploy.program.provenance import Provenance
from ecmt_deploy.shown import Tabular


@dataclass(frozen=True, repr=False)
class Program(Tabular):
    """What runs. Made by :func:`ecmt_deploy.program.verify`, never by hand.

    Attributes
    ----------
    nodes : node by name, in topological order (the same everywhere)
    operands : names of the operands of each node, in order
    shapes : shape of each node's output stream for one sample
    spiking : names of the streams that hold nothing but spikes (neurons, and wiring of neurons)
    masked : names of the streams that may hold infinities: constants that mask, and wiring and sums of those
    encoding : names of the nodes with weights that take the analog image or token ids, once per inference
    exact : names of the streams that follow from nothing but tokens, masks and constants that enter once; they enter at t = 1
        alone, and need no neuron
    provenance : where the program comes from
    exponents : of an integer program, the exponent of each analog stream: value = integer * 2**exponent
    """

    nodes: Mapping[str, Op]
    operands: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, tuple[int, ...]]
    spiking: frozenset[str]
    masked: frozenset[str]
    encoding: frozenset[str]
    exact: frozenset[str]
    provenance: Provenance
    exponents: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Program({self.summary})"

    @property
    def summary(self) -> str:
        """What a person wants to know first, in one line."""
        kind = "integer" if self.integer else self.dtype.name
        return (
            f"{self.provenance.model or 'unnamed'!r}, {plural(len(self.nodes), 'node')}, {self.input_shape} to"
            f" {self.output_shape}, {self.coding} coding, T = {self.timesteps}, {kind}"
        )

    @cached_property
    def integer(self) -> bool:
        """Whether this is an integer program (``docs/fixed_point.md``)."""
        return any(node.format is not None for node in self.nodes.values())

    def of_role(self, *roles: str) -> Iterator[str]:
        """Names of the nodes of these roles, in order."""
        return (name for name, node in self.nodes.items() if node.role in roles)

    @cached_property
    def inputs(self) -> Inputs:
        """What it takes, by the names of its ``Input`` nodes."""
        found = ((name, self.nodes[name]) for name in self.of_role("input"))
        return Inputs(tuple(NamedInput(name, self.shapes[name], node.holds, node.limit) for name, node in found))

    @cached_property
    def outside(self) -> frozenset[str]:
        """Nodes whose stream is known when a sample is presented, so that its host computes them and no core does: inputs, what
        is exact, and look-ups of ids."""
        return self.exact | {name for name, node in self.nodes.items() if node.outside}

    @cached_property
    def entering(self) -> frozenset[str]:
        """Those of :attr:`outside` whose stream a core takes."""
        inside = (source for name, sources in self.operands.items() if name not in self.outside for source in sources)
        return self.outside & frozenset[str]().union(*(self.emitters[source] for source in inside))

    @cached_property
    def input_exponents(self) -> np.ndarray:
        """Of an integer program, the exponent of every element of a packed sample; it broadcasts to :attr:`input_shape`."""
        return self.inputs.each(self.exponents).astype(np.int64)

    @property
    def input_name(self) -> str:
        """Name of the ``Input`` node of a program that has one.

        Raises
        ------
        ProgramError
            if it has several.
        """
        if len(self.inputs) > 1:
            raise ProgramError(f"the program takes {', '.join(self.inputs.names)}; expected a program with one input")
        return self.inputs.names[0]

    @property
    def output_name(self) -> str:
        """Name of the ``Output`` node."""
        return next(self.of_role("output"))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (C, H, W) for images; of a program with several inputs that of all of them, packed."""
        return self.inputs.shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one readout, (classes,) for a classifier."""
        return self.shapes[self.output_name]

    @cached_property
    def dtype(self) -> np.dtype:
        """Widest floating dtype among weights, constants and bases: the dtype it was converted in; int64 for integer
        programs."""
        if self.integer:
            return np.dtype(np.int64)
        arrays = [array for node in self.nodes.values() if node.role != "function" for array in parameters(node)]
        kinds = {array.dtype for array in arrays if array.dtype.kind == "f"}
        return np.result_type(*kinds) if kinds else np.dtype(np.float32)

    @property
    def coding(self) -> str:
        """The coding of the readout, ``rate`` or ``differential``."""
        return str(self.nodes[next(self.of_role("readout"))].coding)

    @property
    def timesteps(self) -> int:
        """The number of steps the program was converted for (4 where it does not say)."""
        return int((self.provenance.config or {}).get("timesteps") or 4)

    @property
    def neurons(self) -> tuple[str, ...]:
        """Names of the neuron nodes."""
        return tuple(self.of_role("neuron"))

    @cached_property
    def emitters(self) -> Mapping[str, frozenset[str]]:
        """Of each stream, the nodes whose messages it is made of: its own node, or, of wiring, those that it moves."""
        found: dict[str, frozenset[str]] = {}
        for name, sources in self.operands.items():
            moved = self.nodes[name].role == "movement"
            found[name] = frozenset[str]().union(*(found[source] for source in sources)) if moved else frozenset({name})
        return found

    @property
    def spike_bits(self) -> dict[str, int]:
        """Bits of a message of every neuron node: its level and sign, or its payload."""
        return {name: int(self.nodes[name].message_bits or 0) for name in self.neurons}

    def payload_bits(self, stream: str) -> int | None:
        """Bits of the widest graded payload, sign included, among the events of a stream; ``None`` where none is graded."""
        emitters = (self.nodes[name] for name in self.emitters[stream])
        return max((int(node.message_bits or 0) for node in emitters if node.graded), default=None)

    def work(self, name: str) -> Work:
        """What node ``name`` computes for one sample."""
        return self.nodes[name].work(self.shapes[name], *(self.shapes[source] for source in self.operands[name]))

    def network_macs(self, name: str) -> int:
        """Multiply-accumulates that the network spends on node ``name`` for one sample: what its events are compared with."""
        return (self.provenance.network_macs or {}).get(name, self.work(name).dense_macs)

    def state(self, name: str) -> dict[str, tuple[int, ...]]:
        """Shape of all that node ``name`` remembers from step to step, by name."""
        return self.nodes[name].state(self.shapes[name], *(self.shapes[source] for source in self.operands[name]))

    @cached_property
    def fan_outs(self) -> Mapping[str, float]:
        """Synaptic events that one spike causes, on average over the elements of each neuron node (padding excluded)."""
        events = dict.fromkeys(self.nodes, 0.0)  # of an event at every element of the node's stream
        for name, sources in reversed(list(self.operands.items())):
            for source in sources:
                if self.nodes[name].role in ("synapse", "product"):
                    events[source] += self.work(name).dense_macs
                elif self.nodes[name].role == "movement":
                    total = sum(prod(self.shapes[s]) for s in sources)
                    events[source] += events[name] * prod(self.shapes[source]) / total
        return {name: events[name] / prod(self.shapes[name]) for name in self.neurons}

    def require_range(self, dtype: np.dtype) -> None:
        """Refuse to run in a dtype in which a neuron's levels are no normal numbers, which float64 programs may have.

        Raises
        ------
        ConfigError
            naming the neuron.
        """
        limits = np.finfo(dtype)
        for name, (least, most) in self._levels.items():
            if least < 2 * limits.tiny or most > limits.max:
                raise ConfigError(
                    f"node {name}: its levels, {least:g} to {most:g}, leave the range of {limits.dtype}; run it in float64"
                )

    @cached_property
    def _levels(self) -> dict[str, tuple[float, float]]:
        """Smallest base and largest level of every neuron node of a float program."""
        found = {}
        for name in self.neurons if not self.integer else ():
            found[name] = self.nodes[name].range
        return found

    @cached_property
    def takers(self) -> dict[str, list[str]]:
        """By stream, the nodes that take it, each once, in order."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, sources in self.operands.items():
            for source in dict.fromkeys(sources):
                found[source].append(name)
        return found

    def feeds_linear_alone(self, name: str) -> bool:
        """Whether nothing but linear layers take a stream, whose weights then absorb what its channels are multiplied by."""
        return all(self.nodes[taker].layer == "linear" for taker in self.takers[name])

    def must_be_finite(self, name: str) -> tuple[str, ...]:
        """Operands of a node that a run may not go on with once they are infinite or no number.

        What overflows travels on through weights, products and sums. It is looked for where it could end unseen: in neurons,
        which would fire or fall silent, in functions, which may have a value there, beside masks, and in the readout.
        """
        node = self.nodes[name]
        ends = node.requires_finite or name in self.masked
        operands = self.operands[name] if ends and not self.integer else ()
        return tuple(s for s in operands if not (s in self.masked or s in self.spiking or self._stays_finite(s)))

    def _stays_finite(self, name: str) -> bool:
        """Whether a stream is finite because the operands of its function are, which a run makes sure of."""
        return self.nodes[name].finite and not self.masked.intersection(self.operands[name])

    def graph(self) -> nir.NIRGraph:
        """The program as a NIR graph, nodes and edges sorted by name, without type inference (the dialect has its own)."""
        edges = sorted({(source, name) for name, sources in self.operands.items() for source in sources})
        return nir.NIRGraph({name: self.nodes[name] for name in sorted(self.nodes)}, edges, type_check=False)


def named_parameters(node: Op) -> dict[str, np.ndarray]:
    """The arrays a node holds (weights, constants, bases, function parameters) by field, not its shape."""
    own = {field: getattr(node, field) for field in node.fields if node.role not in ("input", "output")}
    inner = own.pop("parameters", {})
    constants = {} if node.format is None else {field: getattr(node.format, field) for field in type(node.format).fields}
    every = {**own, **{key: inner[key] for key in sorted(inner)}, **constants}
    return {key: value for key, value in every.items() if isinstance(value, np.ndarray)}


def parameters(node: Op) -> list[np.ndarray]:
    """The arrays of :func:`named_parameters`."""
    return list(named_parameters(node).values())


def unrepeated(array: np.ndarray) -> np.ndarray:
    """An array that was broadcast, with each axis along which it repeats itself as one; any other as it is."""
    return array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]


def edges(operands: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Edges (source, destination) of nodes with these operands, each once."""
    return [(source, name) for name, sources in operands.items() for source in set(sources)]


def reconnect(
    nodes: dict[str, Op], operands: dict[str, tuple[str, ...]], old: str, new: str, takers: Iterable[str] | None = None
) -> None:
    """Let all nodes that take the stream of ``old``, or some ``takers``, take that of ``new``; nodes that name their operands
    are replaced."""
    for taker in list(operands) if takers is None else takers:
        if old in operands[taker]:
            operands[taker] = tuple(new if source == old else source for source in operands[taker])
            if nodes[taker].arity is None:
                nodes[taker] = replace(nodes[taker], operands=operands[taker])  # type: ignore[call-arg]
