"""The page about a stream: it shows what ran, says where that does not pay, and what is unknown stays unknown."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

import ecmt_deploy as ecmt
from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.evaluation.alternative import Alternative
from ecmt_deploy.report import stream_data, units
from ecmt_deploy.report.collect import compare_runs, report_on
from ecmt_deploy.report.html.page import render
from ecmt_deploy.report.stream import PICTURES, StreamReport
from ecmt_deploy.report.stream_verdict import closeness, findings, headline, judged, remarks
from ecmt_deploy.report.write import write_report
from ecmt_deploy.runs.directory import load_run
from ecmt_deploy.runs.frames import ClipRecord, FrameRow
from ecmt_deploy.testing.handmade import images
from tests.support.html import SCRIPT, SVG, require_alone, require_numbers, require_text_within, tables
from tests.support.report_cases import HOSTILE
from tests.support.trained import program_file

FRAMES = 20


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return Path(shutil.copy(program_file("accurate"), tmp_path_factory.mktemp("stream") / "p.nir"))


@pytest.fixture(scope="module")
def runs(program, all_programs) -> dict[str, Path]:
    """A run with everything, one with as little as there can be, and one without pictures."""
    folder = program.parent
    np.savez(folder / "x.npz", x=images(3).astype(np.float32), y=np.zeros(3, np.int64))
    ecmt.stream(program, f"made:digits,frames={FRAMES}", hardware=["loihi2", "dynapcnn"], compare=True, allow_misfit=True,
                out=folder / "full")  # fmt: skip
    ecmt.stream(program, "made:digits,frames=3", "reference", every=2, out=folder / "reference")
    ecmt.stream(all_programs["transformer, accurate"], f"npz:{folder / 'x.npz'}", out=folder / "bare")
    ecmt.stream(program, "made:digits,frames=1", compare=True, out=folder / "one frame")
    return {name: folder / name for name in ("full", "reference", "bare", "one frame")}


@pytest.fixture(scope="module")
def reports(runs) -> dict[str, StreamReport]:
    made = {name: report_on(path, ["loihi2", "dynapcnn"]) for name, path in runs.items()}
    full = made["full"]
    named = [msgspec.structs.replace(row, top=[(HOSTILE + str(i), 0.5)], label=HOSTILE) for i, row in enumerate(full.rows)]
    long = [msgspec.structs.replace(full.rows[i % FRAMES], frame=i) for i in range(1013)]
    made["hostile"] = msgspec.structs.replace(full, rows=named)
    made["long"] = msgspec.structs.replace(full, rows=long)
    made["no chip"] = msgspec.structs.replace(full, energies=[], placements=[], cores_per_chip=[], sources=[])
    return made


@pytest.fixture(scope="module")
def pages(reports) -> dict[str, str]:
    return {name: render(report) for name, report in reports.items()}


PAGES = ("full", "reference", "bare", "one frame", "hostile", "long", "no chip")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_stands_alone_and_has_its_numbers(pages, name):
    require_alone(pages[name], HOSTILE)
    require_numbers(pages[name])
    require_text_within(pages[name])


def test_pages_are_repeatable_and_their_data_is_json(reports, pages):
    again = msgspec.json.decode(msgspec.json.encode(reports["full"]), type=StreamReport)
    assert again == reports["full"]
    assert render(again) == pages["full"]


def test_charts_show_what_ran(runs, pages):
    stored, found = load_run(runs["full"]), tables(pages["full"])
    rows, clip = stored.frames(), stored.record.clip
    for row, shown in zip(rows, found["per-frame"], strict=True):
        assert (float(shown["snn_pj"]), float(shown["ann_pj"])) == (row.snn_pj, clip.ann_pj)
        assert (float(shown["pixels_changed"]), float(shown["patches_sent"])) == (row.pixels_changed, row.patches_sent)
        assert float(shown["loihi2_pj"]) == row.chips_pj["loihi2"]
    last = found["cumulative"][-1]
    assert float(last["this stream"]) == pytest.approx(sum(row.snn_pj for row in rows))
    assert set(last) == {"frame", *(row.name for row in clip.alternatives if row.kind != "frozen")}
    for row in clip.alternatives:
        if row.kind not in ("stream", "frozen"):
            assert float(last[row.name]) == pytest.approx(FRAMES * row.pj_per_frame)
    assert [float(shown["error"]) for shown in found["errors"]] == [row.network_error for row in rows]
    for row, shown in zip(rows, found["classes"], strict=True):
        assert (shown["class"], shown["network_class"], shown["label"]) == (row.top[0][0], row.network_top, row.label)
    for row in clip.alternatives:
        assert escape(row.name) in pages["full"]


def test_every_chart_names_the_frame_that_the_pointer_rests_on(reports, pages):
    """With its values, a tooltip a point; of long clips which frames a point is the mean of."""
    for name in ("full", "long"):
        told = {
            found: "\n\n".join(title.text for title in ElementTree.fromstring(drawn).iter(f"{SVG}title"))
            for found, drawn in re.findall(r'<figure id="([^"]*)">\s*(<svg.*?</svg>)', pages[name], re.DOTALL)
        }
        for chart in ("per-frame", "on-chips", "cumulative", "errors", "classes", "film"):
            assert "frame" in told[chart], chart
    row, clip = reports["full"].rows[2], reports["full"].record.clip
    assert f"mean of frames 0 to {1013 // 400}" in told["per-frame"]
    page = pages["full"]
    assert f"frame 2\nthis stream: {units.energy(row.snn_pj)}\nthe network: {units.energy(clip.ann_pj)}" in page
    assert f"frame 2\nloihi2: {units.energy(row.chips_pj['loihi2'])}" in page
    assert f"frame 2\nerror: {units.percent(row.network_error)}" in page
    assert f"frame 2\nthis stream: {row.top[0][0]}, probability" in page
    hostile = pages["hostile"]
    assert "<script>alert" not in hostile.partition("<body>")[2].replace(SCRIPT, "")


def test_events_of_the_film_are_those_of_its_patches(runs, reports, pages):
    film, pictures = load_run(runs["full"]).film(), reports["full"].film
    assert len(pictures) == PICTURES
    assert [pictures[0].frame, pictures[-1].frame] == [film["frames"][0], film["frames"][-1]]
    kept = film["frames"].tolist()
    for picture in pictures:
        i = kept.index(picture.frame)
        np.testing.assert_array_equal(picture.array, film["pictures"][i])
        heat = np.asarray(picture.heat)
        times = [a // b for a, b in zip(film["patches"].shape, heat.shape, strict=True)]
        np.testing.assert_array_equal(np.kron(heat, np.ones(times)), film["events"][i][film["patches"]])
    assert len(tables(pages["full"])["film"]) == sum(np.asarray(picture.heat).size for picture in pictures)


def test_what_is_unknown_is_said_with_the_option_that_gives_it(pages):
    assert "--compare" not in pages["full"]
    assert "Without any price, so that its energy is unknown: dynapcnn" in pages["full"]
    assert "dynapcnn_pj" not in tables(pages["full"])["per-frame"][0], "no price is not zero"
    for name in ("reference", "bare"):
        for said in ("Not measured: <code>ecmt-deploy stream … --compare</code>", "Unknown</b> against the network on fewer"):
            assert said in pages[name]
        assert "<code>ecmt-deploy stream … --hardware NAME</code> gives it" in pages[name]
    assert '<code class="o">--target torch</code> does' in pages["reference"]
    assert set(tables(pages["reference"])["film"][0].values()) == {"0", ""}, "where events fell is unknown, not zero"
    assert len(tables(pages["reference"])["errors"]) == 2
    assert "There are no pictures" in pages["bare"]
    assert 'Unknown: the network did not run beside the stream. <code class="o">--every K</code>' in pages["bare"]
    assert "answers do not vary" in pages["one frame"]
    assert "the clip is too short to tell" in pages["one frame"]
    assert "errors" not in tables(pages["one frame"])


def test_long_clips_are_drawn_by_means_of_frames(reports, pages):
    rows, found = reports["long"].rows, tables(pages["long"])
    assert len(found["per-frame"]) == len(found["cumulative"]) <= stream_data.POINTS
    assert sum(int(row["frames"]) for row in found["per-frame"]) == len(rows)
    mean = sum(float(row["snn_pj"]) * int(row["frames"]) for row in found["per-frame"]) / len(rows)
    assert mean == pytest.approx(np.mean([row.snn_pj for row in rows]))
    assert float(found["cumulative"][-1]["this stream"]) == pytest.approx(sum(row.snn_pj for row in rows))
    assert "the mean of 3 frames" in pages["long"]


def test_a_stream_has_a_page_of_its_own(runs, program, tmp_path):
    full = runs["full"]
    with pytest.raises(ConfigError, match="is a stream, which has a page of its own"):
        compare_runs([full, runs["bare"]])
    for option in ({"trace": tmp_path / "t.json"}, {"ann_bits": 8}):
        with pytest.raises((ConfigError, RunError)):
            write_report([full], tmp_path / "r.html", **option)
    write_report([full], tmp_path / "r.json")
    assert msgspec.json.decode((tmp_path / "r.json").read_bytes(), type=StreamReport).record.clip is not None
    assert "energy per frame" in render(report_on(full, ["loihi2"]))


def test_pictures_of_another_run_are_refused(runs, tmp_path):
    shutil.copytree(runs["full"], tmp_path / "run")
    film = dict(np.load(runs["full"] / "film.npz"))
    for name, wrong in (("frames", film["frames"] + FRAMES), ("patches", film["patches"] + 1)):
        np.savez(tmp_path / "run" / "film.npz", **{**film, name: wrong})
        with pytest.raises(RunError, match=r"film\.npz: its arrays do not fit one another"):
            report_on(tmp_path / "run")


# --- the verdict ------------------------------------------------------------------------------------------------------


def row(frame: int, pj: float, begun: bool = False, sent: float = 0.1) -> FrameRow:
    return FrameRow(frame, None, begun, sent, sent, 0.1, 1, 1, 1, pj, {}, [("a", 1.0)])


def alternative(
    kind: str, pj: float | None, cosine: float | None, agreement: float | None = 0.9, name: str = ""
) -> Alternative:
    return Alternative(name or kind, kind, 0.1, pj, cosine, agreement, None)


def clip(*others: Alternative, ann_pj: float = 100.0) -> ClipRecord:
    return ClipRecord(None, 0.0, True, 1, (), ann_pj, 8, None, alternatives=others)


def said(spent: float, *others: Alternative) -> dict[str, bool | None]:
    own = alternative("stream", spent, 0.97)
    found = findings(clip(own, *others), [row(0, spent, begun=True), row(1, spent)])
    return {finding.against: finding.pays for finding in found}


@pytest.mark.parametrize("spent", [10.0, 30.0, 60.0, 120.0])
def test_it_pays_where_it_takes_less_than_what_is_as_close(spent):
    """The network on every frame takes 100, on every second 50 and is as close, on every fourth 25 and is not; gating 40."""
    found = said(
        spent, alternative("held", 50.0, 0.969, name="every 2"), alternative("held", 25.0, 0.9, name="every 4"),
        alternative("gating", 70.0, 0.98, name="one"), alternative("gating", 40.0, 0.98, name="two"),
        alternative("reset", 110.0, 0.99),
    )  # fmt: skip
    assert found["the network on every frame"] == (spent < 100)
    assert found["the network on fewer frames"] == (spent < 50)
    assert found["token gating at equal accuracy"] == (spent < 40)
    assert found["a reset for every frame"] == (spent < 110)


@pytest.mark.parametrize("spent", [60.0, 120.0])
def test_where_no_held_answer_is_as_close_the_network_on_every_frame_decides(spent):
    """On a pan a stream that takes more than the network pays against nothing of it, however far held answers are off."""
    assert said(spent, alternative("held", 25.0, 0.5))["the network on fewer frames"] == (spent < 100)


def test_what_is_unknown_neither_pays_nor_does_not():
    found = said(50.0)
    assert found["the network on fewer frames"] is None
    assert found["token gating at equal accuracy"] is None
    assert said(50.0, alternative("held", None, 0.99), alternative("gating", None, 0.99))["the network on fewer frames"] is None
    assert said(50.0, alternative("held", 10.0, None, None))["the network on fewer frames"] is None
    alone = findings(clip(), [row(0, 5.0, begun=True)])
    assert [finding.pays for finding in alone] == [True, None]
    assert "--compare" in alone[1].why
    assert headline(alone).startswith("Keeping the state pays against the network on every frame; it is not known to pay")


def test_frames_in_which_it_does_not_pay_are_named():
    rows = [row(i, 150.0 if i in (4, 7) else 20.0, begun=i in (0, 4)) for i in range(9)]
    found = {finding.against: finding for finding in findings(clip(), rows)}
    assert found["in the frame behind a cut (frame 4)"].pays is False
    assert found["in 14.3\u00a0% of the frames between (frame 7)"].pays is False
    everywhere = {finding.against for finding in findings(clip(), [row(i, 150.0, begun=i == 0) for i in range(5)])}
    assert "in every frame" in everywhere
    assert not any(finding.against.startswith("in ") for finding in findings(clip(), [row(0, 20.0, True), row(1, 20.0)]))


def test_a_clip_that_changes_everywhere_is_said_to():
    assert not list(remarks(clip(), [row(i, 1.0, sent=0.4) for i in range(5)]))
    assert "as on a pan" in next(remarks(clip(), [row(i, 1.0, sent=0.9) for i in range(5)]))
    still = clip(alternative("frozen", 1.0, 0.0, 1.0))
    assert "first answer" in next(remarks(still, [row(i, 1.0) for i in range(5)]))


SHARES = st.one_of(st.none(), st.floats(-1, 1))


@given(SHARES, SHARES, SHARES, SHARES, st.floats(1, 100), st.floats(1, 100))
def test_who_is_closer_is_the_same_from_both_sides(cosine, other_cosine, agreement, other_agreement, pj, other_pj):
    own, other = alternative("stream", pj, cosine, agreement), alternative("held", other_pj, other_cosine, other_agreement)
    one, two = closeness(own, other), closeness(other, own)
    assert (one is None) == (two is None)
    assert one is None or one == -two
    assert judged(own, other).startswith("less energy" if pj < other_pj else "more energy")
    assert closeness(own, own) in (0, None)


def test_a_cosine_is_never_minus_zero():
    assert [units.cosine(value) for value in (None, -1e-9, 0.99951, -0.5)] == ["unknown", "0.000", "1.000", "-0.500"]
