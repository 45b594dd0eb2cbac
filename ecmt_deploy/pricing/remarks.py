"""What a reader of the totals must know, in sentences computed from them."""

from __future__ import annotations

from collections.abc import Iterable

from ecmt_deploy.pricing.paper import PAPER_MAC_PJ
from ecmt_deploy.pricing.result import Energy


def bound_mark(bounds: Iterable[str]) -> str:
    """Sign before a sum of prices with these bounds: at most, at least, or about."""
    found = tuple(sorted(set(bounds) - {"exact"}))
    return {(): "", ("upper",): "≤ ", ("lower",): "≥ "}.get(found, "~ ")


def listed(amounts: dict[str, float]) -> str:
    """Names with their amounts, by name."""
    return ", ".join(f"{name} ({amount:,.0f})" for name, amount in sorted(amounts.items()))


def remarks(result: Energy) -> list[str]:
    """One line each; every line begins with the chip."""
    lines = []
    if result.obstacles:
        more = f" (and {len(result.obstacles) - 3} more)" if len(result.obstacles) > 3 else ""
        lines.append(f"priced as if it could: {' | '.join(result.obstacles[:3])}{more}")
    if result.unpriced:
        lines.append(f"the total leaves out, per inference, for want of a price: {listed(result.unpriced)}.")
    if result.left_out:
        lines.append(f"not priced: {'; '.join(result.left_out)}.")
    if set(result.bounds) - {"exact"}:
        lines.append(f"prices include {' and '.join(b for b in result.bounds if b != 'exact')} bounds.")
    if "product" in result.components_pj:
        lines.append("an event of a product of activations costs a synaptic event: it reads a state in place of a weight.")
    if "static" in result.components_pj:
        lines.append("static power is over the time of an inference in a full pipeline; up to its whole latency in the band.")
    if result.events_per_mac is not None and result.synop_pj is not None:
        cost = result.events_per_mac * result.synop_pj
        verdict = "more than" if cost > PAPER_MAC_PJ else "at most"
        lines.append(
            f"{result.events_per_mac:.2f} events per MAC at {result.synop_pj:g} pJ each cost {cost:.2f} pJ"
            f" for each MAC of the ANN: {verdict} the {PAPER_MAC_PJ:g} pJ of an fp32 MAC at 45 nm."
        )
    return [f"{result.hardware}: {line}" for line in lines]
