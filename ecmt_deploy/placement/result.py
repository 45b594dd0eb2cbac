"""What a placement says: which cores hold what, how full they are, where messages go, and what does not fit."""

from __future__ import annotations

import msgspec

from ecmt_deploy.errors import plural
from ecmt_deploy.shown import Brief, Plotted, Tabular


class Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of one resource a unit's fullest core uses, and the chip's limit (``None``: unknown)."""

    used: int
    limit: int | None

    @property
    def share(self) -> float | None:
        """Used over limit."""
        return None if self.limit is None else self.used / self.limit


class Unit(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes that live on the same cores: a layer of synapses or a function of whole rows, and the elementwise nodes after it.

    Attributes
    ----------
    name : its first node, the one that decides the cores
    nodes : all of them, in the order of the program
    first_core, cores : its cores are ``first_core`` .. ``first_core + cores - 1``
    rows_per_core, columns_per_core : the tile of outputs a core computes: rows (tokens, positions) by channels
    use : by resource (``neurons``, ``synaptic_memory_bytes``, ``state_memory_bytes``, ``memory_bytes``, ``input_axons``,
        ``output_axons``, ``fan_in``)
    binding : the resource that decides the number of cores; ``None`` where one core holds it all, or no limit is known
    extra_steps : steps of the chip that sums over its rows add to its place in the pipeline, where only synapses sum
    """

    name: str
    nodes: tuple[str, ...]
    first_core: int
    cores: int
    rows_per_core: int
    columns_per_core: int
    use: dict[str, Use]
    binding: str | None
    extra_steps: int = 0


class Obstacle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What does not fit.

    Attributes
    ----------
    node : where (a unit's first node; the empty string for the program as a whole)
    resource : of which resource or ability there is too little
    need, limit : how much of it (``None`` where it is an ability, not an amount)
    mend : the nearest thing that would help
    """

    node: str
    resource: str
    need: int | None
    limit: int | None
    mend: str

    @property
    def sentence(self) -> str:
        """What, where, how much, and how to mend it, in one line."""
        where = f"{self.node}: " if self.node else ""
        amount = "" if self.need is None or self.limit is None else f" {self.need:,} needed, limit {self.limit:,}"
        return f"{where}{self.resource}{amount or ' missing'}; {self.mend}"


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the messages of one node go; everything per message that the node sends, on average over its elements.

    Attributes
    ----------
    source, target : node that emits, node that receives (through wiring)
    packets : copies that leave for another core (a message to its own core is none)
    within_tile : packets that stay within their tile
    hops_ew, hops_ns : hops between tiles, east-west and north-south, summed over packets
    chip_crossings : borders between chips, summed over packets
    """

    source: str
    target: str
    packets: float
    within_tile: float
    hops_ew: float
    hops_ns: float
    chip_crossings: float


class Placement(Tabular, Plotted, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program on a chip.

    Attributes
    ----------
    hardware, title : the chip
    units : in the order of their cores
    routes : between nodes of different cores; empty where units have no cores
    cores, chips : how many it takes (``chips`` is ``None`` where the cores of a chip are unknown)
    mesh : tile columns, tile rows and cores per tile of a chip; ``None`` where unknown: routes then have no hops
    obstacles : what does not fit; empty where the program runs on the chip as placed
    assumptions : what the numbers rest on, a sentence each
    unshown : what the program asks of the chip that nobody has shown there, a sentence each; it belongs beside every total
    cores_range, chips_range : fewest and most over the ranges of the chip's limits; ``None`` where that was not asked
    """

    charts = ("placement",)

    hardware: str
    title: str
    units: tuple[Unit, ...]
    routes: tuple[Route, ...]
    cores: int
    chips: int | None
    mesh: tuple[int, int, int] | None
    obstacles: tuple[Obstacle, ...]
    assumptions: tuple[str, ...]
    unshown: tuple[str, ...] = ()
    cores_range: tuple[int, int] | None = None
    chips_range: tuple[int, int] | None = None

    def __repr__(self) -> str:
        found = f"{plural(len(self.obstacles), 'obstacle')}; " if self.obstacles else ""
        return f"Placement({self.hardware!r}: {found}{self.verdict})"

    @property
    def fits(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.obstacles

    @property
    def bounded(self) -> bool:
        """Whether the chip states any limit. Where it states none, nothing says that the program fits, nor that it does not."""
        return self.chips is not None or any(use.limit is not None for unit in self.units for use in unit.use.values())

    @property
    def verdict(self) -> str:
        """Whether the program fits, and what it takes, in one line without the obstacles."""
        size = _plural(self.cores, "core", self.cores_range)
        if self.chips is not None:
            size += f" on {_plural(self.chips, 'chip', self.chips_range)}"
        if self.obstacles:
            return f"does not fit; what could be placed takes {size}"
        return f"fits: {size}" if self.bounded else "the chip states no limits, so whether the program fits is unknown"

    def unit_of(self, node: str) -> Unit | None:
        """The unit that holds a node; ``None`` for wiring, constants, input and output."""
        return next((unit for unit in self.units if node in unit.nodes), None)


def ranged(count: int, ends: tuple[int, int] | None) -> str:
    """A number, and the range of it where it has one: ``57 (34 to 57)``."""
    return f"{count:,}" + ("" if ends is None or ends[0] == ends[1] else f" ({ends[0]:,} to {ends[1]:,})")


def _plural(count: int, what: str, ends: tuple[int, int] | None) -> str:
    said = ranged(count, ends)
    return f"{said} {what}" + ("" if said == "1" else "s")
