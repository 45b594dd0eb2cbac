"""A program in the making, and what is drawn for it: numbers, shapes, streams and the nodes that other nodes need."""

from __future__ import annotations

from math import prod
from typing import Any

import nir
import numpy as np

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program import ops
from ecmt_deploy.program.verification import infer

Shape = tuple[int, ...]
FLOAT64 = np.dtype(np.float64)
#: no stream grows beyond this
MOST_ELEMENTS = 240
#: a mean that is smaller than this share of its terms is rounding: that of normalised rows, say
CANCELLED = 1e-9
#: a function that gives so many times its operand, an exponential, gives far less at another step: its change is rounding then
STEEP = 1e4


class Drawing:
    """A program in the making: its streams so far, with what each is on one sample when neurons pass everything on."""

    #: what enters, and its size
    sample: np.ndarray
    sample_size: float

    def __init__(self, seed: int, quantisable: bool) -> None:
        self.r = np.random.default_rng(seed)
        #: draws graded neurons, in some programs: the others are of a seed what they were before there were any
        self.graded = np.random.default_rng((seed, 1))
        #: draws corrections of weights, likewise
        self.correcting = np.random.default_rng((seed, 2))
        #: draws convolutions that list their windows, likewise
        self.listing = np.random.default_rng((seed, 3))
        self.graded_share = float(self.graded.choice([0.0, 0.3, 1.0]))
        self.quantisable = quantisable
        self.coding = str(self.r.choice(ops.CODINGS))
        self.mixed = not quantisable and self.chance(0.15)
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.values: dict[str, np.ndarray] = {}
        self.spiking: set[str] = set()
        self.masked: set[str] = set()
        self.most_elements: float = MOST_ELEMENTS
        self.finishing = False

    def chance(self, probability: float) -> bool:
        return bool(self.r.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """From ``low`` to ``high``, both included."""
        return int(self.r.integers(low, high + 1))

    def shape(self, least: int = 0, most: int = 4) -> Shape:
        return tuple(self.integer(1, 4) for _ in range(self.integer(least, most)))

    def numbers(self, shape: Shape, size: float = 1.0) -> np.ndarray:
        """Normal ones of about this size, some of them zero."""
        return np.asarray(self.r.normal(size=shape) * size * (self.r.random(shape) > 0.05))

    def size(self) -> float:
        """Mostly about one, sometimes denormal or huge."""
        if self.quantisable:
            return float(self.r.uniform(0.3, 3))
        return float(10.0 ** self.r.choice([0, 0, 0, 0, 0, 0, -3, 4, 40, -40, -310]))

    def axis(self, ndim: int) -> int:
        """Of so many axes, counted from either end."""
        return self.integer(-ndim, ndim - 1)

    def broadcasting(self, shape: Shape) -> Shape:
        """A shape that broadcasts to ``shape``."""
        kept = shape[self.integer(0, len(shape)) :]
        return tuple(1 if self.chance(0.4) else size for size in kept)

    def own_coding(self) -> str:
        return str(self.r.choice(ops.CODINGS)) if self.mixed else self.coding

    def hidden(self) -> set[str]:
        """Streams that not every node may take."""
        return self.masked

    # --- streams and nodes --------------------------------------------------------------------------------------------

    def stream(self, least_rank: int = 0, spikes: bool = True) -> str:
        """A stream, mostly a late one; ``spikes`` says whether integers may take it where it holds spikes."""
        without = self.hidden() | (self.spiking if self.quantisable and not spikes else set())
        fitting = [s for s, v in self.values.items() if v.ndim >= least_rank and s not in without]
        if not fitting:
            return self.add(ops.Reshape(np.array([1] * least_rank)), self.scalar())
        return fitting[-1 - min(int(self.r.exponential(3)), len(fitting) - 1)]

    def alike(self, shape: Shape, spikes: bool = False) -> list[str]:
        """Streams of a shape."""
        without = self.hidden() | (self.spiking if self.quantisable and not spikes else set())
        return [s for s, v in self.values.items() if v.shape == shape and s not in without]

    def scalar(self) -> str:
        source = self.stream(spikes=False)
        return source if self.values[source].size == 1 else self.mean(source, tuple(range(self.values[source].ndim)))

    def mean(self, source: str | None = None, axes: tuple[int, ...] | None = None) -> str:
        source = source or self.stream(1, spikes=False)
        ndim = self.values[source].ndim
        if axes is None:
            axes = tuple(self.r.permutation(ndim)[: self.integer(1, ndim)].tolist())
        signed = [axis - ndim if self.chance(0.5) else axis for axis in axes]
        return self.add(ops.Mean(np.array(signed), self.chance(0.5)), source) if axes else source

    def add(self, node: nir.NIRNode, *sources: str) -> str:
        """Add a node over streams; its name."""
        shapes = tuple(self.values[source].shape for source in sources)
        site = Site(shapes, infer(node, list(shapes)), tuple(source in self.spiking for source in sources), False)
        running: Any = kernel(node, site, FLOAT64, identity_neurons=True)
        if node.role == "input":
            running.present(self.sample)
        with np.errstate(all="ignore"):
            value = running.step(1, *(Stream(self.values[s], np.ones(self.values[s].shape, bool)) for s in sources)).value
        name = f"{len(self.nodes):02}.{type(node).__name__.lower()}"
        carries_mask = bool({*sources} & self.masked) and node.carries_masks
        finite = carries_mask or node.role == "constant" or np.isfinite(value).all()
        if not finite and not self.finishing and self.chance(0.95):
            raise ProgramError("the value is not finite")
        largest = max([1.0, *(np.abs(self.values[s][np.isfinite(self.values[s])]).max(initial=0) for s in sources)])
        if node.kind == "Mean" and np.abs(value).max() < CANCELLED * np.abs(self.values[sources[0]]).max():
            raise ProgramError("the mean is zero but for rounding, which no two engines share")
        if self.graded_share and node.role == "function" and np.abs(value[np.isfinite(value)]).max(initial=0) > STEEP * largest:
            raise ProgramError("what is left of it where it falls is rounding")
        if prod(value.shape) > self.most_elements:
            raise ProgramError("the stream is too large for a test")
        self.nodes[name] = node
        self.edges += sorted({(source, name) for source in sources})
        self.values[name] = value
        if carries_mask:
            self.masked.add(name)
        if node.emits == "spikes" or (sources and node.emits == "operands" and {*sources} <= self.spiking):
            self.spiking.add(name)
        return name

    def neuron(self, source: str | None = None) -> str:
        source = source or self.stream(spikes=False)
        x = self.values[source]
        largest = np.abs(x).max()
        size = float(np.clip(1.0 if np.isnan(largest) or largest == 0 else largest, 1e-300, 1e290))
        levels = self.integer(1, 15)
        low = size / 2.0 ** self.integer(0, min(levels, 8))

        def bases() -> np.ndarray:
            shape = self.broadcasting(x.shape) if not self.quantisable else x.shape[-1:] if self.chance(0.4) else ()
            return np.asarray(low * self.r.uniform(0.3, 1.7, size=shape))

        node = ops.MultiThreshold(bases(), bases(), levels, str(self.r.choice(ops.RULES)), float(self.r.uniform(0.5, 0.999)))
        if self.quantisable or self.chance(0.2):
            node.negative_base = node.positive_base
        if self.chance(0.4):
            node.lowest_level = self.r.integers(0, levels + 1, size=self.broadcasting(x.shape)).astype(
                self.r.choice(["i1", "i4", "i8"])
            )
        if self.chance(0.4):
            node.initial_membrane = self.numbers(self.broadcasting(x.shape), size)
        if self.graded.random() < self.graded_share:
            return self.add(self.graded_neuron(x.shape, size, node.initial_membrane), source)
        return self.add(node, source)

    def graded_neuron(self, shape: Shape, size: float, initial: np.ndarray) -> ops.Graded:
        """A neuron for an operand of this size: some clip at every step, some never.

        Bases are no round numbers. Sums of spikes with few digits, halved or multiplied, lie exactly on the ties of another
        such neuron, where the order of a sum decides; tests of ties choose numbers whose sums are exact.
        """
        r = self.graded

        def part() -> Shape:
            kept = shape[int(r.integers(0, len(shape) + 1)) :]
            return tuple(1 if r.random() < 0.4 else s for s in kept)

        bits = int(r.integers(2, 17))
        most = limit(bits)
        shape_of_base = part() if not self.quantisable else shape[-1:] if r.random() < 0.4 else ()
        low = size / min(most, 2.0 ** r.uniform(-1, 12))
        node = ops.Graded(np.asarray(low * r.uniform(0.3, 1.7, size=shape_of_base)), bits, initial_membrane=initial)
        if r.random() < 0.6:
            # dead zones from none to half the payloads, and silence
            least = np.rint(most ** r.uniform(0, 0.9, size=part()))
            node.least = np.where(r.random(least.shape) < 0.1, most + 1, least).astype(r.choice(["i4", "i8"]))
        return node

    def operand(self, least_rank: int = 0) -> str:
        """What a linear node or a product takes: mostly spikes."""
        source = self.stream(least_rank)
        return source if source in self.spiking or self.chance(0.2) else self.neuron(source)

    def constant(self, shape: Shape, size: float = 1.0, mask: bool = False) -> str:
        value = self.numbers(shape, size)
        if mask:
            value = np.where(self.r.random(shape) < 0.3, -np.inf, value)
        schedule = str(self.r.choice(ops.SCHEDULES)) if self.mixed else {"rate": "every"}.get(self.coding, "first")
        return self.add(ops.Constant(value, schedule))
