"""Putting measured neurons into a program, and what the rules for them share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import isfinite

import nir

from ecmt_deploy.errors import ConversionError
from ecmt_deploy.program import Program, verify
from ecmt_deploy.program.graph import edges

log = logging.getLogger(__name__)


def with_nodes(program: Program, changed: Mapping[str, nir.NIRNode]) -> Program:
    """``program`` with some of its nodes replaced, checked anew."""
    return verify({**program.nodes, **changed}, edges(program.operands), program.provenance)


def producer(program: Program, name: str) -> str:
    """The node that computes what reaches ``name``: its first operand, seen through wiring."""
    source = program.operands[name][0]
    while program.nodes[source].role == "movement":
        source = program.operands[source][0]
    return source


def finite(name: str, largest: float) -> float:
    """``largest``, the largest magnitude that reaches a neuron, or a :class:`ConversionError` where it is no number."""
    if not isfinite(largest):
        raise ConversionError(
            f"neuron {name}: {largest} reaches it for the calibration data; expected samples with finite activations"
        )
    return largest


def largest_or_one(name: str, largest: float) -> float:
    """``largest``, or 1 with a warning for a neuron that saw nothing but zeros."""
    if largest > 0:
        return largest
    log.warning("neuron %s saw nothing but zeros in the calibration data; its bases are set to 1", name)
    return 1.0
