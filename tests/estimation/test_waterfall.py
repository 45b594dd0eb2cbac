"""From the papers' figure to the chip's: bars add up, and what has no price is never a bar of zero."""

from __future__ import annotations

import msgspec
import pytest

from ecmt_deploy import chips, energy
from ecmt_deploy.estimation import Energy, Waterfall
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.report import data
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing import case
from tests.support import two_layers

CASES = ("transformer, paper", "transformer, accurate", "transformer, graded")


def memory(e: Energy) -> float:
    priced = {"arithmetic", "delivery_memory"} if "routing" in e.components_pj else {"arithmetic"}
    return sum(pj for part, pj in e.memory.snn_pj.items() if part not in priced)


def by_name(falls: Waterfall) -> dict:
    return {cause.name: cause for cause in falls.causes}


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest):
    chosen = case(request.param)
    return simulate(chosen.program, chosen.inputs[:2], "torch", 2)


def test_by_hand(counts: Activity) -> None:
    """The chip of the two layers prices everything: tests/estimation/test_energy.py has its components."""
    e = energy(counts, two_layers.PROGRAM, two_layers.CHIP, two_layers.PLACEMENT)
    found = by_name(e.waterfall)
    assert [cause.name for cause in e.waterfall.causes] == [
        "papers", "events", "encoding", "functions", "neurons", "memory", "routing", "static",
    ]  # fmt: skip
    # 4 events x 0.9; 4 x 10 in their place; 6 MACs x 5; 4 elements of the readout x 1.5; neurons 12 + 14; 34 of packets; static
    adds = {name: cause.pj for name, cause in found.items()}
    assert adds == {
        "papers": pytest.approx(3.6), "events": pytest.approx(40 - 3.6), "encoding": pytest.approx(30),
        "functions": pytest.approx(6), "neurons": pytest.approx(26), "memory": None, "routing": pytest.approx(34),
        "static": pytest.approx(e.components_pj["static"].value),
    }  # fmt: skip
    assert found["memory"].state == "within"
    # the ANN: 4 MACs x 4.6; 4 x 5 on the chip; 6 x 5 more; no function of its own, no neuron; its packets nobody knows
    assert [cause.ann_pj for cause in e.waterfall.causes] == [
        pytest.approx(18.4), pytest.approx(20), *[pytest.approx(50)] * 4, None, None,
    ]  # fmt: skip
    assert found["papers"].ratio == pytest.approx(0.9 / 4.6)
    assert found["neurons"].ratio == pytest.approx((40 + 30 + 6 + 26) / 50)


@pytest.mark.parametrize("name", chips.available())
def test_bars_add_up_to_what_the_chip_pays(run, name: str) -> None:
    e = run.energy(name)
    causes = e.waterfall.causes
    assert causes[0].ratio == e.paper.ratio
    if e.waterfall.total_pj is None:
        assert "synapse" not in e.components_pj
        return
    together = sum(cause.pj for cause in causes if cause.pj is not None)
    assert together == pytest.approx(e.waterfall.total_pj)
    own = memory(e) if e.memory.model == name else 0.0
    assert together == pytest.approx(e.total_pj.value + own)
    so_far = 0.0
    for cause in causes:
        so_far += cause.pj or 0.0
        assert cause.total_pj == pytest.approx(so_far)


@pytest.mark.parametrize("name", chips.available())
def test_what_has_no_price_is_unknown_and_no_zero(run, name: str) -> None:
    e = run.energy(name)
    named = {count for cause in e.waterfall.causes for count in cause.unpriced}
    assert named == set(e.unpriced)
    for cause in e.waterfall.causes:
        assert (cause.pj is None) == (cause.state in ("unknown", "within"))
        if cause.unpriced:
            assert cause.state in ("partly", "unknown")
    assert msgspec.json.decode(msgspec.json.encode(e), type=Energy).waterfall == e.waterfall


def test_without_a_price_of_events_there_is_no_total(run) -> None:
    falls = run.energy("dynapcnn").waterfall
    assert (falls.total_pj, by_name(falls)["events"].state) == (None, "unknown")
    assert all(cause.total_pj is None for cause in falls.causes[1:])


def test_a_price_that_is_taken_away_becomes_unknown(run) -> None:
    chip = chips.hardware("seneca")
    without = msgspec.structs.replace(
        chip, prices={name: price for name, price in chip.prices.items() if name not in ("message_pj", "message_in_pj")}
    )
    before, after = (by_name(run.energy(each).waterfall)["routing"] for each in (chip, without))
    assert (before.state, after.state, after.pj) == ("priced", "unknown", None)


def test_the_table_has_a_row_a_cause(run) -> None:
    table = data.waterfall(run.energy("seneca"))
    assert table.column("cause") == [cause.name for cause in run.energy("seneca").waterfall.causes]
    assert table.column("of_papers_ann")[0] == pytest.approx(run.energy("seneca").paper.ratio)
