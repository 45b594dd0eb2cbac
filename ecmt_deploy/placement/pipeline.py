"""The places of a program's nodes in the pipeline: which step of the chip works on which step of the program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from ecmt_deploy.program import Program


def places(
    program: Program, computed: Collection[str], apart: Callable[[str, str], bool],
    extra: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, int]:  # fmt: skip
    """Place of each node, from 1: the node at place d works on step t of the program in step t + d - 1 of the chip.

    A message that leaves its core arrives in the next step of the chip, for a barrier stands between two steps; within a core
    nodes follow one another in one step. What arrives early waits.

    Parameters
    ----------
    computed : nodes that cores compute
    apart : whether a message of one node (first) to another (second) leaves its core
    extra : by node, steps that pass before its messages leave, beside its own
    """
    found: dict[str, int] = {}
    for name, operands in program.operands.items():
        if name not in computed:
            continue
        before = [emitter for operand in operands for emitter in program.emitters[operand] if emitter in found]
        found[name] = max((found[e] + (1 + extra.get(e, 0) if apart(e, name) else 0) for e in before), default=1)
    return found
