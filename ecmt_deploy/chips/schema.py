"""What a chip's file holds: limits, abilities, prices, times and memories, every figure with where it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ecmt_deploy.chips.actions import FUNCTION_PRICES, PRICES, TIMES, belongs
from ecmt_deploy.errors import plural
from ecmt_deploy.shown import Brief, Tabular

#: arithmetic that can be priced
OPERATIONS = tuple(
    f"{width}_{operation}_pj"
    for width in ("int8", "int16", "int32", "fp16", "fp32")
    for operation in ("add", "mul", "div", "compare", "load", "store")
)

Method = Literal["measured", "simulated", "published", "derived", "assumed"]
Grade = Literal["A", "B", "C", "D"]
Text = Annotated[str, Meta(min_length=1)]
Keys = Annotated[tuple[str, ...], Meta(min_length=1)]


class Source(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where figures are from, with the fields of a BibTeX entry; the key in the file is the entry's key."""

    type: Literal["article", "inproceedings", "techreport", "manual", "misc", "online"]
    title: Text
    author: Text
    year: int
    journal: str = ""
    booktitle: str = ""
    institution: str = ""
    volume: str = ""
    number: str = ""
    pages: str = ""
    doi: str = ""
    eprint: str = ""
    url: str = ""
    note: str = ""


class Sourced(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How sure a statement about a chip is.

    Attributes
    ----------
    source : keys of the file's ``[sources]``
    where : the table, page, file or condition
    method : how it was obtained; grades C and D are never ``measured``, ``simulated`` or ``published``
    grade : A read directly in source code, a log or an abstract; B from a secondary transcription; C derived; D conflicting
    note : what a reader should know
    """

    source: Keys
    where: str = ""
    method: Method
    grade: Grade
    note: str = ""


class Ability(Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether a chip can do something."""

    value: bool


class Figure(Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One figure of a chip.

    Attributes
    ----------
    value, unit : the number and its unit
    low, high : the range the sources give, where they give one
    bound : whether the true figure may be lower (``upper``) or higher (``lower``) than this one
    derivation : the arithmetic behind a derived value
    """

    value: float
    unit: Text
    low: float | None = None
    high: float | None = None
    bound: Literal["exact", "upper", "lower"] = "exact"
    derivation: str = ""

    @property
    def span(self) -> tuple[float, float]:
        """The ends of the range; the value itself where the sources give no end."""
        return self.value if self.low is None else self.low, self.value if self.high is None else self.high


class Price(Figure, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Energy (pJ), power (mW) or time on a core (ns) per action.

    Attributes
    ----------
    covers : prices (times) that are contained in this one, so that nothing is charged twice
    per : of a component of the chip's own, the action that it is charged for (:data:`~ecmt_deploy.chips.actions.ACTIONS`);
        empty where the name is a usual one
    """

    covers: tuple[str, ...] = ()
    per: str = ""


class Limits(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a core, a chip and the largest system can hold; a limit that is not given is unknown.

    Attributes
    ----------
    chips : chips of the largest system there is
    memory_bytes_per_core : memory that weights and state share, where they do
    synaptic_entry_bits : width of one entry of the memory of weights, where weights are packed into such
    weights_per_entry_convolution, weights_per_entry_dense : weights that an entry holds on average, addresses and all, of
        connections whose weights are shared (convolutions, token-wise layers) and of those with a weight for every pair; at
        ``weight_bits``, and in proportion at other widths. Not given: weights lie side by side, without anything else
    fan_in_per_neuron : synapses of one neuron
    chip_columns : chips side by side on a board; the next row of chips goes on below, to and fro
    tile_columns, tile_rows, cores_per_tile : the mesh of a chip
    weight_bits, state_bits, graded_payload_bits : widths; a payload of 1 is a binary spike
    payload_bits_per_packet : payload one packet carries
    """

    cores_per_chip: Figure | None = None
    chips: Figure | None = None
    chip_columns: Figure | None = None
    tile_columns: Figure | None = None
    tile_rows: Figure | None = None
    cores_per_tile: Figure | None = None
    neurons_per_core: Figure | None = None
    fan_in_per_neuron: Figure | None = None
    synaptic_memory_bytes_per_core: Figure | None = None
    synaptic_entry_bits: Figure | None = None
    weights_per_entry_convolution: Figure | None = None
    weights_per_entry_dense: Figure | None = None
    state_memory_bytes_per_core: Figure | None = None
    memory_bytes_per_core: Figure | None = None
    input_axons_per_core: Figure | None = None
    output_axons_per_core: Figure | None = None
    weight_bits: Figure | None = None
    state_bits: Figure | None = None
    graded_payload_bits: Figure | None = None
    payload_bits_per_packet: Figure | None = None


class Abilities(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a chip can do at all; an ability that is not given is unknown.

    Attributes
    ----------
    weight_sharing : rows of a token-wise layer, and positions of a convolution, share one copy of the weights on a core
    axon_sharing : they share an input axon for each channel too, the row or position being in the message
    halved_layers : the chip's tools halve a layer until its parts fit, first its rows (of an image its columns), of which a
        part has room for a power of two, then its channels; otherwise the parts are as few, and as even, as can be
    programmable_neurons : neurons run code (multi-threshold neurons, expectation compensation)
    dense_connections : layers other than convolutions
    stream_products : two streams are multiplied by each other (attention products, gates), where a synapse multiplies by a
        stored weight
    row_reductions : cores sum over the elements of a row by code; where they do not, only synapses sum, which takes extra
        events, messages and steps
    """

    weight_sharing: Ability | None = None
    axon_sharing: Ability | None = None
    halved_layers: Ability | None = None
    programmable_neurons: Ability | None = None
    dense_connections: Ability | None = None
    stream_products: Ability | None = None
    row_reductions: Ability | None = None


class Barrier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Time of the synchronisation that ends a step, with this many tiles at work."""

    tiles: int
    time: Figure


class Sram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Energy of one access to a memory of ``bytes``."""

    bytes: int
    access: Figure


class Memory(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of memories for the memory-inclusive view.

    Attributes
    ----------
    access_bits : width of one access
    sram : by size in ascending order; energy is piecewise linear in between (Lemaire et al. 2022)
    dram_pj : an access beyond the chip
    """

    access_bits: Figure
    sram: Annotated[tuple[Sram, ...], Meta(min_length=1)]
    dram_pj: Figure | None = None


class Hardware(Tabular, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A chip as its file describes it. What is not given is unknown, and never zero.

    Attributes
    ----------
    prices : energy per action in pJ, power in mW: usual ones (:data:`~ecmt_deploy.chips.actions.PRICES`; of functions
        ``ecm_op_pj.gelu``, ..) and components of the chip's own
    times : time per action on one core in ns, likewise; ``step_ns`` is a step of chips with a clock tick of their own
    barrier : end of a step on other chips, by tiles in ascending order; between two, interpolated linearly
    operations : energy of arithmetic and of accesses to a core's memory, in pJ, by name (those of :data:`OPERATIONS`): what
        prices of functions (:mod:`~ecmt_deploy.chips.recipes`) and the quantised ANN are made of
    node_nm, supply_v : process, and voltage at which the prices hold
    sources : by key
    """

    name: Text
    title: Text
    description: Text
    sources: dict[str, Source]
    limits: Limits
    prices: dict[str, Price]
    abilities: Abilities = Abilities()
    times: dict[str, Price] = {}
    barrier: tuple[Barrier, ...] = msgspec.field(default=(), name="times.barrier")
    memory: Memory | None = None
    operations: dict[str, Figure] = {}
    node_nm: Figure | None = None
    supply_v: Figure | None = None

    def __repr__(self) -> str:
        known = f"{plural(len(figures(self)), 'figure')} from {plural(len(self.sources), 'source')}"
        return f"Hardware({self.name!r}, {self.title!r}, {known})"


def statements(described: Hardware) -> Iterator[tuple[str, Sourced]]:
    """Every figure and ability of a chip with its name (``ecm_op_pj.gelu``, ``barrier.32``, ``sram.8192``)."""
    yield from ((name, value) for name in ("node_nm", "supply_v") if (value := getattr(described, name)) is not None)
    for part in (described.limits, described.abilities):
        yield from ((name, value) for name in part.__struct_fields__ if (value := getattr(part, name)) is not None)
    yield from described.prices.items()
    yield from described.times.items()
    yield from ((f"barrier.{point.tiles}", point.time) for point in described.barrier)
    if described.memory is not None:
        yield "access_bits", described.memory.access_bits
        yield from ((f"sram.{point.bytes}", point.access) for point in described.memory.sram)
        if described.memory.dram_pj is not None:
            yield "dram_pj", described.memory.dram_pj
    yield from ((f"operations.{name}", figure) for name, figure in described.operations.items())


def figures(described: Hardware) -> dict[str, Figure]:
    """Every figure of a chip by name."""
    return {name: value for name, value in statements(described) if isinstance(value, Figure)}


def covered(table: Mapping[str, Price]) -> dict[str, str]:
    """Prices (times) that are contained in another of the table, each with that one's name."""
    known = (*PRICES, *FUNCTION_PRICES, *TIMES, *table)
    return {part: name for name, price in table.items() for whole in price.covers for part in known if belongs(part, whole)}


def component_of(name: str) -> str:
    """The component that a price of the chip's own is charged to: its name without the unit; all power is static."""
    return "static" if name.endswith("_mw") else name.rpartition("_")[0]
