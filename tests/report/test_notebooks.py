"""Results in a notebook: short lines and cards of every public result, tables of pandas whose sums are the totals."""

from __future__ import annotations

import builtins
import re
from dataclasses import is_dataclass
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

import ecmt_deploy as ecmt
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.evaluation.score import Evaluation, chosen_alike, zero
from ecmt_deploy.program.activity import Activity, Counts
from ecmt_deploy.report.notebook.card import LONGEST, card
from ecmt_deploy.report.notebook.cards import CARDS
from ecmt_deploy.report.notebook.frames import FRAMES
from ecmt_deploy.runs.directory import load_run
from ecmt_deploy.shown import Plotted, Shown, Tabular
from ecmt_deploy.simulation.traces import NodeTrace, Trace
from tests.support.report_cases import comparison
from tests.support.trained import program_file, samples

CHIPS = ("loihi2", "horowitz45", "truenorth")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One of every kind of result, of a small run on real data."""
    path = program_file("accurate")
    snn, program, x = ecmt.load(path), ecmt.read(path), samples(4)
    out = tmp_path_factory.mktemp("runs") / "run"
    ecmt.simulate(path, "digits", "torch", limit=4, out=out)
    streamed = ecmt.stream(path, "made:digits,frames=6", hardware=CHIPS[:2], out=tmp_path_factory.mktemp("streams") / "run")
    run, stream = ecmt.simulate(snn, x, "reference", probes="blocks.0.attn.qkv.neuron"), ecmt.stream(snn, x)
    evaluation = ecmt.evaluate(snn, (x, np.zeros(len(x), np.int64)))
    return {
        "model": snn, "program": program, "node": program.nodes[program.neurons[0]], "run": run, "activity": run.activity,
        "counts": run.activity[program.neurons[0]], "stored": load_run(out), "stream": stream, "frames": stream.frames,
        "streamed": streamed, "score": chosen_alike(run.outputs, run.outputs[-1], np.zeros(len(x), np.int64), run.activity),
        "evaluation": evaluation, "comparison": comparison(), "placement": ecmt.place(program, "loihi2"),
        "trace": ecmt.trace(snn, x), "summary": ecmt.summary(program),
        "check": ecmt.check("zoo:vit_digits", hardware=["loihi2"]),
        "config": ecmt.ConvertConfig("graded"), "named": ecmt.models.load("zoo:vit_digits"),
        **{f"energy {chip}": run.energy(chip) for chip in CHIPS},
        **{f"chip {chip}": ecmt.hardware(chip) for chip in ecmt.chips()},
    }  # fmt: skip


def within(value, seen):
    """Every struct and dataclass that a result is made of."""
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, msgspec.Struct):
        inner = [getattr(value, name) for name in value.__struct_fields__]
    elif is_dataclass(value):
        inner = [getattr(value, name) for name in value.__dataclass_fields__ if hasattr(value, name)]
    elif isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        inner = list(value)
    else:
        return
    for item in inner:
        within(item, seen)


def test_no_result_and_nothing_that_it_is_made_of_prints_more_than_fits(results):
    for name, result in results.items():
        assert len(repr(result)) <= 300, name
        assert "\n" not in repr(result), name
        assert "right" not in repr(result) or re.search(r"right \(95 % interval [\d.]+ to [\d.]+\)", repr(result)), name
    program = results["program"]
    for named in (program.nodes, program.operands, program.shapes):
        assert re.match(rf"{len(program.nodes)} items: '\w+', '.*\.\.$", repr(named))
        assert len(repr(named)) <= 300
    seen: dict[int, object] = {}
    within(list(results.values()), seen)
    parts = [part for part in seen.values() if isinstance(part, msgspec.Struct) or is_dataclass(part)]
    assert len({type(part) for part in parts}) > 30
    long = {type(part).__name__: len(repr(part)) for part in parts if len(repr(part)) > 2000}
    assert not long


class Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(html):
    parser = Balanced()
    parser.feed(html)
    assert not parser.open
    return parser.text


def test_cards_are_short_sound_and_of_no_colour(results):
    for name, result in results.items():
        if isinstance(result, Shown):
            html = result._repr_html_()
            assert len(html) <= LONGEST == 2000, name
            assert parsed(html).strip(), name
            assert "color" not in html, name  # the notebook's, light or dark


def test_everything_shown_has_a_card_and_everything_tabular_a_table():
    def below(kind):
        return {kind} | {deeper for sub in kind.__subclasses__() for deeper in below(sub)}

    own = [
        kind for kind in below(Shown) if kind.__module__.startswith("ecmt_deploy.") and kind not in (Shown, Tabular, Plotted)
    ]
    assert len(own) > 12
    for kind in own:
        names = {base.__name__ for base in kind.__mro__}
        assert names & set(CARDS), kind
        assert not issubclass(kind, Tabular) or names & set(FRAMES), kind


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "&" * 5000, '"' * 400, "a\u202eb\nc", "x" * 10_000, "é<&'\"" * 300]
)
def test_text_from_outside_stays_text_and_a_card_short(text):
    html = card("Kind", text, (text, text), [(text, text)] * 50, text)
    assert len(html) <= 2000
    assert "<script" not in html
    assert "\u202e" not in html
    assert "more" in parsed(html)


def test_hostile_names_of_nodes_are_escaped():
    counted = Activity(1, 1, {"<img src=x>": Counts(spikes=1, synops=2)})
    assert "<img" not in counted._repr_html_()
    traced = Trace(1, 1, "rate", (NodeTrace("<b>", "<i>", (0.5,)),))
    assert "<i>" not in traced._repr_html_()
    assert "<b>" not in traced._repr_html_().replace("<b>Trace</b>", "")


def test_a_run_is_a_table_of_counts_in_one_line(results):
    run = results["run"]
    frame = run.to_frame()
    assert list(frame.index) == list(run.program.nodes)
    assert frame.index.name == "node"
    counts = frame.drop(columns="module")
    assert set(counts.dtypes) == {np.dtype(np.int64)}
    for name in ("spikes", "synops", "macs", "dense_macs", "messages"):
        assert frame[name].sum() == sum(getattr(c, name) for _, c in run.activity.items())
    assert frame["ecm_ops"].sum() == sum(sum(c.ecm_ops.values()) for _, c in run.activity.items())
    assert frame.equals(run.activity.to_frame())
    assert frame.loc["blocks.0.attn.qkv", "module"] == "blocks.0.attn.qkv"


def test_a_stream_has_a_frames_axis_whose_sums_are_its_counts(results):
    stream = results["stream"]
    frame = stream.to_frame()
    assert frame.index.names == ["frame", "node"]
    assert frame.drop(columns="module").groupby("node", sort=False).sum()["synops"].to_dict() == {
        name: counts.synops for name, counts in stream.activity.items()
    }
    assert frame.xs(1, level="frame")["spikes"].sum() == sum(c.spikes for _, c in stream.frames[1].items())


def test_a_clip_is_a_table_of_its_frames_and_a_card_of_the_last(results):
    streamed = results["streamed"]
    frame = streamed.to_frame()
    assert list(frame.index) == [row.frame for row in streamed.rows]
    assert list(frame["events_per_mac"]) == [row.events_per_mac for row in streamed.rows]
    for chip in CHIPS[:2]:
        assert list(frame[f"{chip}_pj"]) == [row.chips_pj[chip] for row in streamed.rows]
    said = parsed(streamed._repr_html_())
    assert said.startswith("StreamResult: 6 frames on torch, ")
    assert str(streamed.stored.path) in said
    assert repr(streamed) == f"StreamResult(6 frames on torch, kept in {str(streamed.stored.path)!r})"


def test_a_score_says_what_its_evaluation_says_and_its_parts_add_up(results):
    score, run = results["score"], results["run"]
    made = score.evaluation(None, None)
    assert score.to_frame().equals(made.to_frame())
    assert parsed(score._repr_html_()).removeprefix("Score") == parsed(made._repr_html_()).removeprefix("Evaluation")
    assert (score.to_frame()["agreement"].iloc[-1], score.n_samples) == (1.0, len(run.outputs[0]))
    twice = (score + score).to_frame()
    assert list(twice["accuracy"]) == list(score.to_frame()["accuracy"])
    assert (
        twice["accuracy_high"] - twice["accuracy_low"] < score.to_frame()["accuracy_high"] - score.to_frame()["accuracy_low"]
    ).all()


def test_a_score_of_no_samples_shows_itself(results):
    nothing = zero(results["program"].nodes, 3)
    assert "no samples" in parsed(nothing._repr_html_())
    assert len(nothing.to_frame()) == 0
    with pytest.raises(ConfigError, match="has no accuracy"):
        nothing.plot()


@pytest.mark.parametrize("chip", CHIPS)
def test_energies_add_up_and_what_has_no_price_is_nan_and_never_zero(results, chip):
    e = results[f"energy {chip}"]
    frame = e.to_frame()
    amounts = [name for name in frame if name.endswith("_pj")]
    assert set(frame[amounts].dtypes) == {np.dtype(np.float64)}
    components = [name for name in amounts if name not in ("low_pj", "priced_pj", "high_pj")]
    for name in components:
        assert frame[name].sum() == pytest.approx(e.components_pj[name.removesuffix("_pj")].value)
    static = np.nan_to_num(frame.attrs["static_pj"])
    assert frame[components].to_numpy()[~frame[components].isna()].sum() + static == pytest.approx(e.total_pj.value)
    for row in e.rows:
        if not row.components_pj:
            assert frame.loc[row.node, amounts].isna().all()
            assert frame.loc[row.node, "unpriced"] or not row.unpriced
        for name in components:
            assert frame.loc[row.node, name] != 0 or row.components_pj[name.removesuffix("_pj")].value == 0


def test_accuracy_has_its_interval_after_every_step(results):
    evaluation: Evaluation = results["evaluation"]
    frame = evaluation.to_frame()
    assert list(frame.index) == list(range(1, evaluation.timesteps + 1))
    assert list(frame["accuracy"]) == list(evaluation.accuracy)
    for share in ("accuracy", "agreement"):
        assert (frame[f"{share}_low"] <= frame[share]).all()
        assert (frame[f"{share}_high"] >= frame[share]).all()
    alone = msgspec.structs.replace(evaluation, agreement=None, analog_accuracy=None)
    assert alone.to_frame()[["agreement", "analog_accuracy"]].isna().all(axis=None)


def test_other_tables(results):
    program, placement, trace = results["program"], results["placement"], results["trace"]
    nodes = program.to_frame()
    assert list(nodes.index) == list(program.nodes)
    assert nodes["dense_macs"].sum() == sum(program.network_macs(name) for name in program.nodes)
    assert results["model"].to_frame().equals(nodes)
    assert placement.to_frame()["cores"].sum() == placement.cores
    assert list(trace.to_frame()[f"relative_error_t{trace.timesteps}"]) == [n.relative_error[-1] for n in trace.nodes]
    compared = results["comparison"]
    assert compared.to_frame().index.names == ["run", "hardware"]
    assert len(compared.to_frame()) == sum(len(entry.report.energies) for entry in compared.entries)
    modules, total = results["summary"].to_frame(), results["summary"].total
    assert modules["parameters"].sum() == nodes["parameters"].sum() == total.parameters
    assert modules[["nodes", "macs", "neurons"]].sum().to_list() == [total.nodes, total.macs, total.neurons]
    assert modules[["events", "cores"]].isna().all(axis=None)  # of no run, on no chip
    prices = results["chip loihi2"].to_frame()
    assert prices.loc["synop_pj", "unit"] == "pJ"
    assert prices.loc["synop_pj", "grade"] in "ABCD"


def test_without_pandas_one_line_says_what_to_install(results, monkeypatch):
    load = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'")
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=re.escape("pip install 'ecmt-deploy[pandas]'")):
        results["run"].to_frame()


@pytest.mark.parametrize(
    ("name", "args"),
    [("run", ()), ("run", ("raster", None)), ("activity", ()), ("stored", ("accuracy",)), ("evaluation", ()), ("score", ()),
     ("score", ("events",)), ("placement", ()),
     ("energy loihi2", ()), ("energy horowitz45", ("waterfall",)), ("comparison", ()), ("trace", ()),
     ("streamed", ()), ("frames", ()), ("stream", ("frames",))],
)  # fmt: skip
def test_charts_are_drawn_on_axes_that_are_given_back(results, name, args):
    from matplotlib import pyplot

    probed = next(probe.node for probe in results["run"].probes)
    figure, axes = pyplot.subplots()
    try:
        drawn = results[name].plot(*(probed if arg is None else arg for arg in args), axes=axes)
        assert drawn is axes
        assert axes.has_data() or axes.patches or axes.images
    finally:
        pyplot.close(figure)


def test_a_chart_that_a_result_has_not_is_refused_by_name(results):
    with pytest.raises(ConfigError, match="'pie': Run has none; choose events, raster, membrane, frames"):
        results["run"].plot("pie")
