"""CITATION.cff says what the project is, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]


def test_it_is_of_this_version_and_has_the_fields_of_the_schema() -> None:
    cited = msgspec.yaml.decode((ROOT / "CITATION.cff").read_bytes())
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]
    assert cited["version"] == project["version"]
    assert cited["license"] == project["license"]
    assert [author["name"] for author in cited["authors"]] == [author["name"] for author in project["authors"]]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what version 1.2.0 of the format asks for
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] in ("software", "dataset")
    known = {"cff-version", "message", "type", "title", "abstract", "version", "license", "authors", "keywords", "references"}
    assert set(cited) <= known
    for reference in cited["references"]:
        assert {"type", "title", "authors"} <= set(reference)
        assert all(set(author) == {"family-names", "given-names"} for author in reference["authors"])
        assert re.fullmatch(r"10\.\d{4,9}/\S+", reference["doi"])
