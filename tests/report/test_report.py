"""Pages: what they show is what was computed, they stand alone, and every reader can take them."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecmt_deploy import chips
from ecmt_deploy.estimation import COMPONENTS, energy
from ecmt_deploy.placement import place
from ecmt_deploy.report import data, units
from ecmt_deploy.report.charts import svg
from ecmt_deploy.report.charts.cores import grid, stride
from ecmt_deploy.report.comparison import Comparison, pareto_front
from ecmt_deploy.report.html.page import render
from ecmt_deploy.report.model import Report, make_report
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import images
from tests.support import report_cases as cases
from tests.support.html import SVG, drawings, require_alone, require_numbers, require_text_within, tables
from tests.support.runs import record

CHIPS = ("dynapcnn", "horowitz45", "loihi1", "loihi2", "spinnaker2")


@pytest.fixture(scope="module")
def real(all_programs) -> Report:
    """A converted program on chips that it fits, does not fit and may fit, that have all prices, some and none."""
    program = all_programs["transformer, accurate"]
    run = simulate(program, images(4), "torch", 3)
    described = [chips.hardware(name) for name in CHIPS]
    placed = [place(program, chip) for chip in described]
    priced = [energy(run.activity, program, chip, placement) for chip, placement in zip(described, placed, strict=True)]
    return make_report(record(program, run), run.activity, program, list(zip(described, placed, priced, strict=True)))


@pytest.fixture(scope="module")
def pages(real) -> dict[str, str]:
    long = ["x" * 200, cases.HOSTILE * 3]
    hostile = cases.report(long, (cases.HOSTILE,), 5000, mesh=(8, 4, 4), model=cases.HOSTILE, preset=cases.HOSTILE)
    pair = [msgspec.structs.replace(entry, label=cases.HOSTILE + entry.label) for entry in cases.comparison(2, ("a",)).entries]
    return {
        "real": render(real),
        "by hand": render(cases.report(chips=("one", "two", "unpriced"))),
        "hostile": render(hostile),
        "one layer": render(cases.report(["only"], ("a",), 1, 1, mesh=None)),
        "no core": render(cases.report(["only"], ("a",), 0, 1)),
        "many layers": render(cases.report([f"layer{i}" for i in range(120)], ("a",), 3000, mesh=None)),
        "no chip": render(cases.report(chips=())),
        "comparison": render(cases.comparison(7)),
        "hostile comparison": render(Comparison(pair)),
        "two of the real": render(Comparison([
            msgspec.structs.replace(cases.comparison(1).entries[0], label=label, report=real) for label in "ab"
        ])),
    }  # fmt: skip


PAGES = ("real", "by hand", "hostile", "one layer", "no core", "many layers", "no chip", "comparison", "hostile comparison",
         "two of the real")  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_alone_and_is_well_formed(pages, name):
    require_alone(pages[name], cases.HOSTILE)


def test_names_from_files_are_text(pages):
    page = pages["hostile"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;$\\alpha$ {{ 7*7 }}\ufffd" in page
    labels = [element.text or "" for drawing in drawings(page) for element in drawing.iter(f"{SVG}text")]
    assert any("$" in label for label in labels), "dollars are no mathematics"


@pytest.mark.parametrize("name", PAGES)
def test_every_chart_has_its_numbers(pages, name):
    require_numbers(pages[name])


@pytest.mark.parametrize("name", PAGES)
def test_text_of_charts_lies_within_them(pages, name):
    """As far as DejaVu Sans tells, which is wide; the reader's own font may be another."""
    require_text_within(pages[name])


def test_pages_are_repeatable_and_their_data_is_json(real, pages):
    for made, kind, name in ((real, Report, "real"), (cases.comparison(7), Comparison, "comparison")):
        again = msgspec.json.decode(msgspec.json.encode(made), type=kind)
        assert again == made
        assert render(again) == pages[name]


def test_the_csv_of_charts_is_what_was_priced(real, pages):
    found = tables(pages["real"])
    assert [row["accuracy"] for row in found["accuracy"]] == [repr(a) for a in real.curve.accuracy]
    assert {row["layer"]: float(row["spikes_per_neuron_and_step"]) for row in found["spike-rates"]} == real.spike_rates
    views = {row["name"]: row for row in found["views"]}
    shares = {row["name"]: row for row in found["components"]}
    for i, e in enumerate(real.energies, start=1):
        if not e.components_pj:
            assert views[f"(b) {e.hardware}"]["total_pj"] == "", "what has no price is not zero"
            assert e.hardware not in shares
            assert f"chip-{i}-layers" not in found
            continue
        total = views[f"(b) {e.hardware}"]
        assert (float(total["low_pj"]), float(total["total_pj"]), float(total["high_pj"])) == (
            e.total_pj.low, e.total_pj.value, e.total_pj.high,
        )  # fmt: skip
        assert set(total["unpriced"].split()) == set(e.unpriced)
        priced = {name: float(shares[e.hardware][f"{name}_pj"] or 0) for name in data.components(real.energies)}
        assert priced == {name: e.components_pj[name].value if name in e.components_pj else 0 for name in priced}
        layers = found[f"chip-{i}-layers"]
        for name, band in e.components_pj.items():
            if name != "static":
                assert sum(float(row[f"{name}_pj"] or 0) for row in layers) == pytest.approx(band.value)
        dynamic = e.total_pj.value - (e.components_pj["static"].value if "static" in e.components_pj else 0)
        assert sum(float(row["total_pj"] or 0) for row in layers) == pytest.approx(dynamic)
    first = real.energies[0]
    parts = {row["name"]: row for row in found["parts"]}
    assert float(parts["(a) SNN"]["arithmetic_pj"]) == first.paper.snn_pj
    whole = sum(float(value or 0) for key, value in parts["(a) SNN, all of it"].items() if key != "name")
    assert whole == pytest.approx(first.paper.total_pj)
    for row in found["break-even-1"]:
        measured = first.memory.rows[row["node"]]
        assert row["events_per_mac"] == repr(measured.events_per_mac)
        assert row["break_even_events_per_mac"] == ("" if measured.break_even_events_per_mac is None else
                                                    repr(measured.break_even_events_per_mac))  # fmt: skip
        assert float(row["snn_pj"]) == pytest.approx(sum(measured.snn_pj.values()))
        assert (row["costs_less"] == "snn") == (float(row["snn_pj"]) < float(row["ann_pj"]) and row["costs_less"] != "neither")
    nodes = {row["node"]: row for row in found["nodes"] if row["hardware"] == "loihi1"}
    loihi1 = next(e for e in real.energies if e.hardware == "loihi1")
    assert list(nodes) == [*(row.node for row in loihi1.rows), "total"]
    for name, parts, unpriced in (
        *((row.node, row.components_pj, row.unpriced) for row in loihi1.rows),
        ("total", loihi1.components_pj, loihi1.unpriced),
    ):
        held = {key: value for key, value in nodes[name].items() if key.removesuffix("_pj") in COMPONENTS and value}
        assert held == {f"{part}_pj": repr(band.value) for part, band in parts.items()}
        assert set(nodes[name]["unpriced"].split()) == set(unpriced)


def test_core_maps_have_the_numbers_of_the_placement(real, pages):
    found = tables(pages["real"])
    i = next(i for i, e in enumerate(real.energies) if e.hardware == "loihi2")
    for unit, row in zip(real.placements[i].units, found[f"chip-{i + 1}-cores"], strict=True):
        assert (row["unit"], row["first_core"], row["cores"]) == (unit.name, str(unit.first_core), str(unit.cores))
        assert row["neurons_used"] == str(unit.use["neurons"].used)
        assert row["neurons_limit"] == str(unit.use["neurons"].limit)
        assert float(row["utilisation"]) == data.utilisation(unit)[1]


def test_the_page_says_what_is_known_and_what_is_not(pages):
    for expected in (
        "Accuracy against time steps", "Energy per layer", "Spike rate per layer", "Provenance", "Break-even", "Three views",
        "for want of a price", "References", "horowitz2014", "does not run on this chip",
    ):  # fmt: skip
        assert expected in pages["real"], expected
    page = pages["by hand"]
    assert "not priced" in page
    assert "No times of this chip have been published" in page
    assert "leaves out: encoding 100\u00a0nJ, neuron 200\u00a0nJ; with it the total is 1.20\u00a0µJ, 0.600 times" in page
    assert cases.OBSTACLE in page
    assert "No traffic jams." in page
    assert '<a href="https://doi.org/10.1/x">' in page


def test_a_source_is_never_a_link_that_runs_code():
    source = msgspec.structs.replace(cases.SOURCE, doi="", url="javascript:alert(1)")
    assert 'href="javascript' not in render(cases.report(chips=("a",), sources=[{"x": source}]))


def test_the_same_colours_everywhere():
    """A component looks the same whatever others are beside it, and no two look alike."""
    from ecmt_deploy.report.charts.palette import looks

    every = looks(list(COMPONENTS))
    assert len({look[:2] for look in every.values()}) == len(COMPONENTS)
    assert len({look[0] for look in every.values()}) == len(COMPONENTS)
    for name in COMPONENTS:
        assert looks([name, "unheard of"])[name] == every[name]


# --- comparison -------------------------------------------------------------------------------------------------------

COSTS = st.one_of(st.floats(0, 10), st.integers(0, 3).map(float))


@settings(max_examples=300)
@given(st.lists(st.tuples(COSTS, COSTS), max_size=30))
def test_no_point_of_the_front_is_dominated_and_every_other_is(points):
    def dominates(a, b) -> bool:
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    front = pareto_front(points)
    assert len(front) == len(set(front))
    assert [points[i][0] for i in front] == sorted(points[i][0] for i in front)
    for i, point in enumerate(points):
        assert (i not in front) == any(dominates(other, point) for other in points)


def test_a_comparison_has_every_run_on_every_chip(pages):
    made = cases.comparison(7)
    found = tables(pages["comparison"])
    assert len(found["summary"]) == 7 * 3
    for entry in made.entries:
        for e in entry.report.energies:
            (row,) = [row for row in found["summary"] if (row["run"], row["hardware"]) == (entry.label, e.hardware)]
            assert row["total_pj"] == (repr(e.total_pj.value) if e.components_pj else "")
            assert row["accuracy"] == repr(entry.report.record.accuracy[-1])
            assert row["events_per_mac"] == repr(e.events_per_mac)
            assert row["paper_total_pj"] == repr(e.paper.total_pj)
            assert row["latency_us"] == (repr(e.timing.latency_us.value) if e.timing else "")
    points = found["chip-1-pareto"]
    front = {points[i]["run"] for i in pareto_front([(float(p["energy_pj"]), float(p["accuracy"])) for p in points])}
    assert {p["run"] for p in points if p["on_front"] == "yes"} == front
    assert {row["run"] for row in found["summary"] if row["hardware"] == "one" and row["on_front"] == "yes"} == front
    assert "chip-2-pareto" not in found, "a chip without prices has no Pareto front"
    stacked = {row["name"]: row for row in found["chip-3-components"]}
    for entry in made.entries:
        for name, band in entry.report.energies[2].components_pj.items():
            assert stacked[entry.label][f"{name}_pj"] == repr(band.value)


def test_runs_that_do_not_compare_are_named():
    made = cases.comparison(2)
    first, second = made.entries
    assert made.remarks() == []
    other = msgspec.structs.replace(
        second.report, record=msgspec.structs.replace(second.report.record, data="npz:mine", n_samples=7)
    )
    lines = Comparison([first, msgspec.structs.replace(second, report=other)]).remarks()
    assert any("different data (digits, npz:mine)" in line for line in lines)
    assert any("different numbers of samples (4, 7)" in line for line in lines)
    energies = [msgspec.structs.replace(other.energies[0], unpriced={"spikes": 1.0}), *other.energies[1:]]
    partial = msgspec.structs.replace(second.report, energies=energies)
    (line,) = Comparison([first, msgspec.structs.replace(second, report=partial)]).remarks()
    assert line.startswith("On one totals are not alike: some leave out counts without a price that the others do not have")
    assert "(ecm_ops.softmax, spikes)" in line


# --- core map, numbers, tables ----------------------------------------------------------------------------------------


def test_core_map_by_hand():
    """Two units of 5 and 6 cores on chips of 2 x 2 tiles of 2 cores: the second row of tiles runs back."""
    placement = cases.placement(["a", "b"], cores=11, mesh=(2, 2, 2))
    np.testing.assert_array_equal(
        grid(placement, 8),
        [
            [0, 0, 0, 0, -2, 1, 1, 1, -1],  # tiles 0 and 1 of both chips
            [1, 1, 0, 1, -2, -1, -1, -1, -1],  # tiles 3 and 2
        ],
    )


def test_core_map_of_a_chip_smaller_than_its_mesh_and_of_unknown_mesh():
    cells = grid(cases.placement(["a"], cores=5, mesh=(2, 2, 2)), 5)
    assert (cells == 0).sum() == 5
    assert (cells == -1).sum() == 0
    cells = grid(cases.placement(["a"], cores=5, mesh=None), None)
    assert (cells == 0).sum() == 5
    cells = grid(cases.placement(["a"], cores=5, mesh=None), 3)  # two chips, the second with one core free
    assert ((cells == 0).sum(), (cells == -1).sum()) == (5, 1)


def test_core_map_of_more_cores_than_there_are_squares():
    """Each square then stands for several cores, and every unit keeps its share."""
    placement = cases.placement(["a", "b", "c"], cores=1_000_003, mesh=(8, 4, 4))
    cells = grid(placement, 128)
    assert stride(placement) == 51
    assert (cells >= 0).sum() == 19_608  # = ceil(1000003 / 51)
    for i, unit in enumerate(placement.units):
        assert abs((cells == i).sum() - unit.cores / 51) <= 1


def test_core_map_of_chips_of_one_core():
    assert grid(cases.placement(["a"], cores=8, mesh=None), 1).shape == (2, 4)


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(1, 5), st.integers(1, 5), st.integers(1, 6))
def test_every_core_is_on_the_map_once(cores, columns, rows, per_tile):
    placement = cases.placement(["a", "b", "c"], cores=max(cores, 3), mesh=(columns, rows, per_tile))
    cells = grid(placement, columns * rows * per_tile)
    for i, unit in enumerate(placement.units):
        assert (cells == i).sum() == unit.cores


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.0123, "0.0123"),
        (1.23456, "1.23"),
        (12.0, "12.0"),
        (999.6, "1,000"),
        (1234567, "1,230,000"),
        (1e-9, "0.00000000100"),
    ],
)
def test_numbers_have_three_digits(value, shown):
    assert units.figures(value) == shown


def test_energies_have_units():
    assert [units.energy(pj) for pj in (0.5, 12, 999.9, 1e6, 2.5e13)] == [
        "0.500\u00a0pJ", "12.0\u00a0pJ", "1.00\u00a0nJ", "1.00\u00a0µJ", "25.0\u00a0J",
    ]  # fmt: skip


def test_long_names_keep_their_end():
    assert svg.elided("blocks.3.attn.qkv") == "blocks.3.attn.qkv"
    assert svg.elided("encoder.layers.3.self_attention.qkv", 20) == "encode…attention.qkv"
    assert len(svg.elided("x" * 500)) == svg.LABEL


def test_marks_of_charts_say_what_they_are_where_the_pointer_rests(pages):
    """Whole names, not elided ones, with their values; nothing for the eye."""
    long = [drawing for drawing in drawings(pages["hostile"]) if "layer" in drawing.get("aria-label", "")]
    titles = [title.text for drawing in long for title in drawing.iter(f"{SVG}title")]
    assert any("x" * 200 in title for title in titles)
    assert any("synapse: " in title and "total: " in title for title in titles)


def test_events_by_layer_are_on_the_page_of_a_run(real, pages):
    shown = tables(pages["real"])["events"]
    assert {row["layer"]: float(row["synops"]) for row in shown} == {
        name: counts.synops for name, counts in real.events.items()
    }
    assert sum(counts.synops for counts in real.events.values()) == pytest.approx(real.synops)
    layer, counts = max(real.events.items(), key=lambda item: item[1].synops)
    assert f"{layer}\n{units.count(counts.synops)} synaptic events" in pages["real"], "a tooltip with the whole name"
    assert '<figure id="events">' not in render(cases.report(events={}))


def test_charts_follow_the_theme_of_the_page(pages):
    for drawing in drawings(pages["by hand"]):
        styles = " ".join(element.get("style", "") for element in drawing.iter(f"{SVG}text"))
        assert "var(--ink, #" in styles, "text in the colour of the page's"
        assert "#000000" not in styles
