"""Results as a table for other tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ecmt_deploy.chips.actions import COMPONENTS
from ecmt_deploy.estimation.result import Band, Energy, MemoryRow, MemoryView
from ecmt_deploy.untrusted import text


def to_csv(results: Sequence[Energy]) -> str:
    """One line per chip and node, and one (node ``total``, type ``program``) for the whole with its static energy.

    Every amount is value, low, high; an empty field is a component without energy. Components of chips' own follow the usual
    ones. Counts without a price are listed by name.
    """
    names = [*COMPONENTS, *sorted({name for result in results for name in result.components_pj} - set(COMPONENTS))]
    amounts = [f"{name}{end}" for name in (*names, "priced") for end in ("_pj", "_low_pj", "_high_pj")]
    view_c = ["memory_snn_pj", "memory_ann_pj", "events_per_mac", "break_even_events_per_mac"]
    rows: list[list[text.Cell]] = []
    for result in results:
        for row in result.rows:
            memory = result.memory.rows.get(row.node)
            compared: list[float | None] = [None] * len(view_c)
            if memory:
                compared = [*_both(memory), memory.events_per_mac, memory.break_even_events_per_mac]
            cells = [*_amounts(names, row.components_pj, row.priced_pj), *_words(row.bounds, row.unpriced)]
            rows.append([result.hardware, row.node, row.kind, *cells, *compared])
        compared = [*_both(result.memory), result.events_per_mac, None]
        cells = [*_amounts(names, result.components_pj, result.total_pj), *_words(result.bounds, result.unpriced)]
        rows.append([result.hardware, "total", "program", *cells, *compared])
    return text.to_csv(["hardware", "node", "type", *amounts, "bounds", "unpriced", *view_c], rows)


def _both(memory: MemoryRow | MemoryView) -> tuple[float, float]:
    return sum(memory.snn_pj.values()), sum(memory.ann_pj.values())


def _amounts(names: Sequence[str], components: dict[str, Band], total: Band) -> list[float | None]:
    bands = [*(components.get(name) for name in names), total if components else None]
    return [x for band in bands for x in ((band.value, band.low, band.high) if band else (None, None, None))]


def _words(bounds: Iterable[str], unpriced: Iterable[str]) -> list[str]:
    return ["+".join(bounds), "+".join(sorted(unpriced))]
