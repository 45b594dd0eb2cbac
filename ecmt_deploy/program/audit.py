"""What a run of a program can say and can have counted: bounds that follow from the program, for files from outside.

Many counts follow exactly (multiply-accumulates, updates of neurons, weight accesses of a linear layer from the spikes before
it); the others have a least and a most. Counts within all of them need not be true, but none that are outside can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ecmt_deploy.errors import plural
from ecmt_deploy.program.activity import INTEGER_COUNTS, Activity, Counts, summed
from ecmt_deploy.program.graph import Program

if TYPE_CHECKING:
    from ecmt_deploy.runs.record import RunRecord, ShardRecord

#: largest count: they are 64-bit integers wherever they are added
MOST = 2**63 - 1
#: how often a step may clip an element of a node's operands or result
_CLIPS = 3


@dataclass(frozen=True)
class Range:
    """A count's least and most."""

    least: int
    most: int

    def __add__(self, other: Range) -> Range:
        return Range(self.least + other.least, self.most + other.most)

    def times(self, least: int, most: int) -> Range:
        """The range of a sum of so many, each between ``least`` and ``most``."""
        return Range(self.least * least, self.most * most)


NONE = Range(0, 0)


def impossible(program: Program, activity: Activity) -> str | None:
    """Why no run of ``program`` can have counted ``activity``, naming the node; ``None`` where one can."""
    if activity.n_samples < 0 or activity.timesteps < 1:
        return f"counts over {plural(activity.n_samples, 'sample')} of {plural(activity.timesteps, 'step')}"
    if not 0 <= activity.continued <= activity.n_samples:
        return f"{activity.continued} of {plural(activity.n_samples, 'sample')} went on from the one before"
    if activity.continued and program.coding == "rate":
        return f"{plural(activity.continued, 'sample')} went on from the one before, which rate coding has not"
    n, begun = activity.n_samples, activity.n_samples - activity.continued
    if why := _outside(program, activity.nodes, _Extent(n, begun, n * activity.timesteps)):
        return why
    if len(activity.steps) not in (0, activity.timesteps):
        return f"counts at each of {plural(len(activity.steps), 'step')}, expected {activity.timesteps}, or none"
    for t, nodes in enumerate(activity.steps, start=1):
        extent = _Extent(n, begun, n) if t == 1 else _Extent(0, 0, n)
        if why := _outside(program, nodes, extent):
            return f"step {t}: {why}"
    if activity.steps:
        for name, counts in summed(activity.steps).items():
            for field, found, expected in counts.differences(activity[name]):
                return f"node {name}: {field} of all steps add up to {found}, expected {expected}"
    return None


@dataclass(frozen=True)
class _Extent:
    """What part of a run counts are of.

    Attributes
    ----------
    entered : inferences, or frames, whose first step is among them
    begun : those of them that did not go on from the one before: at t = 1 everything is news
    steps : steps, of all inferences together
    """

    entered: int
    begun: int
    steps: int


def _outside(program: Program, nodes: Mapping[str, Counts], extent: _Extent) -> str | None:
    """Why these cannot be the counts of a part of a run; ``None`` where they can."""
    if strange := [name for name in nodes if name not in program.nodes]:
        return f"counts of node {strange[0]!r}, which is not in the program"
    if missing := [name for name in program.nodes if name not in nodes]:
        return f"no counts of node {missing[0]}, which is in the program"
    spikes: dict[str, Range] = {}  # of every spiking stream, over all samples and steps
    for name in program.nodes:
        counts = nodes[name]
        for field in INTEGER_COUNTS:
            if not 0 <= getattr(counts, field) <= MOST:
                return f"node {name}: {field} is {getattr(counts, field)}, expected 0 to 2**63 - 1"
        for what, found, expected in _Site(program, name, extent, spikes).claims(counts):
            if not expected.least <= found <= expected.most:
                shown = f"{expected.least:,}" + (f" to {expected.most:,}" if expected.most > expected.least else "")
                return f"node {name}: {what} is {found:,}, expected {shown}"
        if name in program.spiking:
            spikes[name] = _events(program, name, counts, spikes)
    return None


class _Site:
    """A node in a run, with what its counts can be."""

    def __init__(self, program: Program, name: str, extent: _Extent, spikes: dict[str, Range]) -> None:
        self.node, self.sources = program.nodes[name], program.operands[name]
        self.size, self.work = prod(program.shapes[name]), program.work(name)
        self.read = sum(prod(program.shapes[source]) for source in self.sources)
        self.samples, self.begun, self.steps = extent.entered, extent.begun, extent.steps
        self.spikes, self.encoding, self.network = spikes, name in program.encoding, program.network_macs(name)
        self.spiking, self.exact = program.spiking, program.exact
        self.analog = [source for source in self.sources if source not in program.spiking]

    def claims(self, counts: Counts) -> Iterator[tuple[str, int, Range]]:
        """Name, value and range of every count of the node."""
        ranges = {**dict.fromkeys(INTEGER_COUNTS, NONE), **self.ranges(counts)}
        for field, expected in ranges.items():
            yield field, getattr(counts, field), expected
        for kind, found in counts.ecm_ops.items():
            yield f"ecm_ops.{kind}", found, self.elements() if kind == self.work.kind else NONE
        if self.work.kind not in (None, *counts.ecm_ops):
            yield f"ecm_ops.{self.work.kind}", 0, self.elements()

    def ranges(self, counts: Counts) -> dict[str, Range]:
        """The counts that need not be zero."""
        clips = Range(0, _CLIPS * (self.size + self.read) * self.steps if self.node.format is not None else 0)
        if self.node.role == "neuron":
            updates = self.size * self.steps
            fired = Range(counts.spikes, counts.spikes)
            news = self.size * self.begun if self.analog else 0  # at t = 1 all of an analog stream is
            active = Range(max(counts.spikes, news), updates)
            idle = updates - counts.neuron_updates_active
            return {"spikes": Range(0, updates), "messages": fired, "neuron_updates_active": active,
                    "neuron_updates_idle": Range(idle, idle), "saturations": clips}  # fmt: skip
        if self.node.role in ("movement", "output"):
            return {}
        sent = {"analog_messages": self.sent(), "saturations": clips}
        if not self.work.fan_out:
            return sent
        dense = self.work.dense_macs
        # an encoding layer computes a first frame whole, and of those that follow what changed
        times = Range(self.begun, self.samples) if self.encoding else Range(self.steps, self.steps)
        always, first = self.products()
        macs = times.times(dense * always, dense * always) + Range(dense * first * self.begun, dense * first * self.begun)
        accesses = NONE
        for source, fan_out in zip(self.sources, self.work.fan_out, strict=True):
            if source in self.spikes:
                accesses += self.spikes[source].times(*fan_out)
        most = dense * self.steps * (len(self.sources) - len(self.analog))
        return {
            **sent, "macs": macs, "dense_macs": Range(self.network * self.samples, self.network * self.samples),
            "synops": Range(accesses.least, min(accesses.most, most)),
        }  # fmt: skip

    def products(self) -> tuple[int, int]:
        """How many times its weights, or its products, meet analog operands whole: at every step, and at t = 1 besides."""
        if self.node.role != "product":
            return len(self.analog), 0
        return self.node.dense_products(*([source in kind for source in self.sources] for kind in (self.spiking, self.exact)))

    def sent(self) -> Range:
        """Analog values: at least all of them at t = 1, at most all at every step."""
        first, always = self.size * self.begun, self.size * self.steps
        once = first if self.node.role == "constant" else self.size * self.samples
        return Range(always if self.node.sends == "always" else first, once if self.node.sends == "once" else always)

    def elements(self) -> Range:
        """Elements evaluated: at t = 1 all that are not spikes, or behind spikes alone."""
        most = self.work.elements * self.steps
        at_first = self.analog or self.node.role == "product"
        return Range(most if self.node.every_step else self.work.elements * self.begun if at_first else 0, most)


def _events(program: Program, name: str, counts: Counts, spikes: dict[str, Range]) -> Range:
    """Spikes in a stream: what its neuron fired, or what wiring made of the operands' spikes."""
    node = program.nodes[name]
    if node.emits == "spikes":
        return Range(counts.spikes, counts.spikes)
    operands = program.operands[name]
    times = node.copies(program.shapes[operands[0]], program.shapes[name])
    return sum((spikes[operand].times(*times) for operand in operands), NONE)


# --- records -----------------------------------------------------------------------------------------------------------


def contradiction(record: RunRecord, program: Program) -> str | None:
    """What of a record cannot be, or is not of this program; ``None`` where all of it can."""
    n, steps, shard = record.n_samples, record.timesteps, record.shard
    if n < 1 or steps < 1:
        return f"{plural(n, 'sample')} of {plural(steps, 'step')}, expected at least one of each"
    if record.provenance != program.provenance.brief:
        return "its provenance is not that of the program"
    if (record.precision == "fixed") != program.integer:
        return f"precision is {record.precision!r}, but the program is {'an integer' if program.integer else 'a float'} program"
    for name in ("accuracy", "agreement"):
        shares = getattr(record, name)
        if record.clip is not None and not shares:
            continue
        if shares is not None and not (len(shares) == steps and _shares(shares, n)):
            return f"{name} is {_short(shares)}, expected a share of {plural(n, 'sample')} for each of {plural(steps, 'step')}"
    if record.analog_accuracy is not None and not _shares([record.analog_accuracy], n):
        return f"analog_accuracy is {record.analog_accuracy}, expected a share of {n} samples"
    if (record.agreement is None) != (record.analog_accuracy is None):
        return "agreement without analog_accuracy, or the other way round"
    if not all(seconds is None or 0 <= seconds < float("inf") for seconds in (record.build_seconds, record.run_seconds)):
        return f"build_seconds and run_seconds are {record.build_seconds} and {record.run_seconds}, expected no less than 0"
    if record.obstacles and record.hardware is None:
        return "obstacles without hardware"
    compared = record.conformance
    if compared and (compared.samples != n or compared.counts_equal == bool(compared.differences)):
        return "conformance is of other samples, or its differences contradict counts_equal"
    return None if shard is None else _shard_contradiction(shard, record)


def _shard_contradiction(shard: ShardRecord, record: RunRecord) -> str | None:
    n = record.n_samples
    if not 1 <= shard.index <= shard.count <= shard.total:
        return f"shard {shard.index}/{shard.count} of {plural(shard.total, 'sample')}, expected 1 <= index <= count <= samples"
    if n != len(range(shard.index - 1, shard.total, shard.count)):
        return f"{plural(n, 'sample')}, but shard {shard.index}/{shard.count} of {shard.total} has another number"
    if [right / n for right in shard.right] != record.accuracy:
        return "shard.right is not accuracy times samples"
    if (None if shard.agreeing is None else [same / n for same in shard.agreeing]) != record.agreement:
        return "shard.agreeing is not agreement times samples"
    if (None if shard.analog_right is None else shard.analog_right / n) != record.analog_accuracy:
        return "shard.analog_right is not analog_accuracy times samples"
    return None


def _shares(values: Sequence[float], n: int) -> bool:
    """Whether all are whole numbers of ``n`` samples over ``n``."""
    return all(0 <= value <= 1 and round(value * n) / n == value for value in values)


def _short(values: Sequence[float]) -> str:
    return str(values[:4])[:-1] + (", ..]" if len(values) > 4 else "]")
