"""Random float programs: whatever verification lets through, drawn from a seed.

Streams of any rank from 0, every node with every parameter that its rules allow, both codings (also mixed in one program),
neurons with bases of every shape that broadcasts, samples and weights from denormal to huge. Neurons get bases of the size of
what reaches them, as conversion gives them: far smaller ones would answer to rounding. ``float_program(seed)`` is a plain
function of its seed.
"""

from __future__ import annotations

from math import prod
from typing import Any

import nir
import numpy as np

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.program import Program, Provenance, ops, verify
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.ops import ShapeError
from ecmt_deploy.testing.drawing import Shape
from ecmt_deploy.testing.exact import ExactDrawing
from ecmt_deploy.testing.handmade import Case

#: functions that take rows, and those that may stand anywhere
COUPLING = tuple(name for name, function in FUNCTIONS.items() if function.reductions or function.maxima)
ANYWHERE = [name for name, function in FUNCTIONS.items() if not function.needs_exact]
MOST_STEPS, MOST_SAMPLES = 32, 7


class Builder(ExactDrawing):
    """The nodes that a program may grow by, and how it begins and ends."""

    def __init__(self, seed: int, quantisable: bool) -> None:
        super().__init__(seed, quantisable)
        #: the first function of its own choice: one after the other, from seed to seed, so that a few dozen reach all
        self.due: str | None = ANYWHERE[seed % len(ANYWHERE)]

    def linear(self) -> str:
        source = self.operand(1)
        x = self.values[source]
        weight = self.numbers((self.integer(1, 5), x.shape[-1]), self.size())
        if x.ndim == 1 and self.chance(0.5):
            return self.add(ops.Linear(weight), source)
        if self.correcting.random() < 0.3:
            change = weight * self.correcting.uniform(-0.5, 0.5, size=weight.shape)
            narrow = np.abs(change).max() < np.finfo("f4").max and self.correcting.random() < 0.5
            return self.add(ops.CorrectedLinear(weight, change.astype("f4" if narrow else "f8")), source)
        return self.add(ops.LastAxisLinear(weight), source)

    def convolution(self) -> str:
        source = self.operand(2)
        axes = self.integer(1, 2)
        if self.values[source].ndim != axes + 1:
            shape: Shape = (*self.values[source].shape, 1)[: axes + 1]
            shape = (*shape[:axes], self.values[source].size // prod(shape[:axes]))
            source = self.add(ops.Reshape(np.array(shape)), source)
        channels, *plane = self.values[source].shape
        groups = channels if self.chance(0.3) else 1
        out = groups * self.integer(1, 3)
        weight = self.numbers((out, channels // groups, *(self.integer(1, 3) for _ in range(axes))))
        stride, padding, dilation = (
            tuple(self.integer(low, high) for _ in range(axes)) for low, high in ((1, 3), (0, 2), (1, 2))
        )
        node: nir.NIRNode = ops.Conv2d(tuple(plane), weight, stride, padding, dilation, groups, np.zeros(out))
        if axes == 1:
            node = ops.Conv1d(plane[0], weight, *(v[0] for v in (stride, padding, dilation)), groups, np.zeros(out))
        if self.listing.random() < 0.3:  # the same weights, under which anything lies
            spatial = self.listing.integers(1, 4, size=int(self.listing.integers(1, 4)))
            taps = weight.reshape(*weight.shape[:2], -1)
            places = self.listing.integers(-1, prod(plane), size=(int(spatial.prod()), taps.shape[2]))
            node = ops.ListedConvolution(taps, places, spatial, groups)
        return self.add(node, source)

    def scale(self) -> str:
        source = self.stream(spikes=False)
        shape = self.values[source].shape
        if self.chance(0.3):
            return self.add(ops.Scale(self.numbers(shape, self.size())), source)
        return self.add(ops.BroadcastScale(self.numbers(self.broadcasting(shape), self.size())), source)

    def sum(self) -> str:
        source = self.stream(spikes=False)
        shape = self.values[source].shape
        alike = self.alike(shape)
        others = [str(self.r.choice(alike)) if self.chance(0.5) else self.constant(shape) for _ in range(self.integer(0, 2))]
        sources = tuple(self.r.permutation([source, *others]).tolist())
        return self.add(ops.Add(sources), *sources)

    def hold(self) -> str:
        return self.add(ops.Hold(), self.stream(spikes=False))

    def function(self, name: str | None = None, source: str | None = None) -> str:
        if name is None:
            name, self.due = self.due or str(self.r.choice(ANYWHERE)), None
        source = source or self.stream(1 if name in COUPLING else 0, spikes=False)
        x = self.values[source]
        if name in ("sqrt", "rsqrt", "reciprocal", "power", "log", "divide"):
            source = self.positive(source)
        sources: tuple[str, ...] = (source,)
        if FUNCTIONS[name].operands == 2:
            shape = self.broadcasting(x.shape)
        if FUNCTIONS[name].exact_operands:
            mask = ops.Constant((self.r.random(shape) < 0.7).astype(np.float64), {"rate": "every"}.get(self.coding, "first"))
            sources = (source, self.add(mask))
        elif FUNCTIONS[name].operands == 2:
            alike = self.alike(x.shape)
            sources = (str(self.r.choice(alike)) if alike and self.chance(0.5) else self.constant(shape), source)
        return self.add(ops.ECM(sources, name, self.own_coding(), self.parameters(name, x.shape)), *sources)

    def positive(self, source: str) -> str:
        """The stream kept away from zero, where quotients and roots have no value."""
        low, high = np.asarray(0.05), np.asarray(30.0)
        return self.add(ops.ECM((source,), "clamp", self.own_coding(), {"low": low, "high": high}), source)

    def parameters(self, name: str, shape: Shape) -> dict[str, Any]:
        ndim = len(shape)
        drawn: dict[str, Any] = {key: np.asarray(value) for key, value in FUNCTIONS[name].example.items()}
        if "axis" in drawn:
            drawn["axis"] = np.asarray(self.axis(ndim))
        if name in ("layer_norm", "rms_norm"):
            drawn["normalized_axes"] = np.asarray(self.integer(1, ndim))
            per = shape[ndim - int(drawn["normalized_axes"]) :]
        if name == "group_norm":
            drawn["groups"] = np.asarray(self.r.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
            per = shape[:1]
        if name.endswith("norm") and name != "l2_norm":
            drawn["eps"] = np.asarray(float(self.r.choice([1e-6, 1e-5, 0.1])))
            for key in (p.name for p in FUNCTIONS[name].parameters if not p.required):
                if self.chance(0.6):
                    drawn[key] = self.numbers(per)
        if name == "clamp":
            drawn["low"], drawn["high"] = np.asarray(-self.r.random()), np.asarray(self.r.random())
        if name == "leaky_relu":
            drawn["slope"] = np.asarray(self.r.normal())
        if name == "power":
            drawn["exponent"] = np.asarray(self.r.choice([2.0, 3.0, 0.5, -1.0, 1.7]))
        return drawn

    def attention_mask(self) -> str:
        source = self.stream(1, spikes=False)
        shape = self.values[source].shape
        mask = self.constant(shape, mask=True)
        self.masked.add(mask)
        both = self.add(ops.Add((source, mask)), source, mask)
        if self.chance(0.3):
            both = self.rewired(both)
        return self.function(str(self.r.choice(["softmax", "relu", "exp", "sigmoid", "clamp", "tanh"])), both)

    def product(self) -> str:
        left = self.operand()
        x = self.values[left]
        if x.ndim >= 2 and self.chance(0.6):
            fitting = [
                s for s, v in self.values.items() if v.ndim >= 2 and v.shape[-2] == x.shape[-1] and s not in self.hidden()
            ]
            if fitting and self.chance(0.5):
                right = str(self.r.choice(fitting))
            else:
                turned = [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]
                right = self.add(ops.Permute(np.array(turned)), left)
            kind = "matmul"
        else:
            shape = self.broadcasting(x.shape)
            alike = [s for each in (shape, x.shape, (*x.shape[:-1], 1)) for s in self.alike(each, spikes=True)]
            right, kind = str(self.r.choice([*alike, left])), "multiply"
        if right not in self.spiking and self.chance(0.7):
            right = self.neuron(right)
        if self.chance(0.5) and kind == "multiply":
            left, right = right, left
        coding, initial = self.own_coding(), dict[str, Any]()
        if coding == "differential":
            for side, source in (("left", left), ("right", right)):
                if self.chance(0.4):
                    initial[f"{side}_initial"] = self.numbers(self.broadcasting(self.values[source].shape))
        return self.add(ops.ECMProduct((left, right), kind, coding, **initial), left, right)

    def wiring(self) -> str:
        return self.rewired(self.stream())

    def rewired(self, source: str) -> str:
        shape = self.values[source].shape
        ndim, size = len(shape), self.values[source].size
        kind = str(self.r.choice(["reshape", "permute", "slice", "take", "expand", "pad", "concat"]))
        if kind == "reshape":
            new: list[int] = []
            while size > 1 and len(new) < 3:
                new.append(int(self.r.choice([d for d in range(1, size + 1) if size % d == 0])))
                size //= new[-1]
            new += [size] if size > 1 else [1] * self.integer(0, 1)
            return self.add(ops.Reshape(np.array(new, np.int64)), source)
        if kind == "permute":
            return self.add(ops.Permute(self.r.permutation(ndim)), source)
        if kind == "expand":
            lead = [self.integer(1, 3) for _ in range(self.integer(0, 2))]
            kept = [self.integer(1, 3) if s == 1 else s for s in shape]
            return self.add(ops.Expand(np.array(lead + kept, np.int64)), source)
        if kind == "pad" and source not in self.masked:
            return self.add(ops.Pad(self.r.integers(0, 3, size=(ndim, 2)).astype(np.int64)), source)
        if ndim == 0:
            return source
        axis = self.axis(ndim)
        if kind == "slice":
            start = self.integer(0, shape[axis] - 1)
            return self.add(ops.Slice(axis, start, self.integer(start + 1, shape[axis]), self.integer(1, 3)), source)
        if kind == "take":
            return self.add(ops.Take(axis, self.r.integers(0, shape[axis], size=self.integer(1, 5))), source)
        joined = [
            s for s, v in self.values.items() if s not in self.hidden() - self.masked and _alike_beside(v.shape, shape, axis)
        ]
        if self.quantisable:
            joined = [s for s in joined if (s in self.spiking) == (source in self.spiking)]
        sources = tuple(str(s) for s in self.r.choice(joined, size=self.integer(1, 3)))
        return self.add(ops.Concat(sources, axis), *sources)

    # --- the whole ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The sample, and often an encoding layer."""
        shape = self.shape(0 if self.chance(0.2) else 1, 3)
        self.sample_size = self.size()
        self.sample = self.numbers(shape, self.sample_size)
        source = self.add(ops.Input(input_type={"input": np.array(shape, np.int64)}))
        if shape and self.chance(0.7):
            source = self.add(
                ops.LastAxisLinear(self.numbers((self.integer(1, 4), shape[-1]), 1 / max(self.sample_size, 1))), source
            )
        if self.coding == "rate" and self.chance(0.8):
            self.add(ops.Hold(), source)
        self.first = self.sample
        if self.named:
            self.begin_named()

    def finish(self) -> Program:
        """Join all ends in one readout."""
        self.most_elements, self.finishing = np.inf, True
        used = {source for source, _ in self.edges}
        ends = [name for name in self.nodes if name not in used]
        for unused in [end for end in ends if end in self.exact]:
            ends.remove(unused)
            ends.append(self.counted(unused))
        if masks := [end for end in ends if end in self.masked]:
            ends = [end for end in ends if end not in masks] + [self.function("sigmoid", mask) for mask in masks]
        if self.quantisable:
            ends = [
                self.add(ops.LastAxisLinear(self.numbers((2, self.values[e].shape[-1]))), e)
                if e in self.spiking and self.values[e].ndim
                else e
                for e in ends
            ]
        if len(ends) > 1 or self.chance(0.5):
            flat = [self.add(ops.Reshape(np.array([self.values[end].size])), end) for end in ends]
            source = self.add(ops.Concat(tuple(flat), 0), *flat)
            if self.chance(0.5):
                self.nodes[(neuron := self.neuron(source))]
                source = self.add(ops.Linear(self.numbers((self.integer(1, 4), self.values[source].size))), neuron)
        else:
            (source,) = ends
        readout = self.add(ops.Readout(self.own_coding()), source)
        shape = np.array(self.values[readout].shape, np.int64)
        self.add(ops.Output(output_type={"output": shape}), readout)
        return verify(self.nodes, self.edges, Provenance(tool_version="test"))


def _alike_beside(a: Shape, b: Shape, axis: int) -> bool:
    return len(a) == len(b) and all(x == y for i, (x, y) in enumerate(zip(a, b, strict=True)) if i != axis % len(b))


STAGES = ("linear", "linear", "convolution", "sum", "scale", "mean", "hold", "function", "function", "function", "function",
          "attention_mask", "product", "product", "product", "wiring", "wiring", "wiring", "wiring", "neuron")  # fmt: skip


def float_program(seed: int, quantisable: bool = False) -> Case:
    """A program, samples and a number of steps. Drawn nodes that the rules refuse, or that are too large, are left out.

    ``quantisable`` keeps to what has an integer form: spikes go into weights and products only, one base for both signs, values
    about one, one coding.
    """
    b = Builder(seed, quantisable)
    b.begin()
    goal = b.integer(4, 24)
    while len(b.nodes) < goal:
        before = len(b.nodes)
        try:
            if b.named and b.exactly.random() < 0.3:
                b.exact_stage()
            else:
                getattr(b, str(b.r.choice(STAGES)))()
        except (ProgramError, ShapeError):
            if len(b.nodes) > before + 8:
                break
    program = b.finish()
    values = np.stack([b.numbers(b.first.shape, b.sample_size) for _ in range(b.integer(1, MOST_SAMPLES))])
    inputs = b.packed(next(iter(b.nodes)), values)
    return Case(program, inputs, b.integer(1, MOST_STEPS) if b.chance(0.2) else b.integer(1, 6))
