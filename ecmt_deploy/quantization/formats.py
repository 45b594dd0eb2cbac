"""Formats: the exponent of every analog stream, from the ranges that calibration recorded."""

from __future__ import annotations

from math import frexp, log2

import nir
import numpy as np

from ecmt_deploy.errors import ConfigError, ProgramError
from ecmt_deploy.program import Program
from ecmt_deploy.program import fixed as f
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.fixed_rules import SAME_FORMAT

#: a stream has room for so many times its range: what other samples, and the transients of the first steps, may need more
HEADROOM = 4.0
#: the same for the sample itself, and for the operand of a multiplier
INPUT_HEADROOM = OPERAND_HEADROOM = 2.0
LOWEST_EXPONENT, HIGHEST_EXPONENT = -48, 48


def exponent_for(magnitude: float, bits: int) -> int:
    """The smallest exponent with which ``bits`` hold ``magnitude``."""
    if magnitude <= 0:
        return LOWEST_EXPONENT
    exponent = int(np.ceil(log2(magnitude / f.limit(bits))))
    return int(np.clip(exponent, LOWEST_EXPONENT, HIGHEST_EXPONENT))


def multiplier_and_shift(ratio: float) -> tuple[int, int]:
    """``ratio`` as multiplier / 2**shift, the multiplier as long as it may be; (0, 0) where nothing would be left.

    Raises
    ------
    ConfigError
        if the ratio is too large for a shift.
    """
    mantissa, exponent = frexp(ratio)
    multiplier, shift = round(mantissa * 2**15), 15 - exponent
    if abs(multiplier) == 2**15:
        multiplier, shift = multiplier // 2, shift - 1
    if multiplier == 0 or shift > 62:
        return 0, 0
    if shift < -16:
        raise ConfigError(f"a requantisation by {ratio:g} is out of range: the streams' ranges are too far apart")
    return multiplier, shift


def multipliers_and_shifts(ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:func:`multiplier_and_shift` of every element."""
    pairs = [multiplier_and_shift(float(ratio)) for ratio in np.ravel(ratios)]
    made = np.array(pairs, np.int64).reshape(*np.shape(ratios), 2)
    return made[..., 0].astype(np.int16), made[..., 1].astype(np.int8)


def to_integers(x: np.ndarray | float, exponent: int, bits: int) -> np.ndarray:
    """The nearest integers of an exponent, saturated; minus infinity is the number below."""
    x = np.asarray(x, np.float64)
    clipped = np.clip(np.rint(np.ldexp(x, -exponent)), -f.limit(bits), f.limit(bits))
    return np.where(np.isneginf(x), f.minus_infinity(bits), clipped).astype(np.int32)


def stream_ranges(program: Program) -> dict[str, float]:
    """The range of every analog stream: what calibration saw, and what constants are."""
    recorded = program.provenance.ranges
    if recorded is None:
        raise ProgramError("the program records no ranges (an earlier version converted it); convert the model again")
    ranges = {}
    for name, node in program.nodes.items():
        if name in program.spiking or isinstance(node, nir.Output):
            continue
        if isinstance(node, n.Constant):
            finite = np.abs(node.value[np.isfinite(node.value)])
            ranges[name] = float(finite.max()) if finite.size else 0.0
        elif not 0 <= recorded.get(name, -1.0) < float("inf"):
            raise ProgramError(f"the program records no range of node {name}; convert the model again")
        else:
            ranges[name] = recorded[name]
    return ranges


def exponents(program: Program, ranges: dict[str, float], state_bits: int, input_bits: int, timesteps: int) -> dict[str, int]:
    """The exponent of every analog stream. Streams joined by wiring, and those that keep their operand's format, share one."""
    leader = {name: name for name in ranges}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for name, node in program.nodes.items():
        keeps = isinstance(node, (*n.WIRING, n.Hold, n.Readout)) or (isinstance(node, n.ECM) and node.function in SAME_FORMAT)
        if name in ranges and keeps:
            for source in program.operands[name]:
                if source in ranges:
                    leader[find(source)] = find(name)
    groups: dict[str, list[str]] = {}
    for name in ranges:
        groups.setdefault(find(name), []).append(name)
    growth = timesteps if program.coding == "rate" else 1
    chosen: dict[str, int] = {}
    for members in groups.values():
        constant = all(isinstance(program.nodes[name], n.Constant) for name in members)
        sampled = any(isinstance(program.nodes[name], nir.Input) for name in members)
        largest = max(ranges[name] for name in members) or 1.0
        headroom = 1.0 if constant else HEADROOM * growth
        exponent = exponent_for(largest * headroom, state_bits)
        if sampled:
            exponent = max(exponent, exponent_for(ranges[program.input_name] * INPUT_HEADROOM, input_bits))
        chosen |= dict.fromkeys(members, exponent)
    return chosen
