"""Tests use the library by its public names, and helpers from tests/support, so that what is private may change."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PRIVATE = re.compile(r"_[A-Za-z]\w*")
#: of others: timm's switch of attention, the module that torch.compile wraps, a namedtuple's copy, what notebooks show
OTHERS = {"_USE_FUSED_ATTN", "_orig_mod", "_replace", "_repr_html_"}


def names(path: Path) -> Iterator[str]:
    """Every name that a file defines or assigns."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


@functools.cache
def library() -> set[str]:
    """Private names of the library."""
    files = (path for folder in ("ecmt_deploy", "targets") for path in (ROOT / folder).rglob("*.py"))
    return {name for path in files for name in names(path) if PRIVATE.fullmatch(name)} - OTHERS


def reached(text: str) -> Iterator[str]:
    """Where a file takes a private name of the library: as an attribute, by import, or in a string, as of ``monkeypatch``."""
    for node in ast.walk(ast.parse(text)):
        found: list[str] = []
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
            found = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.findall(r"(?:\.|\bimport )(_[A-Za-z]\w*)", node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("getattr", "setattr", "delattr")):
            found = [each.value for each in node.args if isinstance(each, ast.Constant)]
        yield from (f"line {node.lineno}: {name}" for name in found if name in library())


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_private_name_and_no_test_of_another_file(path):
    text = path.read_text()
    assert list(reached(text)) == []
    assert re.findall(r"^\s*(?:from|import) (?:tests\.)?[\w.]*\btest_\w+.*", text, re.M) == []


@pytest.mark.parametrize(
    "code",
    [
        "demo._nowhere(x)", "from ecmt_deploy.kernels.base import _nowhere", "monkeypatch.setattr(m, '_nowhere', None)",
        "monkeypatch.setattr('ecmt_deploy.m._nowhere', None)",
        "run('from ecmt_deploy.m import _nowhere')", "getattr(m, '_nowhere')",
    ],
)  # fmt: skip
def test_such_a_name_is_found(code, monkeypatch):
    monkeypatch.setattr("tests.test_public_doors.library", lambda: {"_nowhere"})
    assert list(reached(code))
