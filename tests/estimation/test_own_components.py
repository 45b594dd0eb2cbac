"""A component that only a chip's file knows: charged, shown and written everywhere, without a line of code."""

import csv
import json
import re
from io import StringIO
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest
from rich.console import Console

from ecmt_deploy import chips
from ecmt_deploy import estimation as pricing
from ecmt_deploy.chips.overview import priced
from ecmt_deploy.errors import HardwareError
from ecmt_deploy.placement import place
from ecmt_deploy.report import data, tables
from ecmt_deploy.report.csv import to_csv
from ecmt_deploy.report.html.page import render
from ecmt_deploy.report.model import make_report
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import images
from tests.support import two_layers
from tests.support.two_layers import CHIP, PLACEMENT, PROGRAM, figure

TEXT = chips.template()
SAID = 'source = ["doe2025mychip"], method = "measured", grade = "A"'


def priced_with(counts, **prices):
    chip = msgspec.structs.replace(CHIP, prices={**CHIP.prices, **prices})
    return pricing.energy(counts, PROGRAM, chip, PLACEMENT)


def component(result, name):
    return {row.node: row.components_pj[name].value for row in result.rows if name in row.components_pj}


@pytest.mark.parametrize(
    ("per", "expected"),
    # amounts of tests/support/two_layers.py, at 2 pJ each
    [
        ("synops", {"l2": 8}), ("synops.product", {}), ("macs", {"l1": 12}), ("neuron_updates_active", {"n1": 4, "n2": 6}),
        ("spikes", {"n1": 4, "n2": 4}), ("ecm_ops", {"readout": 8}), ("ecm_ops.readout", {"readout": 8}), ("ecm_ops.gelu", {}),
        ("packets", {"n1": 8}), ("packets_in", {"n1": 8}), ("hops_ew", {"n1": 8}), ("chip_crossings", {}),
    ],
)  # fmt: skip
def test_every_action_can_be_priced(counts, per, expected):
    result = priced_with(counts, further_pj=figure(2, per=per, low=1, high=3))
    assert component(result, "further") == pytest.approx(expected)
    before = pricing.energy(counts, PROGRAM, CHIP, PLACEMENT)
    assert result.total_pj.value == pytest.approx(before.total_pj.value + sum(expected.values()))
    assert result.total_pj.high == pytest.approx(before.total_pj.high + 1.5 * sum(expected.values()))
    assert result.complete


def test_power_of_its_own_is_static(counts):
    """3 mW more than 2, for as long."""
    before = pricing.energy(counts, PROGRAM, CHIP, PLACEMENT).components_pj["static"]
    result = priced_with(counts, leakage_mw=figure(3, "mW", per="chip_time", bound="upper"))
    assert result.components_pj["static"].value == pytest.approx(before.value * 5 / 2)
    assert result.bounds == ("exact", "lower", "upper")


def test_it_takes_the_place_of_a_usual_price_only_if_it_says_so(counts):
    chip = {name: price for name, price in CHIP.prices.items() if name != "synop_pj"}
    for covers, unpriced in (((), {"synops": 4.0}), (("synop_pj",), {})):
        own = msgspec.structs.replace(CHIP, prices={**chip, "event_pj": figure(2, per="synops", covers=covers)})
        result = pricing.energy(counts, PROGRAM, own, PLACEMENT)
        assert component(result, "event") == pytest.approx({"l2": 8})
        assert result.unpriced == unpriced


def test_a_convolutions_price_can_be_contained(all_programs):
    """In a component of the chip's own: then ``synop_pj`` does not stand in. Where that one contains it, it does."""
    program = all_programs["every node, differential"]
    activity = simulate(program, images(2), "reference", 2).activity
    chip = chips.hardware("loihi1_sanafe")
    prices = {name: price for name, price in chip.prices.items() if name != "synop_conv_pj"}

    def spread(**changed):
        result = pricing.energy(activity, program, msgspec.structs.replace(chip, prices=prices | changed))
        return next(row.components_pj for row in result.rows if row.node == "spread")

    own = figure(1, per="synops.convolution", covers=("synop_conv_pj",))
    assert spread(conv_pj=own).keys() & {"synapse", "conv"} == {"conv"}
    same = msgspec.structs.replace(prices["synop_pj"], covers=("synop_conv_pj",))
    assert spread(synop_pj=same)["synapse"] == spread()["synapse"]


def test_members_are_charged_at_what_is_per_their_family(all_programs):
    """``synops`` of a convolution and of a product too, besides their usual prices."""
    program = all_programs["every node, differential"]
    activity = simulate(program, images(2), "reference", 2).activity
    chip = chips.hardware("loihi1_sanafe")
    own = {"all_pj": figure(1, per="synops"), "conv_pj": figure(1, per="synops.convolution")}
    result = pricing.energy(activity, program, msgspec.structs.replace(chip, prices={**chip.prices, **own}))
    # synapses sum over rows there: two events for each element and sum
    sums = {name: 2 * program.nodes[name].reductions * sum(c.ecm_ops.values()) for name, c in activity.items()}
    events = {name: (c.synops + sums[name]) / 2 for name, c in activity.items() if c.synops + sums[name]}
    assert sums["softmax"] > 0
    assert component(result, "all") == pytest.approx(events)
    assert {"spread"} <= component(result, "conv").keys() < events.keys()


def test_time_of_its_own(counts):
    """2 ns for each active update: of 2 of l1's unit at t = 1, of 2 on two cores of l2's: 4 and 2 ns more over the two steps of
    a full pipeline; MACs then have a time as well."""

    def time_of(**times):
        chip = msgspec.structs.replace(CHIP, times={**CHIP.times, **times})
        return pricing.energy(counts, PROGRAM, chip, PLACEMENT).timing

    before = time_of()
    after = time_of(write_ns=figure(2, "ns", per="neuron_updates_active"))
    assert after.step_us.value == pytest.approx(before.step_us.value + 0.003)
    assert after.unknown == before.unknown
    assert "macs" not in time_of(mac_ns=figure(1, "ns", per="macs")).unknown
    # the usual one is missing all the same
    chip = {name: time for name, time in CHIP.times.items() if name != "spike_ns"}
    own = msgspec.structs.replace(CHIP, times={**chip, "fire_ns": figure(1, "ns", per="spikes")})
    assert "spikes" in pricing.energy(counts, PROGRAM, own, PLACEMENT).timing.unknown


def test_a_file_is_enough_for_every_table(counts, tmp_path):
    """The template's own component, in what is printed and written."""
    from tests.support.runs import record

    path = tmp_path / "mychip.toml"
    path.write_text(TEXT, encoding="utf-8")
    chip = chips.hardware(path)
    placement = place(PROGRAM, chip)
    result = pricing.energy(counts, PROGRAM, chip, placement)
    assert component(result, "accumulator_write") == pytest.approx({"l2": 4 * 1.5})
    assert "accumulator_write" in priced(chip)

    line = next(row for row in csv.DictReader(StringIO(to_csv(data.nodes([result])))) if row["node"] == "l2")
    assert float(line["accumulator_write_pj"]) == pytest.approx(6)
    as_json = json.loads(msgspec.json.encode(result))
    assert as_json["components_pj"]["accumulator_write"]["value"] == pytest.approx(6)
    out = StringIO()
    Console(file=out, width=120).print(tables.energy([result], 120, details=True), tables.chip(chip))
    assert "accumulator_write " in out.getvalue()
    assert "per synops" in out.getvalue()
    run = simulate(PROGRAM, two_layers.X, "reference", two_layers.TIMESTEPS)
    page = render(make_report(record(PROGRAM, run), run.activity, PROGRAM, [(chip, placement, result)]))
    assert "accumulator write" in page


def test_the_example_of_the_page_is_a_component(counts, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "chips.md").read_text(encoding="utf-8")
    example = dedent(re.search(r"    \[prices.accumulator_write_pj\]\n(    .+\n)+", page)[0])
    path = tmp_path / "mychip.toml"
    path.write_text(re.sub("(?m)^accumulator_write_pj.*", "", TEXT) + example, encoding="utf-8")
    result = pricing.energy(counts, PROGRAM, path)
    assert component(result, "accumulator_write") == pytest.approx({"l2": 4 * 1.5})


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("sinop_pj", "", "prices.sinop_pj: is no usual name; is it synop_pj?; per is ''"),
        ("a_pj", "per = 'synop'", "per is 'synop', expected one of synops, synops.convolution,"),
        ("a_pj", "per = 'stranded'", "per is 'stranded', expected one of"),
        ("a_pj", "per = 'ecm_ops.gelo'", "per is 'ecm_ops.gelo', expected one of"),
        ("a_mw", "per = 'synops'", "prices.a_mw: expected small letters"),
        ("a", "per = 'synops'", "prices.a: expected small letters, digits, _ and the end _pj"),
        ("a_pj", "per = 'chip_time'", "prices.a_pj: expected small letters, digits, _ and the end _mw"),
        ("'=a_pj'", "per = 'synops'", "prices.=a_pj: expected small letters"),
        ("total_pj", "per = 'synops'", "no name of a column of tables"),
        ("a_low_pj", "per = 'synops'", "no name of a column of tables"),
        ("a_pj", "per = 'synops', covers = ['synop_pj']", "synop_pj is given and also covered by a_pj"),
        ("spike_pj", "per = 'spikes'", "prices.spike_pj: is a usual name, per one action"),
    ],
)
def test_what_is_refused(tmp_path, name, more, message):
    entry = f"{name} = {{ value = 1, unit = 'pJ', {more}{', ' if more else ''}{SAID} }}"
    text = TEXT.replace("\nspike_pj", "\n# spike_pj").replace("[prices]\n", f"[prices]\n{entry}\n")
    path = tmp_path / "mychip.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HardwareError) as caught:
        chips.hardware(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "per"), [("hop_ew_ns", "hops_ew"), ("wait_ns", "chip_time"), ("wait_pj", "spikes")])
def test_times_are_of_what_a_core_does(tmp_path, name, per):
    path = tmp_path / "mychip.toml"
    path.write_text(TEXT.replace("[times]\n", f"[times]\n{name} = {{ value = 1, unit = 'ns', per = '{per}', {SAID} }}\n"))
    with pytest.raises(HardwareError, match=f"times.{name}: "):
        chips.hardware(path)
