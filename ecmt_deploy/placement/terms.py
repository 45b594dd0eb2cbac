"""What a placement takes from a chip's file, what from the program, and what it has to assume."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from ecmt_deploy.chips import Ability, Figure, Hardware, Limits
from ecmt_deploy.errors import HardwareError
from ecmt_deploy.program import Program
from ecmt_deploy.program.ops import Op

#: resources of a core, and the limit of a chip each is held against
RESOURCES = {
    "neurons": "neurons_per_core",
    "synaptic_memory_bytes": "synaptic_memory_bytes_per_core",
    "state_memory_bytes": "state_memory_bytes_per_core",
    "memory_bytes": "memory_bytes_per_core",
    "input_axons": "input_axons_per_core",
    "output_axons": "output_axons_per_core",
    "fan_in": "fan_in_per_neuron",
}
#: widths of a float program on a chip that does not say its own: those of the integer programs of this project
ASSUMED_WEIGHT_BITS, ASSUMED_STATE_BITS = 8, 24


class Mesh(NamedTuple):
    """The tiles of a chip, and the cores of a tile."""

    columns: int
    rows: int
    cores: int


@dataclass(frozen=True)
class Terms:
    """The terms of a placement.

    Attributes
    ----------
    limits : by resource, for those that are known
    sharing : whether weights of rows and positions on one core are stored once
    axon_sharing : whether those share the input axon of a channel too
    halving : whether layers are divided in halves until their parts fit
    overhead_shared, overhead_dense : memory that a weight takes, over its own bits: of weights that rows or positions share,
        and of those with a weight for every pair; 1 where the chip says nothing
    summing : whether only synapses sum over the elements of a row: the chip's cores do not
    binary : whether a spike has no payload, so that each level of a neuron, of either sign, is a neuron and an axon
    sums_as_states : whether the running sums of a product's operands stand where states do: there is a memory for those
        (or one for both); otherwise where weights do
    weight_bits, state_bits : widths of a float program's weights and state
    cores_per_chip, chips, mesh : ``None`` where unknown
    chip_columns : chips side by side on a board; ``None`` where unknown, and then they stand in one row
    """

    limits: dict[str, int]
    sharing: bool
    axon_sharing: bool
    halving: bool
    overhead_shared: float
    overhead_dense: float
    summing: bool
    binary: bool
    sums_as_states: bool
    weight_bits: int
    state_bits: int
    cores_per_chip: int | None
    chips: int | None
    mesh: Mesh | None
    chip_columns: int | None

    @classmethod
    def of(cls, hardware: Hardware) -> Terms:
        """The terms that a chip sets.

        Raises
        ------
        HardwareError
            if the chip's tiles have fewer cores than the chip.
        """
        limits = hardware.limits
        known = {resource: _whole(getattr(limits, name)) for resource, name in RESOURCES.items()}
        columns, rows, cores = (_whole(x) for x in (limits.tile_columns, limits.tile_rows, limits.cores_per_tile))
        mesh = Mesh(columns, rows, cores) if columns and rows and cores else None
        per_chip = _whole(limits.cores_per_chip)
        if mesh and per_chip and per_chip > prod(mesh):
            raise HardwareError(
                f"{hardware.name}: cores_per_chip is {per_chip}, but {columns} x {rows} tiles of {cores} cores hold "
                f"{prod(mesh)}; mend the one or the other"
            )
        return cls(
            limits={resource: value for resource, value in known.items() if value is not None},
            sharing=_yes(hardware.abilities.weight_sharing),
            axon_sharing=_yes(hardware.abilities.axon_sharing),
            halving=_yes(hardware.abilities.halved_layers),
            overhead_shared=_overhead(limits, limits.weights_per_entry_convolution),
            overhead_dense=_overhead(limits, limits.weights_per_entry_dense),
            summing=hardware.abilities.row_reductions is not None and not hardware.abilities.row_reductions.value,
            binary=_whole(limits.graded_payload_bits) == 1,
            sums_as_states=known["state_memory_bytes"] is not None or known["memory_bytes"] is not None,
            weight_bits=_whole(limits.weight_bits) or ASSUMED_WEIGHT_BITS,
            state_bits=_whole(limits.state_bits) or ASSUMED_STATE_BITS,
            cores_per_chip=per_chip or (prod(mesh) if mesh else None),
            chips=_whole(limits.chips),
            mesh=mesh,
            chip_columns=_whole(limits.chip_columns),
        )

    def weight_bits_of(self, node: Op) -> int:
        """Width of a node's weights."""
        return int(getattr(node.format, "weight_bits", self.weight_bits))

    def state_bits_of(self, node: Op) -> int:
        """Width of a node's state."""
        return self.state_bits if node.format is None else int(node.format.state_bits)

    def levels_of(self, node: Op) -> int:
        """Neurons, and axons, that one element of a node takes."""
        return node.spikes_per_element if self.binary else 1


def assumptions(program: Program, hardware: Hardware, terms: Terms, chips: int | None) -> tuple[str, ...]:
    """What the numbers of a placement rest on, a sentence each."""
    limits, abilities, mesh = hardware.limits, hardware.abilities, terms.mesh
    unknown = [name for resource, name in RESOURCES.items() if resource not in terms.limits and name != "memory_bytes_per_core"]
    if "memory_bytes" in terms.limits:
        unknown = [name for name in unknown if "memory" not in name]
    said = {
        "A core holds one unit; units take consecutive cores in the order of the program.": True,
        "Weights and states have the widths of the integer program.": program.integer,
        _width("Weights", terms.weight_bits, limits.weight_bits): not program.integer,
        _width("States", terms.state_bits, limits.state_bits): not program.integer,
        "Whether weights can be shared is unknown: assumed not, so every row or position stores its own.":
            abilities.weight_sharing is None,
        "Spikes carry no payload: each level of a neuron, of either sign, takes a neuron, an axon and synapses.": terms.binary,
        "The payload of a spike is unknown: assumed wide enough for every level.": limits.graded_payload_bits is None,
        "Whether neurons run code is unknown: assumed so.": abilities.programmable_neurons is None,
        "Whether there are dense connections is unknown: assumed so.": abilities.dense_connections is None,
        f"Unknown, so not binding: {', '.join(unknown)}.": bool(unknown),
        "The size of the largest system is unknown: as many chips as it takes.": terms.chips is None,
        "The image reaches the encoding layer from outside, and the readout leaves the chip: neither is routed.": True,
        "Rows of an embedding, and what follows from tokens and masks alone, come from the host that presents the sample: no"
        " core holds or computes them, and their way onto the chip is not routed.": bool(program.exact),
        "A message to several cores is a packet to each; one to its own core is none.": True,
        "The mesh of the chip is unknown: no hops.": mesh is None,
        "Chips stand side by side in one row, and the mesh goes on over their borders.":
            mesh is not None and (chips or 0) > 1 and terms.chip_columns is None,
        f"Chips fill a board {terms.chip_columns} wide, to and fro; the mesh goes on over their borders.":
            mesh is not None and (chips or 0) > 1 and terms.chip_columns is not None,
    }  # fmt: skip
    return tuple(sentence for sentence, holds in said.items() if holds)


def _width(what: str, bits: int, figure: Figure | None) -> str:
    where = "the chip's width" if figure else "assumed, for the chip's width is unknown"
    return f"{what} are {bits} bit wide: {where}; accuracy at that width is not examined here."


def _whole(figure: Figure | None) -> int | None:
    return None if figure is None else int(figure.value)


def _overhead(limits: Limits, packed: Figure | None) -> float:
    """Bits of an entry over those of the weights it holds."""
    if packed is None or limits.synaptic_entry_bits is None or limits.weight_bits is None:
        return 1.0
    return limits.synaptic_entry_bits.value / (packed.value * limits.weight_bits.value)


def _yes(ability: Ability | None) -> bool:
    return ability is not None and ability.value
