"""Probes on a page: a section a node, its raster and its membrane in one unit and on one scale."""

import numpy as np
import pytest

from ecmt_deploy import testing
from ecmt_deploy.report import figures
from ecmt_deploy.report.charts.probes import draw_membrane, draw_raster, of_node
from ecmt_deploy.report.html.page import render
from ecmt_deploy.report.probed import ANALOG, INTEGERS, Membrane, Raster, membrane_of, probed_nodes
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Probe
from tests.support import report_cases as cases
from tests.support.html import SVG, drawings, require_alone, require_numbers, require_text_within, tables

STEPS, SAMPLES = 3, 2
RUNS = ("transformer, accurate", "transformer, graded", "integer transformer, accurate", "integer transformer, graded")


def simulated(name, node, kinds):
    """Time series (N, T, neurons) of a node of a case of the suite."""
    case = testing.case(name)
    precision = "fixed" if case.program.integer else "float"
    asked = [Probe(node, kind) for kind in kinds]
    made = simulate(case.program, case.inputs[:SAMPLES], "reference", STEPS, precision=precision, probes=asked)
    return {probe: values.reshape(SAMPLES, STEPS, -1) for probe, values in made.probes.items()}


@pytest.fixture(scope="module", params=RUNS)
def run(request):
    program = testing.case(request.param).program
    node = program.neurons[0]
    return simulated(request.param, node, ("spikes", "membrane", "state")), program, node


def analog(run, kind) -> np.ndarray:
    """What was recorded (N * T, neurons), as analog values."""
    series, program, node = run
    values, form = series[Probe(node, kind)].reshape(SAMPLES * STEPS, -1).astype(float), program.nodes[node].format
    if form and kind == "spikes":
        values = values * np.broadcast_to(program.nodes[node].unit, program.shapes[node]).reshape(-1)
    return values * 2.0**form.exponent if form and kind != "state" else values


def test_spikes_and_membranes_are_in_the_unit_of_the_analog_value(run):
    """Of integer programs too: with what left it, every membrane that fired was beyond its thresholds."""
    series, program, node = run
    spikes, membranes = analog(run, "spikes"), analog(run, "membrane")
    assert spikes.any()
    for neuron in range(0, spikes.shape[1], 37):
        one, sent = membrane_of(series, program, node, neuron), spikes[:, neuron]
        assert one.unit == ANALOG
        assert one.values == pytest.approx(membranes[:, neuron])
        before = np.array(one.values) + sent
        above, below = (np.inf if end is None else end for end in (one.fires_above, one.fires_below and -one.fires_below))
        assert ((before >= above * (1 - 1e-6)) | (-before >= below * (1 - 1e-6)) | (sent == 0)).all()


def test_a_row_of_a_raster_is_the_strongest_of_its_neighbours(run):
    (found,) = probed_nodes(*run[:2])
    for raster in found.rasters:
        expected = analog(run, raster.kind).T
        assert raster.unit == (INTEGERS if run[1].integer and raster.kind == "state" else ANALOG)
        assert raster.neurons == len(expected)
        blocks = np.split(expected, range(raster.neighbours, len(expected), raster.neighbours))
        for row, block in zip(raster.rows, blocks, strict=True):
            assert np.abs(row) == pytest.approx(np.abs(block).max(axis=0))


def test_a_program_and_its_integers_say_about_the_same():
    """Values are as large in both, not a million times as large."""
    names = ("transformer, accurate", "integer transformer, accurate")
    node = testing.case(names[0]).program.neurons[0]
    sizes = []
    for name in names:
        (found,) = probed_nodes(simulated(name, node, ("spikes", "membrane")), testing.case(name).program)
        sizes.append([raster.largest for raster in found.rasters])
    assert sizes[1] == pytest.approx(sizes[0], rel=0.5)


def probed(run):
    return cases.report(chips=("one",), probed=probed_nodes(*run[:2]))


def test_a_node_is_one_section_with_its_charts_side_by_side(run):
    report, node = probed(run), run[2]
    page = render(report)
    require_alone(page)
    require_numbers(page)
    require_text_within(page)
    assert page.count(f"<h3>{node}</h3>") == 1
    section = page.partition(f"<h3>{node}</h3>")[2].partition("<h2>")[0]
    assert section.count('<div class="pair">') == 1
    order = ["probe-1-spikes", "probe-1-neuron", "probe-1-membrane", "probe-1-state"]
    assert sorted(order, key=section.index) == order
    assert "Membranes</h2>" not in page
    assert set(order) <= {chart.name for chart in figures.charts_of(report)}
    labels = [drawing.get("aria-label") for drawing in drawings(section)]
    assert all(node in label and " in " in label for label in labels)
    texts = [{"".join(text.itertext()) for text in drawing.iter(f"{SVG}text")} for drawing in drawings(section)]
    unit = INTEGERS if run[1].nodes[node].format else ANALOG
    for said, drawn in zip(
        (f"size of a spike, {ANALOG}", f"membrane, {ANALOG}", f"membrane, {ANALOG}", f"state, {unit}"), texts, strict=True
    ):
        assert said in drawn, "every axis names its unit"
    assert len(tables(page)["probe-1-neuron"]) == SAMPLES * STEPS


def test_membranes_share_one_scale_and_all_share_the_time_axis(run):
    from matplotlib import pyplot

    (found,) = probed(run).probed
    largest = next(raster.largest for raster in found.rasters if raster.kind == "membrane")
    ends, widths = [], []
    for chart, shown in of_node("x", found):
        figure, _ = chart.draw()
        axes = figure.axes[0]
        widths.append(axes.get_xlim())
        if isinstance(shown, Membrane):
            ends.append(axes.get_ylim())
        elif shown.kind == "membrane":
            ends.append(axes.get_images()[0].get_clim())
    pyplot.close("all")
    assert set(ends) == {(-largest, largest)}
    assert set(widths) == {(0.5, SAMPLES * STEPS + 0.5)}


def test_what_nothing_is_known_of_is_drawn_all_the_same():
    from matplotlib.figure import Figure

    nothing = Raster("a", "membrane", ANALOG, 1, 2, 1, None, [[0.0, 0.0]])
    draw_raster(Figure().add_subplot(), nothing)
    axes = Figure().add_subplot()
    draw_membrane(axes, Membrane("a", 0, 1, ANALOG, 2, [0.0, 0.0], None, None))
    assert axes.get_ylabel() == f"membrane, {ANALOG}"
