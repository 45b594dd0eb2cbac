"""The sentence on where spiking pays says what the rows of view (c) say."""

from __future__ import annotations

import pytest

from ecmt_deploy.estimation import MemoryRow, MemoryView
from ecmt_deploy.report.verdict import pays


def row(event: float, events: float, ann: float, fixed: float = 0.0) -> MemoryRow:
    """100 MACs, of which ``events`` a MAC are met by events that cost so much each."""
    spent = 100 * events * event + fixed
    room = ann - fixed
    return MemoryRow({"all": spent}, {"all": ann}, events, room / (event * 100) if room > 0 else None, fixed, 100.0, 8, {})


def view(**rows: MemoryRow) -> MemoryView:
    total = {side: {"all": sum(getattr(each, side)["all"] for each in rows.values())} for side in ("snn_pj", "ann_pj")}
    return MemoryView(
        model="m", ann_bits=8, ann_bits_of="payloads", tile_bytes=None, off_chip={}, off_chip_priced=True, rows=rows, **total
    )  # fmt: skip


@pytest.mark.parametrize(("cheap", "dear", "said"), [
    (0.2, 0.8, "Spiking costs 1.00 times the quantised ANN: it pays in 1 of 2 layers (a), and as a whole below 0.500 events"),
    (0.2, 0.3, "Spiking costs 0.500 times the quantised ANN: it pays in every layer, and as a whole below 0.500 events"),
    (0.7, 0.8, "Spiking costs 1.50 times the quantised ANN: it pays in no layer, and as a whole below 0.500 events"),
])  # fmt: skip
def test_it_names_the_layers_that_cost_less(cheap: float, dear: float, said: str) -> None:
    assert pays(view(a=row(1.0, cheap, 50.0), b=row(1.0, dear, 50.0))).startswith(said)


def test_what_costs_more_without_any_event_never_pays() -> None:
    assert pays(view(a=row(1.0, 0.1, 50.0, fixed=60.0))).endswith("it pays in no layer, and never as a whole.")


def test_nothing_that_spikes_is_said_as_such() -> None:
    assert pays(view(a=row(1.0, 0.0, 50.0))).startswith("Nothing spikes")
