"""Drawings of programs: every box and edge is there, what is drawn twice is equal, and no name ends a string or a tag."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecmt_deploy as ecmt
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program import Program, Provenance, ops, verify, write
from ecmt_deploy.report import graph
from tests.support.commands import run

SVG = "{http://www.w3.org/2000/svg}"


def chain(names: list[str]) -> Program:
    """Input, scales of these names one after the other, readout."""
    path = ["input", *names, "readout", "output"]
    nodes = {name: ops.BroadcastScale(np.array([2.0])) for name in names}
    nodes |= {"input": nir.Input(input_type={"input": np.array([3])}), "readout": ops.Readout("differential")}
    nodes |= {"output": nir.Output(output_type={"output": np.array([3])})}
    return verify(nodes, list(pairwise(path)), Provenance(tool_version="test", model='"</svg>\\'))


@pytest.mark.parametrize("every_node", [False, True])
def test_a_drawing_has_every_node_and_every_stream_between_boxes(program, every_node):
    drawn = graph.drawing(program, every_node)
    if every_node:
        assert [box.title for box in drawn.boxes] == list(program.nodes)
        found = {(drawn.boxes[a].title, drawn.boxes[b].title) for a, b, _ in drawn.edges}
        assert found == {(source, name) for name, sources in program.operands.items() for source in sources}
        assert {drawn.boxes[a].title for a, _, spikes in drawn.edges if spikes} <= program.spiking
        assert {box.title for box in drawn.boxes if box.spiking} == set(program.neurons)
    assert all(a < b for a, b, _ in drawn.edges)
    assert {taker for _, taker, _ in drawn.edges} | {source for source, _, _ in drawn.edges} == set(range(len(drawn.boxes)))


@pytest.mark.parametrize("every_node", [False, True])
def test_the_picture_has_what_the_drawing_has_and_arcs_keep_apart(program, every_node):
    drawn = graph.drawing(program, every_node)
    root = ET.fromstring(graph.svg(drawn))
    assert len(root.findall(f"{SVG}g")) == len(drawn.boxes)
    paths = root.findall(f"{SVG}path")
    assert len(paths) == len(drawn.edges)
    arcs = [re.fullmatch(r"M\d+ (\d+)H(\d+)q.*V(\d+)q.*", path.get("d", "")) for path in paths]
    places = [tuple(map(int, arc.groups())) for arc in arcs if arc]
    assert len(places) == sum(b > a + 1 for a, b, _ in drawn.edges)
    for i, (top, lane, bottom) in enumerate(places):
        for other_top, other_lane, other_bottom in places[i + 1 :]:
            assert lane != other_lane or bottom < other_top or other_bottom < top
    assert max((lane for _, lane, _ in places), default=0) < int(root.get("width", "0"))


names = st.lists(
    st.text(st.sampled_from('ab.\\"<>&;{}|n]%'), min_size=1, max_size=8).filter(lambda text: text.strip(".")),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip


@given(names)
def test_names_are_text_in_both_formats(given_names):
    program = chain([f"x{name}" for name in given_names])
    drawn = graph.drawing(program, every_node=True)
    root = ET.fromstring(graph.svg(drawn))
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert titles[0] == program.summary
    assert all(title.startswith(f"{box.title}: ") for title, box in zip(titles[1:], drawn.boxes, strict=True))
    text = graph.dot(drawn)
    strings = re.findall(r'label="((?:[^"\\]|\\.)*)"', text)
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    assert '"' not in bare
    assert bare.count("{") == bare.count("}") == 1 + bare.count("subgraph")
    read = [re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), string) for string in strings]
    assert {name.title for name in drawn.boxes} <= {label.split("\n")[0] for label in read}


def test_a_long_name_fits_its_box_and_is_whole_in_the_tooltip():
    program = chain(["m" * 500 + ".end"])
    root = ET.fromstring(graph.svg(graph.drawing(program, every_node=True)))
    assert max(len(element.text or "") for element in root.iter(f"{SVG}text")) < 100
    assert any("m" * 500 + ".end" in (element.text or "") for element in root.iter(f"{SVG}title"))


def test_inspect_draws(all_programs, tmp_path, capsys, monkeypatch):
    write(all_programs["transformer, accurate"], tmp_path / "p.nir")
    status, _, said = run(["inspect", "p.nir", "--graph", "g.svg"], capsys, monkeypatch, tmp_path)
    assert (status, said) == (0, "")
    status, _, said = run(["inspect", "p.nir", "--graph", "g.dot", "--nodes"], capsys, monkeypatch, tmp_path)
    assert (status, said) == (0, "")
    program = all_programs["transformer, accurate"]
    assert (tmp_path / "g.svg").read_text() == graph.svg(graph.drawing(program))
    assert (tmp_path / "g.dot").read_text() == graph.dot(graph.drawing(program, every_node=True))


@pytest.mark.parametrize("name", ["g.png", "g", "g.pdf", "missing/g.svg"])
def test_other_files_are_refused_and_nothing_is_written(name, all_programs, tmp_path, capsys, monkeypatch):
    write(all_programs["transformer, accurate"], tmp_path / "p.nir")
    status, shown, said = run(["inspect", "p.nir", "--graph", name], capsys, monkeypatch, tmp_path)
    assert (status, shown, said.count("\n")) == (2, "", 1)
    assert name in said
    assert [path.name for path in tmp_path.iterdir()] == ["p.nir"]
    if "." in name and "/" not in name:
        with pytest.raises(ConfigError, match="name it .svg or .dot"):
            ecmt.draw(all_programs["transformer, accurate"], tmp_path / name)
