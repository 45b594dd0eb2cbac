"""What pricing a run says, per inference: energy by node and component in three views, and time."""

from __future__ import annotations

from typing import Literal

import msgspec

from ecmt_deploy.chips.schema import Source
from ecmt_deploy.errors import plural
from ecmt_deploy.estimation.band import NOTHING as NOTHING
from ecmt_deploy.estimation.band import Band as Band
from ecmt_deploy.estimation.neurobench import NeuroBench
from ecmt_deploy.estimation.waterfall import Waterfall
from ecmt_deploy.shown import Brief, Plotted, Tabular

#: the part of view (c) that spikes and operands cost on their way into tiles: written there, and spikes read
DELIVERY = "delivery_memory"


class PaperView(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """View (a): the papers' estimate at 45 nm, an accumulation of 0.9 pJ an event against a MAC of 4.6 pJ.

    Attributes
    ----------
    snn_pj, ann_pj : events x 0.9 (4.6 of those with a graded payload, which are multiplied) + analog MACs x 4.6, and dense
        MACs x 4.6, the encoding layers left out of both
    ratio : snn / ann = 0.9 / 4.6 x events per MAC where no analog MAC and no graded payload is; ``None`` without dense MACs
    left_out_pj : what the figure leaves out and 45 nm arithmetic prices: encoding, neuron, ecm, memory
    total_pj : with all that
    unpriced : what it leaves out and nothing prices, counts per inference by name
    """

    snn_pj: float
    ann_pj: float
    ratio: float | None
    left_out_pj: dict[str, float]
    total_pj: float
    unpriced: dict[str, float]


class MemoryRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """View (c) of one node with synapses.

    Attributes
    ----------
    snn_pj, ann_pj : by part (arithmetic, weight, state or operand memory, ..)
    events_per_mac : measured
    break_even_events_per_mac : below it spiking costs less than the quantised ANN; ``None`` where it never does, and where
        nothing spikes
    fixed_pj : what spiking costs without any event
    dense_macs : of the ANN, per inference
    ann_bits : width of the ANN's activations here, of two operands the wider
    memory_bytes : size of the memories of its tile that its ``weights`` and its ``states`` are in
    """

    snn_pj: dict[str, float]
    ann_pj: dict[str, float]
    events_per_mac: float | None
    break_even_events_per_mac: float | None
    fixed_pj: float
    dense_macs: float
    ann_bits: int
    memory_bytes: dict[str, int]


class MemoryView(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """View (c): memory included, against an ANN with activations of ``ann_bits`` bits, one memory model for both.

    Attributes
    ----------
    model : which memory model
    ann_bits : width of the ANN's activations; where rows differ the widest, encoding layers left out (a row has its own)
    ann_bits_of : what it is: ``steps``, ceil(log2(T + 1)) (Yan et al., arXiv 2409.08290); ``payloads``, node by node the width
        of the graded payloads that reach it; ``asked``, what the caller chose
    tile_bytes : size of the tiles that both sides lie in; ``None`` where they are the cores of the chip
    off_chip : shares of ``spiking_weights``, ``spiking_states``, ``ann_weights`` and ``ann_activations`` that are fetched from
        DRAM, because they do not fit in all memories of the chip together
    off_chip_priced : whether the memory model has a price of DRAM; without one those accesses are not in the sums
    rows : by node
    snn_pj, ann_pj : sums by part
    """

    model: str
    ann_bits: int
    ann_bits_of: Literal["steps", "payloads", "asked"]
    tile_bytes: int | None
    off_chip: dict[str, float]
    off_chip_priced: bool
    rows: dict[str, MemoryRow]
    snn_pj: dict[str, float]
    ann_pj: dict[str, float]

    def accesses_pj(self, messages_priced: bool) -> tuple[float, float]:
        """Accesses to memory on both sides; without deliveries where messages have a price, which is for the same way."""
        without = {"arithmetic", DELIVERY} if messages_priced else {"arithmetic"}
        snn, ann = (sum(pj for part, pj in side.items() if part not in without) for side in (self.snn_pj, self.ann_pj))
        return snn, ann


class TilePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """View (c) of a whole program in tiles of one size.

    Attributes
    ----------
    tile_bytes : size of every tile
    events_per_mac : measured, of what spikes
    break_even_events_per_mac : below it spiking costs less; ``None``: never
    snn_pj, ann_pj : both sides
    """

    tile_bytes: int
    events_per_mac: float | None
    break_even_events_per_mac: float | None
    snn_pj: float
    ann_pj: float


class Row(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node's energy on the chip: view (b).

    Attributes
    ----------
    node, kind : name and type of the node
    components_pj : by component (synapse, product, mac, neuron, ecm, routing, chip_crossing, and the chip's own), those that
        could be priced
    unpriced : counts per inference without a price, by name of the count
    bounds : bounds of the prices used (``exact``, ``upper``, ``lower``)
    sources : keys of the sources of the prices used
    """

    node: str
    kind: str
    components_pj: dict[str, Band]
    unpriced: dict[str, float]
    bounds: tuple[str, ...]
    sources: tuple[str, ...] = ()

    @property
    def priced_pj(self) -> Band:
        """Sum over the components that could be priced."""
        return sum(self.components_pj.values(), NOTHING)


class Phase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of the chip, and what it lasts for: ``us`` is the longest of core, link and clock tick, and the barrier.

    Attributes
    ----------
    step : its number, from 1
    us : its length
    binds : what decides it: the fullest core, the busiest link, or the clock tick
    busiest : the unit whose fullest core works longest; ``None`` where no core has work with a time
    core_us, link_us : that core's work, and the packets of the busiest link
    barrier_us : the synchronisation that ends the step
    """

    step: int
    us: Band
    binds: Literal["core", "link", "tick"]
    busiest: str | None
    core_us: Band
    link_us: Band
    barrier_us: Band


class Timing(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long an inference takes on the chip, from its published times.

    Attributes
    ----------
    depth : units one behind another on the longest way through the program: steps until the pipeline is full
    steps : time steps T of an inference
    step_us : mean length of a step in a full pipeline
    busiest : the unit whose fullest core decides the longest of them; ``None`` where a link or a clock tick does
    latency_us : of one inference alone, from the first step to the last: the sum of ``inference``
    throughput_per_s : once the pipeline is full, and an inference enters every T steps: 1 / the sum of ``phases``
    unknown : work that has no published time and is not in the step (then it is a lower bound), counts per step by name
    assumptions : what the numbers rest on, a sentence each
    phases : the T steps of a full pipeline: in step p the unit at place d works on t = p - d + 1, modulo T
    inference : the depth + T - 1 steps of an inference alone
    """

    depth: int
    steps: int
    step_us: Band
    busiest: str | None
    latency_us: Band
    throughput_per_s: Band
    unknown: dict[str, float]
    assumptions: tuple[str, ...]
    phases: tuple[Phase, ...] = ()
    inference: tuple[Phase, ...] = ()


class Energy(Tabular, Plotted, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run of a program on a chip, per inference.

    Attributes
    ----------
    hardware, title : the chip
    timesteps, n_samples : what the counts were over
    rows : view (b), one per node that did anything
    components_pj, total_pj : sums over rows of what could be priced, and ``static``: power of the chips x time of an inference,
        from the full pipeline (low, value) to one inference at a time (high); absent where power or time is unknown
    unpriced : counts per inference without a price, summed over rows
    left_out : what no count covers, with the reason
    bounds : bounds of the prices used
    paper, memory : views (a) and (c)
    timing : ``None`` where the chip has no published times
    energy_delay_nj_ms : total energy x latency; ``None`` without timing
    frames_per_second : inferences a second over whose period static power is; ``None``: as fast as a full pipeline goes
    cores, chips, obstacles : of the placement: how many (``None`` where the chip states no limits, or not how many cores it
        has), and what does not fit, a sentence each
    assumes : what the program asks of the chip that nobody has shown there, a sentence each
    cores_range, chips_range : fewest and most over the ranges of the chip's limits; bands of energy and time cover the
        placements at both ends. ``None`` where a single placement was priced
    events_per_mac : (synops + macs) / dense MACs, the encoding layers left out of both; ``None`` if there is nothing else
    payload_bits : mean bits of a spike in the program, its level and sign or its graded payload; ``None`` without spikes
    encoding : the encoding layers
    synop_pj : the chip's price of a synaptic event, ``None`` if unknown
    assumed_functions_pj : what functions without a price cost by recipe from 45 nm, scaled to the chip's process (grade D);
        ``None`` where all have a price, or process or memory of the chip is unknown
    functions_assumed : whether that is in the total, as the component ``assumed_functions``; otherwise they are unpriced
    cores_per_chip : ``None`` where unknown
    waterfall : from the papers' figure to what the chip pays
    sources : BibTeX entries, by key, of the prices of view (b), and of no others of the chip
    view_sources : those of the prices of views (a) and (c)
    neurobench : NeuroBench's metrics of the same counts
    """

    charts = ("energy", "waterfall")

    hardware: str
    title: str
    timesteps: int
    n_samples: int
    rows: tuple[Row, ...]
    components_pj: dict[str, Band]
    total_pj: Band
    unpriced: dict[str, float]
    left_out: tuple[str, ...]
    bounds: tuple[str, ...]
    paper: PaperView
    memory: MemoryView
    timing: Timing | None
    energy_delay_nj_ms: Band | None
    cores: int | None
    chips: int | None
    obstacles: tuple[str, ...]
    events_per_mac: float | None
    payload_bits: float | None
    encoding: tuple[str, ...]
    synop_pj: float | None
    assumes: tuple[str, ...] = ()
    frames_per_second: float | None = None
    cores_range: tuple[int, int] | None = None
    chips_range: tuple[int, int] | None = None
    assumed_functions_pj: Band | None = None
    functions_assumed: bool = False
    cores_per_chip: int | None = None
    waterfall: Waterfall = Waterfall()
    sources: dict[str, Source] = {}
    view_sources: dict[str, Source] = {}
    neurobench: NeuroBench | None = None

    def __repr__(self) -> str:
        pj = self.total_pj.value
        scale, unit = (1e9, "mJ") if pj >= 1e9 else (1e6, "µJ") if pj >= 1e6 else (1e3, "nJ")
        at_least = "" if self.complete else f" and {len(self.unpriced)} unpriced counts"
        return (
            f"Energy({self.hardware!r}: {pj / scale:,.4g} {unit}{at_least} per inference, T = {self.timesteps}, "
            f"{plural(len(self.obstacles), 'obstacle') if self.obstacles else f'fits: {self.fits}'})"
        )

    @property
    def fits(self) -> str:
        """Whether the program fits the chip: ``yes``, ``no``, or ``unknown`` where the chip states no limits."""
        return "no" if self.obstacles else "unknown" if self.cores is None else "yes"

    @property
    def complete(self) -> bool:
        """Whether every count had a price."""
        return not self.unpriced
