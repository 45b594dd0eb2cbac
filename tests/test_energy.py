"""Chips, prices and pages: a missing price is never zero, and every figure has a source."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecmt_deploy import chips, pricing
from ecmt_deploy.activity import Activity, Counts
from ecmt_deploy.errors import RunError
from ecmt_deploy.report import make_report, render_html
from ecmt_deploy.rundir import RunRecord, load_run, save_run
from ecmt_deploy.simulation import simulate
from tests.programs import images


@pytest.fixture(scope="module")
def made(all_programs):
    program = all_programs["transformer, accurate"]
    return program, simulate(program, images(4), "torch", 3)


def test_the_papers_prices_are_horowitz():
    mac = chips.hardware("horowitz45").prices.mac_pj
    assert mac is not None
    assert mac.value == pricing.PAPER_MAC_PJ
    assert mac.derivation.endswith(f"+ {pricing.PAPER_AC_PJ}")


def test_prices_times_counts_by_hand(made):
    program, run = made
    chip = chips.hardware("loihi1_sanafe")
    result = pricing.energy(run.activity, program, chip)
    (row,) = [row for row in result.rows if row.node == "qkv.neuron"]
    counts = run.activity["qkv.neuron"]
    expected = counts.spikes * 69.3 + counts.neuron_updates_active * 72.8 + counts.neuron_updates_idle * 51.2
    assert row.components_pj["neuron"] == pytest.approx(expected / 4)
    assert row.components_pj["routing"] == pytest.approx(counts.messages * 111 / 4)
    (row,) = [row for row in result.rows if row.node == "qkv"]
    assert row.components_pj == {"synapse": pytest.approx(run.activity["qkv"].synops * 35.5 / 4)}
    assert row.unpriced == {"analog_messages": run.activity["qkv"].analog_messages / 4}


@pytest.mark.parametrize("price", ["synop_pj", "neuron_update_idle_pj", "spike_pj", "message_pj"])
def test_a_missing_price_is_unpriced_and_changes_nothing_else(made, price):
    program, run = made
    chip = chips.hardware("loihi1_sanafe")
    without = msgspec.structs.replace(chip, prices=msgspec.structs.replace(chip.prices, **{price: None}))
    full, partial = (pricing.energy(run.activity, program, c) for c in (chip, without))
    count = next(c for c, p in pricing._PRICE_OF.items() if p == price)
    total = sum(getattr(c, count) for _, c in run.activity.items()) / 4
    assert total > 0
    assert partial.unpriced[count] == pytest.approx(total)
    assert not partial.complete
    assert full.total_pj - partial.total_pj == pytest.approx(total * getattr(chip.prices, price).value)


def test_a_covered_price_is_neither_charged_nor_unpriced(made):
    program, run = made
    result = pricing.energy(run.activity, program, chips.hardware("loihi2"))
    assert "messages" not in result.unpriced
    assert "routing" not in result.components_pj
    assert "upper" in result.bounds


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 10**6), min_size=14, max_size=14), st.integers(1, 50), st.integers(1, 50))
def test_energy_is_additive_over_samples(made, numbers, first, second):
    program, _ = made
    names = list(program.nodes)
    a, b = (
        Activity(n, 3, {name: Counts(*numbers[i : i + 6], ecm_ops={"softmax": numbers[i + 6]}) for name in names})
        for i, n in ((0, first), (7, second))
    )
    for name in chips.available():
        chip = chips.hardware(name)
        parts = [pricing.energy(part, program, chip).total_pj * part.n_samples for part in (a, b)]
        whole = pricing.energy(a + b, program, chip)
        assert whole.total_pj * whole.n_samples == pytest.approx(sum(parts))


def test_encoding_layers_are_left_out_of_events_per_mac(made):
    program, run = made
    result = pricing.energy(run.activity, program, chips.hardware("horowitz45"))
    others = [c for name, c in run.activity.items() if name not in program.encoding]
    assert result.encoding == ("patch",)
    assert result.events_per_mac == pytest.approx(sum(c.synops + c.macs for c in others) / sum(c.dense_macs for c in others))
    assert run.activity["patch"].macs == run.activity["patch"].dense_macs


def test_counts_of_another_program_are_refused(made, all_programs):
    _, run = made
    with pytest.raises(RunError, match="not of this program"):
        pricing.energy(run.activity, all_programs["every node, rate"], chips.hardware("loihi2"))


def record(program, run, **changes) -> RunRecord:
    values = {
        "tool_version": "0", "target": "torch", "precision": "float", "dtype": "float64", "timesteps": 3, "n_samples": 4,
        "data": "d", "program_sha256": "0" * 64, "provenance": program.provenance, "accuracy": [0.25, 0.5, 0.75],
        "analog_accuracy": 0.75, "agreement": [0.5, 0.75, 1.0],
    }  # fmt: skip
    return RunRecord(**{**values, **changes})


def test_the_page_is_self_contained_escaped_and_repeatable(made):
    program, run = made
    energies = [pricing.energy(run.activity, program, chips.hardware(name)) for name in chips.available()]
    hostile = msgspec.structs.replace(program.provenance, model="<script>alert(1)</script>")
    report = make_report(record(program, run, provenance=hostile), run.activity, program, energies)
    page = render_html(msgspec.json.decode(msgspec.json.encode(report), type=type(report)))
    assert page == render_html(report)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for fetched in ("src=", "@import", "url(http", "<link"):
        assert fetched not in page
    for expected in ("Accuracy against time steps", "Energy per layer", "Spike rate per layer", "Provenance", "unpriced"):
        assert expected in page
    assert page.count("<svg") == 2 + len(energies)


def test_runs_are_kept_whole_and_nothing_else_is_replaced(made, tmp_path):
    from ecmt_deploy.graph import write

    program, run = made
    write(program, tmp_path / "p.nir")
    for _ in range(2):  # an earlier run is replaced
        save_run(tmp_path / "run", record(program, run), run, tmp_path / "p.nir")
    loaded, activity = load_run(tmp_path / "run")
    assert loaded == record(program, run)
    assert activity == run.activity
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "outputs.npy"), run.outputs)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.nir", "run"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important")
    with pytest.raises(RunError, match="no run directory"):
        save_run(tmp_path / "mine", record(program, run), run, tmp_path / "p.nir")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    (tmp_path / "run" / "activity.json").write_text("{}")
    with pytest.raises(RunError, match="activity.json"):
        load_run(tmp_path / "run")


def test_names_from_files_are_no_markup(made):
    """Brackets in names are shown, not obeyed."""
    from io import StringIO

    from rich.console import Console

    from ecmt_deploy import tables

    program, _ = made
    hostile = msgspec.structs.replace(program.provenance, model="[red]model[/blue]")
    out = StringIO()
    Console(file=out, width=120).print(tables.provenance(type(program)(**{**vars(program), "provenance": hostile})))
    assert "[red]model[/blue]" in out.getvalue()
