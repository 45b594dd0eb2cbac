"""Charts on axes: the axes are those given, and what is drawn is what was measured."""

import dataclasses

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.text import Text
from msgspec.structs import replace

import ecmt_deploy as ecmt
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.intervals import interval
from ecmt_deploy.program import write
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.report import comparison, plots
from ecmt_deploy.report.model import AccuracyCurve
from ecmt_deploy.report.probed import membrane_of
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Probe
from ecmt_deploy.testing.handmade import images
from tests.support import report_cases as cases

CURVE = AccuracyCurve("torch", 40, [0.5, 0.75, 0.9], 0.95)
COUNTS = Activity(
    4, 2, {"blocks.0.fc": Counts(synops=400, macs=8), "blocks.0.fc.neuron": Counts(spikes=3), "$x_1$": Counts(synops=20)}
)


@pytest.fixture(autouse=True)
def _closed():
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def probed(all_programs):
    """A run of which a neuron was probed."""
    program = all_programs["transformer, accurate"]
    node = program.neurons[0]
    series = [Probe(node), Probe(node, "membrane")]
    return simulate(program, images(3), "reference", 4, probes=series), program, node


def lengths(axes) -> dict[str, list[float]]:
    """Length of the bars of every part, in the order of the rows that have it."""
    found = {}
    for patch in axes.patches:
        corners = patch.get_path().vertices
        found[patch.get_label()] = [float(corners[i + 1, 0] - corners[i, 0]) for i in range(0, len(corners) - 4, 5)]
    return found


def texts(axes) -> list[str]:
    axes.figure.canvas.draw()
    return [text.get_text() for text in axes.figure.findobj(Text) if text.get_text()]


ENERGY = cases.energy()
DRAWN = {
    "accuracy": (plots.accuracy, CURVE),
    "energy": (plots.energy, ENERGY),
    "energies": (plots.energy, [ENERGY, cases.energy(hardware="other", priced=False)]),
    "events": (plots.events, COUNTS),
    "pareto": (plots.pareto, cases.comparison(5)),
    "series": (plots.accuracy, cases.comparison(5)),
    "placement": (plots.placement, cases.report(chips=("a",)).placements[0]),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("look", ["page", "paper", None])
def test_axes_are_those_given_and_new_ones_otherwise(name, look):
    draw, result = DRAWN[name]
    given = pyplot.subplots()[1]
    assert draw(result, given) is given
    assert draw(result, axes=given) is given
    if look:
        with plots.style(look):
            made = draw(result)
    else:
        made = draw(result)
    assert made.figure is not given.figure
    made.figure.canvas.draw()
    assert made.figure in map(pyplot.figure, pyplot.get_fignums()), "a notebook shows it"


def test_accuracy_is_drawn_with_its_interval_and_the_analog_models():
    axes = plots.accuracy(CURVE)
    line = axes.get_lines()[0]
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata().tolist() == pytest.approx([50, 75, 90])
    ends = np.array([segment[:, 1] for segment in axes.collections[1].get_segments()])
    assert ends == pytest.approx(np.array([interval(share, 40) for share in CURVE.accuracy]) * 100)
    assert axes.get_lines()[1].get_ydata() == pytest.approx([95, 95])


def test_energy_is_drawn_by_layer_and_component_and_what_has_no_price_is_marked():
    axes = plots.energy(ENERGY)
    unit = axes.get_xlabel().split()[0]
    scale = {"pJ": 1.0, "nJ": 1e3, "µJ": 1e6}[unit]
    for name, widths in lengths(axes).items():
        parts = [row.components_pj[name].value for row in ENERGY.rows]
        assert sum(widths) * scale == pytest.approx(sum(parts)), name
    unknown = plots.energy(cases.energy(priced=False))
    assert lengths(unknown) == {}
    assert texts(unknown).count("?") == len(unknown.get_yticks()) > 0


def test_events_are_drawn_per_inference():
    axes = plots.events(COUNTS)
    assert lengths(axes) == {"synaptic events": [100, 5], "analog MACs": [2]}
    assert "$x_1$" in texts(axes)
    assert not any(text.get_parse_math() for text in axes.figure.findobj(Text)), "dollars are no mathematics"


def test_the_front_of_a_sweep_is_ringed():
    found = cases.comparison(7)
    points = comparison.energy_points(found, 0)
    axes = plots.pareto(found, hardware=found.entries[0].report.energies[0].hardware)
    rings = next(line for line in axes.get_lines() if line.get_markersize() == 9)
    front = comparison.pareto_front([(p.cost, p.accuracy) for p in points])
    assert rings.get_xdata().tolist() == [points[i].cost for i in front]
    assert rings.get_ydata().tolist() == pytest.approx([100 * points[i].accuracy for i in front])
    for p in points:
        assert p.accuracy_low <= p.accuracy <= p.accuracy_high


def test_a_raster_and_a_membrane_are_what_was_probed(probed):
    run, _, node = probed
    series = run.probes[Probe(node, "membrane")].reshape(3, 4, -1)
    fired = np.count_nonzero(run.probes[Probe(node)].reshape(3, 4, -1), axis=(0, 1))
    axes = plots.membrane(run, node)
    drawn = np.concatenate([line.get_ydata() for line in axes.get_lines() if line.get_marker() == "o"])
    assert drawn == pytest.approx(series[:, :, fired.argmax()].reshape(-1))
    assert f"neuron {fired.argmax():,} of {series.shape[2]:,}" in texts(axes)
    last = plots.membrane(run, f"{node}:membrane", neuron=series.shape[2] - 1)
    assert last.get_lines()[0].get_ydata() == pytest.approx(series[0, :, -1])
    for probe in (node, f"{node}:membrane"):
        image = plots.raster(run, probe).get_images()[0].get_array()
        assert image.shape[1] == 12


def test_a_membrane_rests_between_its_thresholds(probed):
    run, program, node = probed
    for neuron in range(0, int(np.prod(program.shapes[node])), 97):
        found = membrane_of(run.probes, program, node, neuron)
        spikes = run.probes[Probe(node)].reshape(3, 4, -1)[:, :, neuron].reshape(-1)
        before = np.array(found.values) + spikes
        assert found.fires_below is not None
        assert found.fires_above is not None
        fires = (before >= found.fires_above - 1e-6) | (before <= found.fires_below + 1e-6)
        assert (fires | (spikes == 0)).all()


def test_frames_of_a_stream_are_drawn_with_where_they_pay_and_where_they_begin(all_programs, tmp_path):
    program, x = all_programs["transformer, accurate"], images(5).astype(np.float32)
    file, clip = tmp_path / "p.nir", tmp_path / "x.npz"
    write(program, file)
    np.savez(clip, x=x, y=np.zeros(5, np.int64))
    kept = ecmt.stream(file, f"npz:{clip}", out=tmp_path / "run")
    counted = ecmt.stream(ecmt.load(file), x)
    pays = kept.record.clip.break_even_per_mac
    assert pays > 0
    for result, level in ((kept, pays), (kept.stored, pays), (counted, None), (counted.frames, None)):
        line, *others = plots.frames(result).get_lines()
        assert line.get_xdata().tolist() == [0, 1, 2, 3, 4]
        assert line.get_ydata() == pytest.approx([row.events_per_mac for row in kept.rows])
        assert [list(other.get_ydata()) for other in others[: level is not None]] == ([] if level is None else [[level] * 2])
        assert [other.get_xdata()[0] for other in others[level is not None :]] == [row.frame for row in kept.rows if row.begun][
            1:
        ]
    rows = [
        replace(row, begun=row.frame in (0, 3), events_per_mac=row.events_per_mac if row.frame else None) for row in kept.rows
    ]
    line, *others = plots.frames(dataclasses.replace(kept, rows=rows)).get_lines()
    assert np.isnan(line.get_ydata()).tolist() == [True, False, False, False, False]
    assert [3.0] in [list(dict.fromkeys(other.get_xdata())) for other in others]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda run: plots.accuracy(run), "has no accuracy"),
        (lambda run: plots.events(CURVE), "no counts of events"),
        (lambda run: plots.pareto(cases.comparison(3), hardware="none"), "not priced on it"),
        (lambda run: plots.raster(run, "nowhere"), "nowhere:spikes was not recorded"),
        (lambda run: plots.membrane(run, "nowhere"), "nowhere:membrane was not recorded"),
        (lambda run: plots.membrane(run, next(iter(run.probes)).node, 10**9), "choose from 0 to"),
        (lambda run: plots.raster(CURVE, "x"), "has no probes"),
        (lambda run: plots.waterfall(cases.energy(priced=False)), "no price"),
        (lambda run: plots.frames(run), "has no frames; give a stream"),
        (lambda run: plots.frames(CURVE), "has no frames; give a stream"),
        (lambda run: plots.style("loud").__enter__(), "choose page or paper"),
    ],
)
def test_what_cannot_be_drawn_is_refused(probed, call, said):
    with pytest.raises(ConfigError, match=said):
        call(probed[0])
