"""What a reader of the totals must know, in sentences computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecmt_deploy.estimation.paper import PAPER_MAC_PJ
from ecmt_deploy.estimation.result import Energy, Timing
from ecmt_deploy.report import units

#: obstacles said one by one; how many more there are is said too
MOST_OBSTACLES = 3
#: how the remark about counts without a price begins
UNPRICED = "the total leaves out"


def notes(results: Sequence[Energy], each: str = "inference") -> list[str]:
    """The remarks on several chips, each said once, with the chips it is about; ``each``: what an energy is of."""
    about: dict[str, list[str]] = {}
    for result in results:
        for line in remarks(result, each):
            about.setdefault(line, []).append(result.hardware)
    everywhere = len(results)
    return [f"{'all' if len(chips) == everywhere > 1 else ', '.join(chips)}: {line}" for line, chips in about.items()]


def remarks(result: Energy, each: str = "inference") -> Iterator[str]:
    """The remarks on one chip, a sentence each; an energy is that of ``each``."""
    for obstacle in result.obstacles[:MOST_OBSTACLES]:
        yield f"priced as if it could: {obstacle}."
    if more := result.obstacles[MOST_OBSTACLES:]:
        yield f"priced as if it could: {len(more)} more; `ecmt-deploy inspect --hardware NAME` lists them."
    yield from (f"{said[:1].lower()}{said[1:]}" for said in result.assumes)
    if result.unpriced:
        yield f"{UNPRICED}, per {each}, for want of a price: {_listed(result.unpriced)}."
    if (assumed := result.assumed_functions_pj) is not None:
        kept = "in" if result.functions_assumed else "not in"
        asked = "" if result.functions_assumed else "; --assume-functions puts it there"
        yield (
            f"functions, assumed: {units.energy_band(assumed)} per {each}, by recipe from 45 nm scaled to the chip's process"
            f" (grade D), {kept} the total{asked}."
        )
    for what in result.left_out:
        yield f"not priced: {what}."
    if set(result.bounds) - {"exact"}:
        yield f"prices include {' and '.join(b for b in result.bounds if b != 'exact')} bounds."
    if "product" in result.components_pj:
        yield "an event of a product of activations costs a synaptic event: it reads a state in place of a weight."
    if "static" in result.components_pj:
        full = f"the time of one {each} in a full pipeline; up to its whole latency in the band"
        rate = result.frames_per_second
        yield f"static power is over {full if rate is None else f'the time from one {each} to the next, {rate:g} a second'}."
    if result.timing is not None:
        if result.timing.phases:
            yield _made_of(result.timing)
        yield from (f"time: {assumption}" for assumption in result.timing.assumptions)
        if result.timing.unknown:
            yield f"time is a lower bound; per step, without a published time: {_listed(result.timing.unknown)}."
    if result.events_per_mac is not None and result.synop_pj is not None:
        cost = result.events_per_mac * result.synop_pj
        verdict = "more than" if cost > PAPER_MAC_PJ else "at most"
        yield (
            f"{units.per_mac(result.events_per_mac)} events per MAC at {result.synop_pj:g} pJ each cost"
            f" {units.figures(cost)} pJ for each MAC of the ANN: {verdict} the {PAPER_MAC_PJ:g} pJ of an fp32 MAC at 45 nm."
        )


def _made_of(time: Timing) -> str:
    """What decides how long the steps of a full pipeline are."""
    total = sum(phase.us.value for phase in time.phases)
    barrier = sum(phase.barrier_us.value for phase in time.phases)
    parts = {"fullest cores": "core", "busiest links": "link", "clock ticks": "tick"}
    shares = {
        name: sum(phase.us.value - phase.barrier_us.value for phase in time.phases if phase.binds == binds) / total
        for name, binds in parts.items()
    }
    said = ", ".join(f"{name} {share:.0%}" for name, share in {**shares, "barriers": barrier / total}.items() if share)
    longest = max(time.phases, key=lambda phase: phase.us.value)
    where = f" ({longest.busiest})" if longest.binds == "core" else ""
    return f"time: the {time.steps} steps of a full pipeline are {said}; the longest is {longest.us.value / total:.0%}{where}."


def _listed(amounts: dict[str, float]) -> str:
    """Counts by name, those of functions in one."""
    functions = {name.removeprefix("ecm_ops."): n for name, n in sorted(amounts.items()) if name.startswith("ecm_ops.")}
    said = [f"{name} ({units.count(amount)})" for name, amount in sorted(amounts.items()) if not name.startswith("ecm_ops.")]
    if functions:
        said.append(f"ecm_ops ({units.count(sum(functions.values()))}: {', '.join(functions)})")
    return ", ".join(said)
