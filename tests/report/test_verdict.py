"""The sentences that say first whether a program fits and pays: what they say is what the numbers say."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ecmt_deploy.estimation import Cause, MemoryRow, MemoryView, Waterfall
from ecmt_deploy.report.verdict import Brief, by_fit, in_brief, measured, on_chip, pays
from tests.support.report_cases import energy


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


PRICED = energy(hardware="a")
FITS = replace(
    PRICED, obstacles=(), cores=20, cores_range=(18, 25), cores_per_chip=128,
    memory=view(a=row(1.0, 2.1, 50.0), b=row(1.0, 0.0, 0.0)),
)  # fmt: skip


def test_a_chip_that_fits() -> None:
    said = on_chip(FITS)
    assert said.startswith(
        "a: fits on 1 chip of 128 cores, 20 cores (18 to 25); with memory spiking costs 4.20 times the up to 8-bit network and "
        "pays below 0.500 events per MAC (it has 2.10); "
    )
    assert "per inference" in said
    assert "; latency ≥ 36.0\u00a0µs (24.0\u00a0to\u00a048.0)." in said
    assert "on 2 chips of 128 cores (1 to 3), 20 cores" in on_chip(replace(FITS, chips=2, chips_range=(1, 3)))
    assert "a: fits: 20 cores (18 to 25);" in on_chip(replace(FITS, chips=None))


def test_a_chip_that_does_not_fit_says_why() -> None:
    said = on_chip(replace(FITS, obstacles=("head: neurons 1,200 needed, limit 1,000; use more cores", "b: c missing; d")))
    assert said.startswith("a: does not fit (head: neurons 1,200 needed, limit 1,000, and 1 more); ")


def test_what_is_unknown_is_said_to_be() -> None:
    assert on_chip(replace(FITS, cores=None)).startswith("a: states no limits, so whether the program fits is unknown; ")
    assert "latency unknown" in on_chip(replace(FITS, timing=None))
    assert on_chip(replace(FITS, assumes=("Assumes this.", "Assumes that."))) == (
        f"{on_chip(FITS)} Assumes this. Assumes that."
    )
    bare = energy(hardware="b", priced=False)
    assert "no energy is known, as nothing it does has a price" in on_chip(bare)
    causes = (
        Cause("papers", "priced", 1.0, 1.0, 2.0, {}),
        Cause("functions", "unknown", None, 1.0, None, {"ecm_ops.gelu": 1.0}),
        Cause("routing", "partly", 1.0, 2.0, None, {"packets": 1.0}),
    )
    assert "without a price for functions and routing" in on_chip(replace(FITS, waterfall=Waterfall(causes)))
    assert "nothing spikes into weights" in on_chip(replace(FITS, memory=view(a=row(1.0, 0.0, 50.0))))
    assert "and never pays" in on_chip(replace(FITS, memory=view(a=row(1.0, 0.1, 50.0, fixed=60.0))))


def test_in_brief_it_is_one_short_sentence_without_ranges() -> None:
    said = in_brief(FITS)
    assert said.startswith(
        "a: fits, 20 cores; spiking costs 4.20 times the network at up to 8 bits, pays below 0.500 events per MAC; "
    )
    assert said.endswith(" per inference, ≥ 36.0\u00a0µs.")
    assert not set("()") & set(said)
    assert in_brief(replace(FITS, assumes=("Assumes this.", "Assumes that."))).endswith("; 2 assumptions.")
    assert measured([FITS]) == "this run has 2.10"


def test_in_brief_what_is_unknown_or_does_not_fit_is_said_to() -> None:
    misfit = in_brief(replace(FITS, obstacles=("head: neurons 1,200 needed, limit 1,000; use more cores", "b: c missing; d")))
    assert misfit.startswith("a: does not fit (head: neurons 1,200 needed, limit 1,000, and 1 more); ")
    assert "a: fit unknown; " in in_brief(replace(FITS, cores=None))
    assert in_brief(replace(FITS, timing=None)).endswith("per inference.")
    bare = replace(energy(hardware="b", priced=False), memory=view(a=row(1.0, 0.0, 50.0)))
    assert "its energy is unknown" in in_brief(bare)
    assert "nothing spikes into weights" in in_brief(bare)
    assert (Brief.of(bare)[1:], measured([bare])) == (("", "", "not priced", ""), "")
    never = replace(FITS, memory=view(a=row(1.0, 0.1, 50.0, fixed=60.0)))
    assert "at up to 8 bits, never pays; " in in_brief(never)
    assert "at up to 1 bit, " in in_brief(replace(never, memory=replace(never.memory, ann_bits=1)))


def test_chips_that_fit_come_first() -> None:
    names = {"no": ("x",), "yes": (), "unknown": ()}
    given = [replace(PRICED, hardware=f"{fit}{i}", obstacles=names[fit], cores=None if fit == "unknown" else 3)
             for i, fit in enumerate(("no", "unknown", "yes", "no", "yes"))]  # fmt: skip
    assert [e.hardware for e in by_fit(given)] == ["yes2", "yes4", "unknown1", "no0", "no3"]
