"""The pass from a float program to an integer program: a new program, in the arithmetic of a chip.

``docs/fixed_point.md`` says what the integer program computes; this package chooses its numbers: formats from the ranges that
calibration recorded, units of neurons, 8-bit weights, tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatchmethod
from typing import Any

import msgspec
import numpy as np

from ecmt_deploy.chips import Figure, Hardware
from ecmt_deploy.door import ChipLike, ProgramLike, as_chip, as_program, as_steps
from ecmt_deploy.errors import ConfigError, ConversionError, HardwareError
from ecmt_deploy.kernels.formats import exponent_for, requantisations, to_integers
from ecmt_deploy.program import Program, QuantizationRecord, ops, verify
from ecmt_deploy.program.functions.integer import Formats, IntegerForm
from ecmt_deploy.program.graph import edges
from ecmt_deploy.program.ops import Op
from ecmt_deploy.program.ops.add import most_remainder_bits
from ecmt_deploy.program.ops.linear import Synapses
from ecmt_deploy.quantization.formats import HEADROOM, OPERAND_HEADROOM, exponents, stream_ranges
from ecmt_deploy.quantization.neurons import integer_embedding, integer_graded, integer_neuron, integer_synapses

DEFAULT_HARDWARE = "loihi2"
#: payloads of the dialect are at most this wide, whatever a chip allows: sums and products stay exact
MOST_PAYLOAD_BITS = 16
#: widths that a chip may have, by the name of its limit
ALLOWED_BITS = {"weight_bits": (2, 16), "state_bits": (16, 32), "graded_payload_bits": (2, 64)}

__all__ = ["DEFAULT_HARDWARE", "quantize"]


def quantize(
    program: ProgramLike, hardware: ChipLike | None = None, timesteps: int | None = None, weight_bits: int | None = None
) -> Program:
    """Make an integer program; arguments and errors as of :func:`ecmt_deploy.quantize`."""
    program, chip = as_program(program), as_chip(DEFAULT_HARDWARE if hardware is None else hardware)
    if program.integer:
        raise ConfigError("the program is an integer program already; run it with precision fixed as it is")
    steps = max(program.timesteps, as_steps(timesteps, program))  # a shorter run takes the same integer program
    weight, state, payload = (_bits(chip, name, *allowed) for name, allowed in ALLOWED_BITS.items())
    if weight_bits is not None:
        least = ALLOWED_BITS["weight_bits"][0]
        if not hasattr(weight_bits, "__index__") or not least <= weight_bits <= weight:
            raise ConfigError(
                f"weight bits are {weight_bits}; {chip.name} holds weights of {weight} bits: choose {least} to {weight}"
            )
        weight = int(weight_bits)
    record = QuantizationRecord(chip.name, weight, state, min(payload, MOST_PAYLOAD_BITS), steps)
    return _Pass(program, record).run()


def _bits(chip: Hardware, name: str, least: int, most: int) -> int:
    figure: Figure | None = getattr(chip.limits, name)
    if figure is None or not least <= figure.value <= most:
        found = "unknown" if figure is None else f"{figure.value:g}"
        raise HardwareError(
            f"{chip.name}: {name} is {found}; fixed point needs {least} to {most}: choose another --hardware, "
            "or state it in a .toml file of your own"
        )
    return int(figure.value)


@dataclass(frozen=True)
class _Spikes:
    """What a spike stream means: per element, in units of the membrane that sent it."""

    unit: np.ndarray
    live: np.ndarray
    exponent: int


class _Pass:
    """One pass over the nodes, operands first."""

    def __init__(self, program: Program, record: QuantizationRecord) -> None:
        self.program, self.record = program, record
        self.bits, self.payload = record.state_bits, record.payload_bits
        self.ranges = stream_ranges(program)
        self.exponents = exponents(program, self.ranges, self.bits, min(self.payload, self.bits), record.timesteps)
        self.growth = record.timesteps if program.coding == "rate" else 1
        #: streams of increments must not drift, however long they are; in rate coding all that came is averaged at every step
        self.carries = program.coding == "differential"
        self.spikes: dict[str, _Spikes] = {}

    def run(self) -> Program:
        nodes = {name: self.convert(name, node) for name, node in self.program.nodes.items()}
        provenance = msgspec.structs.replace(self.program.provenance, quantization=self.record)
        return verify(nodes, edges(self.program.operands), provenance)

    def convert(self, name: str, node: Op) -> Op:
        """The integer node of a node; wiring and output stay what they are."""
        sources = self.program.operands[name]
        if node.emits == "operands":
            if name in self.program.spiking:
                self.spikes[name] = self._rewired(node, [self.spikes[source] for source in sources])
            return node
        for source in sources if not node.takes_spikes else ():
            if source in self.spikes:
                raise ConfigError(f"node {name}: takes the spikes of {source}; in fixed point only weights and products do")
        return self.made(node, name, sources)

    @singledispatchmethod
    def made(self, node: Op, name: str, sources: tuple[str, ...]) -> Op:
        """The integer node of a node that computes, by its type."""
        raise ConversionError(f"node {name}: {node.kind} has no integer form: {node.without_integer}; run the float program")

    def _rewired(self, node: Any, operands: list[_Spikes]) -> _Spikes:
        if len({o.exponent for o in operands}) > 1:
            finest = min(o.exponent for o in operands)
            operands = [_Spikes(o.unit << (o.exponent - finest), o.live, finest) for o in operands]
        unit = node.rewire(*(o.unit for o in operands))
        live = node.rewire(*(o.live for o in operands))
        return _Spikes(np.maximum(unit, 1), live, operands[0].exponent)

    def format(self, name: str, kind: type[ops.NumberFormat] = ops.NumberFormat, **fields: Any) -> ops.NumberFormat:
        """The format of a node's stream."""
        return kind(exponent=self.exponents[name], state_bits=self.bits, **fields)

    @made.register
    def _(self, node: ops.Input, name: str, sources: tuple[str, ...]) -> Op:
        bits, largest = min(self.payload, self.bits), self.program.inputs[name].largest
        if largest is not None:
            bits = largest.bit_length() + 1
            if bits > self.bits:
                raise ConfigError(
                    f"node {name}: ids up to {largest} take {bits} bits, and {self.record.hardware} has state of {self.bits}; "
                    "choose another --hardware"
                )
        format = ops.NumberFormat(exponent=self.exponents[name], state_bits=max(bits, 2))
        return ops.Input(input_type={"input": node.shape}, holds=node.holds, limit=node.limit, format=format)

    @made.register
    def _(self, node: ops.Constant, name: str, sources: tuple[str, ...]) -> Op:
        if np.isposinf(node.value).any():
            raise ConfigError(f"node {name}: value holds plus infinity; integer programs know minus infinity only")
        value = to_integers(node.value, self.exponents[name], self.bits)
        return replace(node, value=value, format=self.format(name))

    @made.register
    def _(self, node: ops.MultiThreshold, name: str, sources: tuple[str, ...]) -> Op:
        return self._fires(name, integer_neuron(name, node, self.exponents[sources[0]], self.bits, self.payload))

    @made.register
    def _(self, node: ops.Graded, name: str, sources: tuple[str, ...]) -> Op:
        return self._fires(name, integer_graded(name, node, self.exponents[sources[0]], self.bits, self.payload))

    def _fires(self, name: str, made: Op) -> Op:
        """An integer neuron, with what its spikes mean kept for those who take them."""
        unit, live = (np.broadcast_to(array, self.program.shapes[name]) for array in (made.unit.astype(np.int64), made.live))
        self.spikes[name] = _Spikes(unit, live, made.format.exponent)
        return made

    @made.register
    def _(self, node: Synapses, name: str, sources: tuple[str, ...]) -> Op:
        (source,) = sources
        sent, channels = self._sent(source), 0 if node.layer == "convolution" else -1
        by_channel = (np.moveaxis(array, channels, -1) for array in (sent.unit, sent.live))
        units, live = (array.reshape(-1, array.shape[-1]) for array in by_channel)
        if (units != units[0]).any():
            raise ConfigError(
                f"node {name}: the bases of its spikes differ along other axes than its input channels, so that no weight"
                " can absorb them; give the neuron one base per channel"
            )
        largest = self.ranges[name] * HEADROOM * self.growth if source in self.spikes else None
        widths = self.record.weight_bits, self.bits
        return integer_synapses(
            node, units[0], live.any(axis=0), (sent.exponent, self.exponents[name]), widths, largest, self.carries
        )

    @made.register
    def _(self, node: ops.Embedding, name: str, sources: tuple[str, ...]) -> Op:
        widths = self.record.weight_bits, self.bits
        return integer_embedding(node, (self.exponents[sources[0]], self.exponents[name]), widths)

    @made.register
    def _(self, node: ops.BroadcastScale, name: str, sources: tuple[str, ...]) -> Op:
        ratio = np.ldexp(node.scale.astype(np.float64), self.exponents[sources[0]] - self.exponents[name])
        multiplier, shift = requantisations(ratio)
        return ops.BroadcastScale(multiplier, format=self.format(name, ops.Shifted, shift=shift, carries=self.carries))

    @made.register
    def _(self, node: ops.Add, name: str, sources: tuple[str, ...]) -> Op:
        found = np.array([self.exponents[source] for source in sources])
        if int(found.max()) - self.exponents[name] > 24:
            raise ConfigError(f"node {name}: its sum is {2.0**-24:.0e} of an operand or less; no format holds both")
        changing = [e for e, source in zip(found, sources, strict=True) if not self._sent_once(source)]
        # a constant that is sent once is rounded once: it needs no remainder, which costs a word of state per element
        carries = self.carries and min(changing, default=self.exponents[name]) < self.exponents[name]
        if carries and self.exponents[name] - int(found.min()) > (most := most_remainder_bits(len(found))):
            raise ConfigError(f"node {name}: an operand is {2.0**-most:.0e} of its sum or less; no remainder holds both")
        return replace(node, format=self.format(name, ops.Summed, operand_exponents=found, carries=carries))

    @made.register
    def _(self, node: ops.Mean, name: str, sources: tuple[str, ...]) -> Op:
        shape = self.program.shapes[sources[0]]
        size = int(np.prod([shape[int(axis)] for axis in node.axes]))
        ratio = np.asarray(2.0 ** (self.exponents[sources[0]] - self.exponents[name]) / size)
        multiplier, shift = requantisations(ratio)
        fields = {"multiplier": multiplier, "shift": shift, "carries": self.carries}
        return replace(node, format=self.format(name, ops.Requantised, **fields))

    @made.register(ops.Hold)
    @made.register(ops.Readout)
    def _(self, node: ops.Hold | ops.Readout, name: str, sources: tuple[str, ...]) -> Op:
        return replace(node, format=self.format(name))

    @made.register
    def _(self, node: ops.ECM, name: str, sources: tuple[str, ...]) -> Op:
        found = [self.exponents[source] for source in sources]
        form = node.definition.integer
        if not isinstance(form, IntegerForm):
            raise ConversionError(
                f"node {name}: function {node.function} has no integer form: {form}; run the float program, or give it one"
            )
        formats = Formats(found, self.exponents[name], self.ranges[sources[0]], self.bits, self.program.shapes[sources[0]])
        made = form.parameters_for(node.parameters, formats)
        format = self.format(name, ops.Aligned, operand_exponents=np.array(found))
        return replace(node, parameters=made, format=format)

    @made.register
    def _(self, node: ops.ECMProduct, name: str, sources: tuple[str, ...]) -> Op:
        fields: dict[str, Any] = {}
        initials: dict[str, Any] = {}
        scale = -self.exponents[name]
        for side, source in zip(("left", "right"), sources, strict=True):
            sent = self._sent(source)
            wide = exponent_for(self._operand_range(source) * OPERAND_HEADROOM, self.payload)
            shift = int(np.clip(wide - sent.exponent, 0, self.bits))
            fields |= {f"{side}_shift": shift, f"{side}_unit": _smallest(sent.unit).astype(np.int32)}
            initials[f"{side}_initial"] = to_integers(getattr(node, f"{side}_initial"), sent.exponent, self.bits)
            scale += sent.exponent + shift
        shift = int(np.clip(-scale, -16, 62))
        format = self.format(name, ops.Multiplied, operand_bits=self.payload, shift=shift, **fields)
        return replace(node, **initials, format=format)

    def _sent_once(self, source: str) -> bool:
        """Whether a stream comes from nothing but constants that are sent at the first step."""
        emitters = [self.program.nodes[name] for name in self.program.emitters[source]]
        return all(node.role == "constant" and node.sends == "once" for node in emitters)

    def _sent(self, source: str) -> _Spikes:
        """What a stream means, spikes or not."""
        if source in self.spikes:
            return self.spikes[source]
        shape = self.program.shapes[source]
        return _Spikes(np.ones(shape, np.int64), np.ones(shape, bool), self.exponents[source])

    def _operand_range(self, source: str) -> float:
        """Range of the stream that a neuron, perhaps behind wiring, sends on; of any other stream, its own."""
        if source in self.ranges:
            return self.ranges[source] or 1.0
        return max(map(self._operand_range, self.program.operands[source]))


def _smallest(array: np.ndarray) -> np.ndarray:
    """An array without the axes along which it repeats itself."""
    for axis in range(array.ndim):
        first = array.take([0], axis)
        if (array == first).all():
            array = first
    return array.reshape(()) if array.size == 1 else array
