"""Formats: the exponent of every analog stream, from the ranges that calibration recorded."""

from __future__ import annotations

from ecmt_deploy.errors import ProgramError
from ecmt_deploy.kernels.formats import exponent_for
from ecmt_deploy.program import Program

#: a stream has room for so many times its range: what other samples, and the transients of the first steps, may need more
HEADROOM = 4.0
#: the same for the sample itself, and for the operand of a multiplier
INPUT_HEADROOM = OPERAND_HEADROOM = 2.0


def stream_ranges(program: Program) -> dict[str, float]:
    """The range of every analog stream: what calibration saw, and what constants are."""
    recorded = program.provenance.ranges
    if recorded is None:
        raise ProgramError("the program records no ranges (an earlier version converted it); convert the model again")
    ranges = {}
    for name, node in program.nodes.items():
        if name in program.spiking or node.role == "output":
            continue
        if node.bound is not None:
            ranges[name] = node.bound
        elif not 0 <= recorded.get(name, -1.0) < float("inf"):
            raise ProgramError(f"the program records no range of node {name}; convert the model again")
        else:
            ranges[name] = recorded[name]
    return ranges


def exponents(program: Program, ranges: dict[str, float], state_bits: int, input_bits: int, timesteps: int) -> dict[str, int]:
    """The exponent of every analog stream. Streams joined by wiring, and those that keep their operand's format, share one."""
    groups = {name: frozenset([name]) for name in ranges}
    for name in ranges:
        for source in program.operands[name] if program.nodes[name].keeps_format else ():
            if source in ranges:
                joined = groups[name] | groups[source]
                groups |= dict.fromkeys(joined, joined)
    growth = timesteps if program.coding == "rate" else 1
    chosen: dict[str, int] = {}
    for members in set(groups.values()):
        constant = all(program.nodes[name].bound is not None for name in members)
        sampled = [name for name in members if program.nodes[name].role == "input"]
        largest = max(ranges[name] for name in members) or 1.0
        headroom = 1.0 if constant else HEADROOM * growth
        exponent = exponent_for(largest * headroom, state_bits)
        if sampled:
            exponent = max(exponent, *(exponent_for(ranges[name] * INPUT_HEADROOM, input_bits) for name in sampled))
        if any(program.nodes[name].enters_exact for name in members):
            exponent = 0  # ids, and zeros and ones
        chosen |= dict.fromkeys(members, exponent)
    return chosen
