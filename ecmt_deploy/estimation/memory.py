"""View (c): memory included, against the same network quantised, one memory model for both.

Sources: Lemaire et al. 2022 (accesses of a spiking layer; energy of an access piecewise linear in the size of its memory);
Yan et al., arXiv 2409.08290 (the ANN to compare with has activations of ceil(log2(T + 1)) bits; where events carry graded
payloads, as many bits as those). ``docs/energy.md`` has the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil, log2, prod
from typing import NamedTuple

import msgspec

from ecmt_deploy.chips import Hardware, Memory
from ecmt_deploy.errors import ConfigError, HardwareError
from ecmt_deploy.estimation.bill import sums
from ecmt_deploy.estimation.result import MemoryRow, MemoryView
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.program.ops import Op

#: widest activations of an ANN to compare with
MOST_ANN_BITS = 32
#: widths where neither the program nor the memory model's chip says any: those of this project's integer programs
WEIGHT_BITS, STATE_BITS = 8, 24
#: widths of an image, the operand of an encoding layer, and of the level of a spike without a graded payload
IMAGE_BITS, PAYLOAD_BITS = 8, 8


def ann_bits(timesteps: int) -> int:
    """Width of activations that tell as many values apart as T binary steps: ceil(log2(T + 1))."""
    return ceil(log2(timesteps + 1))


def access_pj(memory: Memory, size: float, bits: float) -> float:
    """Energy of reading or writing ``bits`` of a memory of ``size`` bytes.

    Linear in size between the points that are given; below the smallest, that point's; above the largest, along the last
    segment (with one point, proportional to size), but never more than DRAM. In proportion to the width.
    """
    points = [(float(point.bytes), point.access.value) for point in memory.sram]
    energy = points[0][1]
    if size > points[0][0]:
        segments = list(pairwise(points)) or [((0.0, 0.0), points[0])]
        (x0, y0), (x1, y1) = next((s for s in segments if size <= s[1][0]), segments[-1])
        energy = y0 + (y1 - y0) * (size - x0) / (x1 - x0)
    if memory.dram_pj is not None:
        energy = min(energy, memory.dram_pj.value)
    return energy * bits / memory.access_bits.value


class _Model(msgspec.Struct, frozen=True):
    """Prices of accesses and arithmetic, and the widths of a program that does not say its own.

    Attributes
    ----------
    asked_bits : width of all the ANN's activations, if somebody chose it
    ann_bits : otherwise, of operands without graded payloads
    """

    memory: Memory
    mul8_pj: float
    add_pj: float
    asked_bits: int | None
    ann_bits: int
    weight_bits: int
    state_bits: int

    def read(self, elements: float, bits: int) -> float:
        """An access to one of so many elements, in a memory that holds all of them."""
        return access_pj(self.memory, elements * bits / 8, bits)

    def mac(self, a_bits: int, b_bits: int) -> float:
        """A multiply, of as many 8 by 8 bit ones as its widths hold, and a 32-bit add."""
        return self.mul8_pj * a_bits * b_bits / 64 + self.add_pj

    def ann_width(self, payload_bits: int | None) -> int:
        """Width of the ANN's activations where the program has events of such payloads (``None``: not graded)."""
        return self.asked_bits or payload_bits or self.ann_bits


def has_model(hardware: Hardware) -> bool:
    """Whether a chip's file has a model of memories, and the arithmetic that goes with it."""
    return hardware.memory is not None and {"int8_mul_pj", "int32_add_pj"} <= hardware.operations.keys()


def require_ann_bits(bits: int | None) -> None:
    """Refuse what is no width of activations, with a :class:`ConfigError`."""
    if bits is not None and not (hasattr(bits, "__index__") and 1 <= bits <= MOST_ANN_BITS):
        raise ConfigError(f"ann_bits is {bits}; the ANN's activations have 1 to {MOST_ANN_BITS} bits, for example 8")


def memory_view(activity: Activity, program: Program, hardware: Hardware, asked_bits: int | None = None) -> MemoryView:
    """The view, with the memories and operations of ``hardware``.

    Parameters
    ----------
    asked_bits : width of the ANN's activations; ``None``: that of the operand's payloads where they are graded (in a program
        that has such, of any other operand that of the widest), otherwise :func:`ann_bits`

    Raises
    ------
    ConfigError
        if ``asked_bits`` is no width.
    HardwareError
        if the chip has no model of memories.
    """
    require_ann_bits(asked_bits)
    if hardware.memory is None or not has_model(hardware):
        raise HardwareError(f"{hardware.name}: no memory, int8_mul_pj or int32_add_pj; expected a model of memories")
    limits = hardware.limits
    payloads = [bits for name in program.neurons if (bits := program.payload_bits(name)) is not None]
    model = _Model(
        hardware.memory,
        hardware.operations["int8_mul_pj"].value,
        hardware.operations["int32_add_pj"].value,
        asked_bits,
        max(payloads, default=ann_bits(activity.timesteps)),
        int(limits.weight_bits.value) if limits.weight_bits else WEIGHT_BITS,
        int(limits.state_bits.value) if limits.state_bits else STATE_BITS,
    )
    rows = {}
    for name, counts in activity.items():
        node = program.nodes[name]
        if node.role in ("synapse", "product") and counts.dense_macs:
            rows[name] = _row(name, node, counts, activity, program, model)
    widths = [row.ann_bits for name, row in rows.items() if name not in program.encoding]
    return MemoryView(
        model=hardware.name,
        ann_bits=max(widths, default=model.ann_width(None)),
        ann_bits_of="asked" if asked_bits else "payloads" if payloads else "steps",
        rows=rows,
        snn_pj=sums(row.snn_pj for row in rows.values()),
        ann_pj=sums(row.ann_pj for row in rows.values()),
    )


class _Costs(NamedTuple):
    """By part: of a synaptic event, of a MAC with an analog operand, and of a MAC of the ANN."""

    event: dict[str, float]
    analog: dict[str, float]
    ann: dict[str, float]


def _of_weights(weights: int, operand: int, bits: tuple[int, int, int], ann: int, model: _Model) -> _Costs:
    """A node with so many weights and operand elements; widths of payloads, weights and analog operands, and of the ANN's
    operands."""
    payload_bits, weight_bits, analog_bits = bits
    read = {"weight_memory": model.read(weights, weight_bits)}
    return _Costs(
        {"arithmetic": model.mac(payload_bits, weight_bits), **read},
        {"arithmetic": model.mac(analog_bits, weight_bits), **read, "operand_memory": model.read(operand, analog_bits)},
        {"arithmetic": model.mac(ann, weight_bits), **read, "operand_memory": model.read(operand, ann)},
    )


def _of_product(operands: Sequence[int], payloads: Sequence[int], state_bits: int, ann: Sequence[int], model: _Model) -> _Costs:
    """A product of two activations: an event reads the running sum of the other operand in place of a weight (which of the two,
    counts do not say: the mean); sizes of the operands, widths of their payloads and of the ANN's operands."""
    both = sum(model.read(size, state_bits) for size in operands)
    read = sum(model.read(size, bits) for size, bits in zip(operands, ann, strict=True))
    return _Costs(
        {"arithmetic": sum(model.mac(bits, state_bits) for bits in payloads) / 2, "operand_memory": both / 2},
        {"arithmetic": model.mac(state_bits, state_bits), "operand_memory": both},
        {"arithmetic": model.mac(*ann), "operand_memory": read},
    )


def _row(name: str, node: Op, counts: Counts, activity: Activity, program: Program, model: _Model) -> MemoryRow:
    outputs = prod(program.shapes[name])
    operands = [prod(program.shapes[operand]) for operand in program.operands[name]]
    synops, macs, dense = (count / activity.n_samples for count in (counts.synops, counts.macs, counts.dense_macs))
    state_bits = int(node.format.state_bits) if node.format else model.state_bits
    encoding = name in program.encoding
    graded = [program.payload_bits(operand) for operand in program.operands[name]]
    payloads = [bits or PAYLOAD_BITS for bits in graded]
    ann_widths = [IMAGE_BITS if encoding else model.ann_width(bits) for bits in graded]
    if node.role == "product":
        costs = _of_product(operands, payloads, state_bits, ann_widths, model)
    else:
        widths = payloads[0], int(getattr(node.format, "weight_bits", model.weight_bits)), state_bits
        costs = _of_weights(node.weight.size, operands[0], widths, ann_widths[0], model)
    ann_bits = max(ann_widths)
    of_network = outputs * (dense / program.work(name).dense_macs)  # rows of the node's own are not the network's
    output = {"output_memory": of_network * model.read(of_network, ann_bits)}
    ann = sums([_times(costs.ann, dense), output])
    if encoding:  # the same in both, of a stream as far as the frame changed
        changed = sums([_times(costs.ann, macs), _times(output, macs / dense)])
        return MemoryRow(changed, ann, (synops + macs) / dense, None, sum(changed.values()), dense, ann_bits)

    state = {"state_memory": 2 * model.read(outputs, state_bits)}  # read and written
    event = sums([costs.event, state])
    # at every step every output joins its state, and what its rounding leaves; on a stream those that an event reached
    joining = counts.analog_messages / activity.n_samples if activity.continued else outputs * activity.timesteps
    kept = 2 * model.read(outputs, node.format.remainder_bits) if node.format else 0.0
    joined = sums([{"arithmetic": model.add_pj, "state_memory": kept}, state])
    fixed = _times(joined, joining)
    if macs:
        fixed = sums([fixed, _times(costs.analog, macs)])
    snn = sums([_times(event, synops), fixed]) if synops else fixed
    room = sum(ann.values()) - sum(fixed.values())
    spiking = any(operand in program.spiking for operand in program.operands[name])
    return MemoryRow(
        snn_pj=snn,
        ann_pj=ann,
        events_per_mac=(synops + macs) / dense,
        break_even_events_per_mac=room / (sum(event.values()) * dense) + macs / dense if spiking and room > 0 else None,
        fixed_pj=sum(fixed.values()),
        dense_macs=dense,
        ann_bits=ann_bits,
    )


def together(rows: Iterable[MemoryRow]) -> tuple[float | None, float | None]:
    """Events per MAC of the spiking ones among several nodes, and at how many they break even if all events grow or shrink by
    one factor; ``None`` as in :class:`MemoryRow`.
    """
    spiking = [row for row in rows if sum(row.snn_pj.values()) > row.fixed_pj]
    if not spiking:
        return None, None
    dense, fixed = sum(row.dense_macs for row in spiking), sum(row.fixed_pj for row in spiking)
    events = sum((row.events_per_mac or 0.0) * row.dense_macs for row in spiking) / dense
    snn = sum(sum(row.snn_pj.values()) for row in spiking)
    ann = sum(sum(row.ann_pj.values()) for row in spiking)
    return events, events * (ann - fixed) / (snn - fixed) if ann > fixed else None


def _times(parts: dict[str, float], factor: float) -> dict[str, float]:
    return {name: amount * factor for name, amount in parts.items()}
