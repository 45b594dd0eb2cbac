"""View (c): memory included, against the same network quantised, one memory model and the same tiles for both.

Sources: Lemaire et al. 2022 (accesses of a spiking layer; energy of an access piecewise linear in the size of its memory);
Yan et al., arXiv 2409.08290 (the ANN to compare with has activations of ceil(log2(T + 1)) bits; where events carry graded
payloads, as many bits as those). ``docs/energy.md`` has the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import ceil, log2, prod
from typing import NamedTuple

import msgspec

from ecmt_deploy.chips import Figure, Hardware, Memory
from ecmt_deploy.errors import ConfigError, HardwareError
from ecmt_deploy.estimation.bill import sums
from ecmt_deploy.estimation.result import DELIVERY, MemoryRow, MemoryView
from ecmt_deploy.estimation.tiles import Memories, Tiles, needs, stated_tiles
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity, Counts

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
    """Prices of accesses and arithmetic, the widths of a program that does not say its own, and what lies off the chip.

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

    def access(self, size: float, bits: float) -> float:
        """Reading or writing so many bits of a memory of so many bytes."""
        return access_pj(self.memory, size, bits)

    def dram(self, bits: float) -> float:
        """The same off the chip; nothing where that has no price, which the view says."""
        price = self.memory.dram_pj
        return 0.0 if price is None else price.value * bits / self.memory.access_bits.value

    def mac(self, a_bits: float, b_bits: float) -> float:
        """A multiply, of as many 8 by 8 bit ones as its widths hold, and a 32-bit add."""
        return self.mul8_pj * a_bits * b_bits / 64 + self.add_pj

    def ann_width(self, payload_bits: int | None) -> int:
        """Width of the ANN's activations where the program has events of such payloads (``None``: not graded)."""
        return self.asked_bits or payload_bits or self.ann_bits


class _Beyond(NamedTuple):
    """Shares of weights and of states (of the ANN: activations) that lie off the chip."""

    weights: float
    states: float


def has_model(hardware: Hardware) -> bool:
    """Whether a chip's file has a model of memories, and the arithmetic that goes with it."""
    return hardware.memory is not None and {"int8_mul_pj", "int32_add_pj"} <= hardware.operations.keys()


def charged_figures(hardware: Hardware) -> list[Figure]:
    """What the view charges, of a chip that has a model of memories."""
    assert hardware.memory is not None
    memory = [hardware.memory.access_bits, *(point.access for point in hardware.memory.sram)]
    off_chip = [] if hardware.memory.dram_pj is None else [hardware.memory.dram_pj]
    return [*memory, *off_chip, *(hardware.operations[name] for name in ("int8_mul_pj", "int32_add_pj"))]


def require_ann_bits(bits: int | None) -> None:
    """Refuse what is no width of activations, with a :class:`ConfigError`."""
    if bits is not None and not (hasattr(bits, "__index__") and 1 <= bits <= MOST_ANN_BITS):
        raise ConfigError(f"ann_bits is {bits}; the ANN's activations have 1 to {MOST_ANN_BITS} bits, for example 8")


def memory_view(
    activity: Activity, program: Program, hardware: Hardware, asked_bits: int | None = None, tiles: Tiles | None = None
) -> MemoryView:
    """The view, with the memories and operations of ``hardware``.

    Parameters
    ----------
    asked_bits : width of the ANN's activations; ``None``: that of the operand's payloads where they are graded (in a program
        that has such, of any other operand that of the widest), otherwise :func:`ann_bits`
    tiles : where the program lies; by default in tiles of :data:`~ecmt_deploy.estimation.tiles.TILE_BYTES`

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
    tiles = stated_tiles(program, hardware) if tiles is None else tiles
    priced = {name: counts for name, counts in activity.items() if counts.dense_macs and name in tiles.nodes}
    sites = {name: _Site(name, program, model, tiles.nodes[name]) for name in priced}
    weights, states = needs(program, model.weight_bits, model.state_bits)
    activations = sum(site.outputs * site.ann_bits / 8 for site in sites.values())
    spiking, ann = _Beyond(*tiles.room.beyond(weights, states)), _Beyond(*tiles.room.beyond(weights, activations))
    rows = {name: _row(sites[name], counts, activity, (spiking, ann)) for name, counts in priced.items()}
    widths = [row.ann_bits for name, row in rows.items() if name not in program.encoding]
    return MemoryView(
        model=hardware.name,
        ann_bits=max(widths, default=model.ann_width(None)),
        ann_bits_of="asked" if asked_bits else "payloads" if payloads else "steps",
        tile_bytes=tiles.tile_bytes,
        off_chip={"spiking_weights": spiking.weights, "spiking_states": spiking.states,
                  "ann_weights": ann.weights, "ann_activations": ann.states},
        off_chip_priced=hardware.memory.dram_pj is not None,
        rows=rows,
        snn_pj=sums(row.snn_pj for row in rows.values()),
        ann_pj=sums(row.ann_pj for row in rows.values()),
    )  # fmt: skip


class _Site:
    """A node of the view: its sizes, widths and memories, and what an event or a MAC costs there, by part."""

    def __init__(self, name: str, program: Program, model: _Model, memories: Memories) -> None:
        self.node, self.model, self.memories = program.nodes[name], model, memories
        self.program, self.operands = program, program.operands[name]
        self.outputs = prod(program.shapes[name])
        self.macs = program.work(name).dense_macs
        self.product, self.encoding = self.node.role == "product", name in program.encoding
        self.state_bits = int(self.node.format.state_bits) if self.node.format else model.state_bits
        self.weight_bits = int(getattr(self.node.format, "weight_bits", model.weight_bits))
        graded = [program.payload_bits(operand) for operand in self.operands]
        self.payloads = [bits or PAYLOAD_BITS for bits in graded]
        self.ann_widths = [IMAGE_BITS if self.encoding else model.ann_width(bits) for bits in graded]
        self.ann_bits = max(self.ann_widths)

    @property
    def spiking(self) -> bool:
        """Whether events reach it."""
        return any(operand in self.program.spiking for operand in self.operands)

    def event(self, beyond: _Beyond) -> dict[str, float]:
        """A synaptic event: its arithmetic, a weight, the state it is added to, and its share of a spike's way into the tile.

        In a product it reads a running sum in place of a weight; which operand's, counts do not say: the mean of both.
        """
        model, several = self.model, len(self.operands)
        waits = sum(self._delivery(i) * 2 * self._queued(i) for i in range(several)) / several
        state = 2 * model.access(self.memories.states, self.state_bits) + 2 * self._fetched(self.outputs, beyond.states)
        if not self.product:
            arithmetic, operands = model.mac(self.payloads[0], self.weight_bits), {}
        else:
            arithmetic = sum(model.mac(bits, self.state_bits) for bits in self.payloads) / several
            joins = sum(map(self._delivery, range(several))) / several
            read = model.access(self.memories.sums, self.state_bits)
            fetched = sum(self._fetched(size, beyond.states) for size in map(self._size, range(several))) / several
            operands = {"operand_memory": read + fetched + joins * 2 * read}
        return {"arithmetic": arithmetic, **self._weight(beyond), **operands, DELIVERY: waits, "state_memory": state}

    def mac(self, widths: list[int], beyond: _Beyond) -> dict[str, float]:
        """A multiply-accumulate of analog operands of such widths: a weight, and from the tile's buffer an operand, or both of
        a product, which were written there once."""
        model, last = self.model, self.weight_bits if not self.product else widths[-1]
        read = written = 0.0
        for i, bits in enumerate(widths):
            access = model.access(self.memories.buffer(i, bits), bits)
            read += access + beyond.states * model.dram(bits) * self._size(i) / self.macs
            written += access * self._delivery(i)
        arithmetic = model.mac(widths[0], last)
        return {"arithmetic": arithmetic, **self._weight(beyond), "operand_memory": read, DELIVERY: written}

    def output(self, beyond: _Beyond) -> dict[str, float]:
        """An output of the ANN, written once."""
        bits = self.ann_bits
        return {"output_memory": self.model.access(self.memories.states, bits) + beyond.states * self.model.dram(bits)}

    def joining(self) -> dict[str, float]:
        """An output that joins its state in a step, and what its rounding leaves, read and written."""
        form, model = self.node.format, self.model
        bits = self.state_bits + (form.remainder_bits if form is not None else 0)
        return {"arithmetic": model.add_pj, "state_memory": 2 * model.access(self.memories.states, bits)}

    def _weight(self, beyond: _Beyond) -> dict[str, float]:
        if self.product:
            return {}
        fetched = beyond.weights * self.model.dram(self.weight_bits) * self.node.weight.size / self.macs
        return {"weight_memory": self.model.access(self.memories.weights, self.weight_bits) + fetched}

    def _fetched(self, elements: int, share: float) -> float:
        """Of an event, fetching from off the chip, or writing back, its share of so many states: what was fetched serves as
        many events as it serves MACs of the ANN."""
        return share * self.model.dram(self.state_bits) * elements / self.macs

    def _size(self, operand: int) -> int:
        return prod(self.program.shapes[self.operands[operand]])

    def _delivery(self, operand: int) -> float:
        """How many elements of an operand are written into a tile for each MAC."""
        return self.memories.deliveries[operand] / self.macs

    def _queued(self, operand: int) -> float:
        """A spike in a tile's buffer, written or read: its payload, or level and sign, and which of the elements it is."""
        emitters = (self.program.nodes[name] for name in self.program.emitters[self.operands[operand]])
        payload = max((int(node.message_bits or 0) for node in emitters if node.emits == "spikes"), default=0)
        bits = payload + ceil(log2(max(self.memories.reached[operand], 1)))
        return self.model.access(self.memories.buffer(operand, bits), bits)


def _row(site: _Site, counts: Counts, activity: Activity, beyond: tuple[_Beyond, _Beyond]) -> MemoryRow:
    """The row of a node; shares off the chip of the spiking side and of the ANN."""
    spiking, quantised = beyond
    synops, macs, dense = (count / activity.n_samples for count in (counts.synops, counts.macs, counts.dense_macs))
    of_network = site.outputs * (dense / site.macs)  # rows of the node's own are not the network's
    output = _times(site.output(quantised), of_network)
    each = site.mac(site.ann_widths, quantised)
    ann = sums([_times(each, dense), output])
    sizes = {"weights": site.memories.weights, "states": site.memories.states}
    if site.encoding:  # the same in both, of a stream as far as the frame changed
        changed = sums([_times(each, macs), _times(output, macs / dense)])
        return MemoryRow(changed, ann, (synops + macs) / dense, None, sum(changed.values()), dense, site.ann_bits, sizes)
    # outputs that join their state: those of the rows that an event reached, in rate coding all of them at every step
    rate = site.program.coding == "rate"
    joined = site.outputs * activity.timesteps if rate else counts.analog_messages / activity.n_samples
    fixed = _times(site.joining(), joined)
    if macs:
        fixed = sums([fixed, _times(site.mac([site.state_bits] * len(site.operands), spiking), macs)])
    event = site.event(spiking)
    snn = sums([_times(event, synops), fixed]) if synops else fixed
    room = sum(ann.values()) - sum(fixed.values())
    even = room / (sum(event.values()) * dense) + macs / dense if site.spiking and room > 0 else None
    return MemoryRow(snn, ann, (synops + macs) / dense, even, sum(fixed.values()), dense, site.ann_bits, sizes)


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
