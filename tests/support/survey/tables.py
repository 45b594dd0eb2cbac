"""The tables of docs/support.md, of what is in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docs.generate.documents import put
from tests.support.families import order
from tests.support.survey.entries import Entry

DOCUMENT = Path(__file__).parents[3] / "docs" / "support.md"
#: the blocks of the document, each of some sources
BLOCKS = {"timm": ("timm",), "torch": ("torchvision", "torch"), "transformers": ("transformers",)}
_HEADINGS = (
    "family",
    "model",
    "nodes",
    "operations with arithmetic",
    "analog difference",
    "T = 1",
    "T = 4",
    "T = 16",
    "cosines of",
)


def write(records: Sequence[tuple[Entry, dict[str, Any]]]) -> None:
    """Put every table into the document; models that nobody surveyed are named as such."""
    for block, sources in BLOCKS.items():
        put(DOCUMENT, f"survey-{block}", table([found for found in records if found[0].source in sources]))


def table(records: Sequence[tuple[Entry, dict[str, Any]]]) -> list[str]:
    """How many convert, and a row for each."""
    converts = sum("nodes" in record for _, record in records)
    unknown = sum(not record for _, record in records)
    count = f"{converts} of {len(records)} convert" + (f", {unknown} were not surveyed" if unknown else "") + "."
    rows = [f"| {' | '.join(_cells(entry, record))} |" for entry, record in records]
    return [count, "", f"| {' | '.join(_HEADINGS)} |", f"|{'---|' * len(_HEADINGS)}", *rows]


def _cells(entry: Entry, record: dict[str, Any]) -> list[str]:
    if not record:
        return [entry.family, entry.model, "not surveyed", *[""] * 6]
    if "nodes" not in record:
        said = "; ".join(f"{what} ({count} times)" if count > 1 else what for what, count in record["refused"].items())
        return [entry.family, entry.model, "refused", said.replace("|", "/"), *[""] * 5]
    cosines = [_cosine(record, steps) for steps in (1, 4, 16)]
    difference = "unknown" if record["difference"] is None else order(record["difference"]) + ", float64" * ("dtype" in record)
    by = record.get("smaller") or ("" if "cosine_1" in record else record.get("failed", ""))
    return [entry.family, entry.model, f"{record['nodes']}", record["operations"], difference, *cosines, by.replace("|", "/")]


def _cosine(record: dict[str, Any], steps: int) -> str:
    value = record.get(f"cosine_{steps}")
    return "" if value is None else f"{value:.3f}"
