"""Who reads a program: the example of docs/format.md as this tool does; stock NIR not at all, and loudly."""

import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest

import ecmt_deploy as ecmt
from docs.generate.fixed_vector import quantised
from docs.generate.format_vector import READER, small, tokens
from ecmt_deploy.program import Program, write
from examples import reader
from tests.support.targets import PROGRAMS

OTHERS = {
    "integers": lambda: quantised("differential"), "tokens": lambda: tokens("rate"), "vector": lambda: small("differential"),
}  # fmt: skip


@pytest.fixture(params=[*PROGRAMS, *OTHERS])
def path(request, all_programs, tmp_path) -> Path:
    program = OTHERS[request.param]() if request.param in OTHERS else all_programs[request.param]
    write(program, tmp_path / "p.nir")
    return tmp_path / "p.nir"


def same(mine, theirs) -> bool:
    if isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(same(mine[key], theirs[key]) for key in theirs)
    if isinstance(theirs, np.ndarray):
        return mine.dtype == theirs.dtype and mine.shape == theirs.shape and mine.tobytes() == theirs.tobytes()
    return bool(np.all(mine == theirs))  # a file says strides for every axis, where a node may hold one for all


def test_the_example_reads_what_this_tool_reads(path):
    theirs, mine = ecmt.read(path), reader.read(str(path))
    assert mine.nodes.keys() == theirs.nodes.keys()
    assert {name: node.operands for name, node in mine.nodes.items()} == dict(theirs.operands)
    assert sorted(mine.edges) == theirs.graph().edges
    assert mine.provenance["tool_version"] == theirs.provenance.tool_version
    for name, node in theirs.nodes.items():
        assert mine.nodes[name].type == node.kind
        fields = {**node.defaults, **mine.nodes[name].fields, "operands": mine.nodes[name].operands}
        for field in node.fields:
            assert same(fields[field], getattr(node, field)), (name, field)
        form = {} if node.format is None else {field: getattr(node.format, field) for field in type(node.format).fields}
        assert same(fields.get("format", {}), form), name
        assert fields.keys() <= {*node.fields, "operands", "format"}


def test_the_example_puts_operands_first(path):
    seen: set[str] = set()
    for name, node in reader.read(str(path)).nodes.items():
        assert set(node.operands) <= seen
        seen.add(name)


def test_the_example_is_short_and_needs_no_more_than_it_says(all_programs, tmp_path):
    assert len(READER.read_text().splitlines()) <= 90
    write(all_programs["transformer, graded"], tmp_path / "p.nir")
    code = (
        "import runpy, sys; sys.modules['ecmt_deploy'] = sys.modules['nir'] = sys.modules['torch'] = None; "
        f"sys.argv = ['reader.py', 'p.nir']; runpy.run_path({str(READER)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    program: Program = all_programs["transformer, graded"]
    assert len(lines) == len(program.nodes) + 1
    assert lines[-1].startswith(f"{len(program.nodes)} nodes, ")


def test_the_example_refuses_other_files_and_versions(tmp_path):
    nir.write(tmp_path / "g.nir", nir.NIRGraph.from_list(nir.Linear(np.ones((3, 3)))))
    with pytest.raises(ValueError, match="no program of ecmt-deploy"):
        reader.read(str(tmp_path / "g.nir"))
    old = Path(__file__).parents[1] / "fixtures" / "dialect5_every_node_differential.nir"
    with pytest.raises(ValueError, match="version 5, expected 6"):
        reader.read(str(old))


def test_stock_nir_fails_on_a_program_and_returns_nothing(path):
    with pytest.raises(AssertionError):  # its reader's list of types is closed: `assert type in __all_ir`
        nir.read(path)
