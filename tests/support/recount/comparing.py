"""A recount against what a target counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def flat(counts: Any) -> dict[str, int]:
    """The counts of a node as a target gives them, by name, those of functions as ``ecm_ops.KIND``."""
    own = {name: getattr(counts, name) for name in counts.__struct_fields__ if name != "ecm_ops"}
    return {**own, **{f"ecm_ops.{kind}": amount for kind, amount in counts.ecm_ops.items()}}


def total(steps: Sequence[Mapping[str, Counter[str]]]) -> dict[str, Counter[str]]:
    """The counts of every node over all steps."""
    return {name: sum((step[name] for step in steps), Counter()) for name in steps[0]}


def differences(counted: Mapping[str, Any], recounted: Mapping[str, Counter[str]]) -> list[str]:
    """One line per node and count in which the two differ."""
    lines = []
    for name in sorted({*counted, *recounted}):
        theirs, mine = flat(counted[name]), recounted[name]
        for count in sorted({*theirs, *mine}):
            if theirs.get(count, 0) != mine[count]:
                lines.append(f"{name}: {count} is {theirs.get(count, 0)}, recounted {mine[count]}")
    return lines
