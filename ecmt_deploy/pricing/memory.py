"""View (c): memory included, against the same network quantised, one memory model for both.

Sources: Lemaire et al. 2022 (accesses of a spiking layer; energy of an access piecewise linear in the size of its memory);
Yan et al., arXiv 2409.08290 (the ANN to compare with has activations of ceil(log2(T + 1)) bits). ``docs/energy.md`` has the
formulas.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import ceil, log2, prod

import msgspec
import nir

from ecmt_deploy.activity import Activity, Counts
from ecmt_deploy.chips import Hardware, Memory
from ecmt_deploy.errors import HardwareError
from ecmt_deploy.graph import Program
from ecmt_deploy.graph import fixed as f
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.pricing.result import MemoryRow, MemoryView

#: widths where neither the program nor the memory model's chip says any: those of this project's integer programs
WEIGHT_BITS, STATE_BITS = 8, 24
#: width of an image, the operand of an encoding layer
IMAGE_BITS = 8
SYNAPSES = (*n.LINEAR, f.FixedConv)


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
    """Prices of accesses and arithmetic, and the widths of the ANN and of a program that does not say its own."""

    memory: Memory
    mul8_pj: float
    add_pj: float
    ann_bits: int
    weight_bits: int
    state_bits: int

    def read(self, elements: float, bits: int) -> float:
        """An access to one of so many elements, in a memory that holds all of them."""
        return access_pj(self.memory, elements * bits / 8, bits)

    def mac(self, a_bits: int, b_bits: int) -> float:
        """A multiply, of as many 8 by 8 bit ones as its widths hold, and a 32-bit add."""
        return self.mul8_pj * a_bits * b_bits / 64 + self.add_pj


def has_model(hardware: Hardware) -> bool:
    """Whether a chip's file has a model of memories, and the arithmetic that goes with it."""
    return hardware.memory is not None and {"int8_mul_pj", "int32_add_pj"} <= hardware.operations.keys()


def memory_view(activity: Activity, program: Program, hardware: Hardware) -> MemoryView:
    """The view, with the memories and operations of ``hardware``.

    Raises
    ------
    HardwareError
        if it has none.
    """
    if hardware.memory is None or not has_model(hardware):
        raise HardwareError(f"{hardware.name}: no memory, int8_mul_pj or int32_add_pj; expected a model of memories")
    limits = hardware.limits
    model = _Model(
        hardware.memory,
        hardware.operations["int8_mul_pj"].value,
        hardware.operations["int32_add_pj"].value,
        ann_bits(activity.timesteps),
        int(limits.weight_bits.value) if limits.weight_bits else WEIGHT_BITS,
        int(limits.state_bits.value) if limits.state_bits else STATE_BITS,
    )
    rows = {}
    for name, counts in activity.items():
        node = program.nodes[name]
        if isinstance(node, (*SYNAPSES, n.ECMProduct)) and counts.dense_macs:
            rows[name] = _row(name, node, counts, activity, program, model)
    return MemoryView(
        model=hardware.name,
        ann_bits=model.ann_bits,
        rows=rows,
        snn_pj=_sums(row.snn_pj for row in rows.values()),
        ann_pj=_sums(row.ann_pj for row in rows.values()),
    )


def _row(name: str, node: nir.NIRNode, counts: Counts, activity: Activity, program: Program, model: _Model) -> MemoryRow:
    samples, outputs = activity.n_samples, prod(program.shapes[name])
    operands = [prod(program.shapes[operand]) for operand in program.operands[name]]
    synops, macs, dense = (count / samples for count in (counts.synops, counts.macs, counts.dense_macs))
    state_bits = int(getattr(node, "state_bits", model.state_bits))
    weight_bits = int(getattr(node, "weight_bits", model.weight_bits))
    encoding = name in program.encoding
    operand_bits = IMAGE_BITS if encoding else model.ann_bits
    analog_bits = IMAGE_BITS if encoding else state_bits

    if isinstance(node, n.ECMProduct):
        # a running sum of one operand takes the place of the weight an event reads
        state_word = sum(model.read(size, state_bits) for size in operands) / 2
        other = {"operand_memory": state_word}
        event_mac, analog_mac = model.mac(8, state_bits), model.mac(state_bits, state_bits)
        analog_reads = {"operand_memory": sum(model.read(size, state_bits) for size in operands)}
        ann_reads = {"operand_memory": sum(model.read(size, operand_bits) for size in operands)}
        ann_mac = model.mac(operand_bits, operand_bits)
    else:
        weight = model.read(node.weight.size, weight_bits)
        other = {"weight_memory": weight}
        event_mac, analog_mac = model.mac(8, weight_bits), model.mac(weight_bits, analog_bits)
        analog_reads = {"weight_memory": weight, "operand_memory": model.read(operands[0], analog_bits)}
        ann_reads = {"weight_memory": weight, "operand_memory": model.read(operands[0], operand_bits)}
        ann_mac = model.mac(weight_bits, operand_bits)

    access = 2 * model.read(outputs, state_bits)  # a state is read and written
    event = {"arithmetic": event_mac, **other, "state_memory": access}
    # every output joins its state once a step; an encoding layer's once
    updates = outputs * (1 if encoding else activity.timesteps)
    fixed = {"arithmetic": updates * model.add_pj, "state_memory": updates * access}
    if macs:
        fixed = _sums([fixed, _times({"arithmetic": analog_mac, **analog_reads}, macs)])
    written = {"output_memory": outputs * model.read(outputs, operand_bits)}
    ann = _sums([_times({"arithmetic": ann_mac, **ann_reads}, dense), written])
    if encoding:
        # the same in both: the image times the weights, and its result written
        fixed = ann
    spiking = any(operand in program.spiking for operand in program.operands[name])
    snn = _sums([_times(event, synops), fixed]) if spiking else fixed
    return MemoryRow(
        snn_pj=snn,
        ann_pj=ann,
        events_per_mac=(synops + macs) / dense,
        break_even_events_per_mac=_break_even(ann, fixed, sum(event.values()) * dense, macs / dense) if spiking else None,
        fixed_pj=sum(fixed.values()),
        dense_macs=dense,
    )


def _break_even(ann: dict[str, float], fixed: dict[str, float], event_pj: float, analog: float) -> float | None:
    """Events per MAC at which ``fixed`` and the events cost what the ANN does; ``event_pj``: of one event per MAC."""
    room = sum(ann.values()) - sum(fixed.values())
    return room / event_pj + analog if room > 0 else None


def _times(parts: dict[str, float], factor: float) -> dict[str, float]:
    return {name: amount * factor for name, amount in parts.items()}


def _sums(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0.0) + amount
    return total
