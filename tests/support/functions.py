"""Functions and their readers: which of those that a new function needs does not know it; and parameters for tests."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ecmt_deploy.chips import hardware
from ecmt_deploy.engine.functions import TORCH
from ecmt_deploy.kernels import functions as numpy_kernels
from ecmt_deploy.kernels.fixed import functions as integer_kernels
from ecmt_deploy.program import fixed_rules
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.quantization import functions as makers

#: parameters that are plain numbers, at which the functions that take them are tested
SCALARS: dict[str, dict[str, Any]] = {
    "clamp": {"low": -0.5, "high": 1.0}, "leaky_relu": {"slope": 0.1}, "power": {"exponent": 3.0},
}  # fmt: skip
#: parameters that depend on the operand's shape: each test gives its own
STRUCTURAL = {"axis", "normalized_axes", "eps", "groups"}
#: functions that have an integer form, in the order of the table
INTEGER = [name for name in FUNCTIONS if name in fixed_rules.PARAMETERS]


def readers() -> dict[str, Collection[str]]:
    """Every table a function must be in, by where it stands."""
    refused = fixed_rules.WITHOUT_INTEGER
    plain = {name for name, entry in FUNCTIONS.items() if not {p.name for p in entry.parameters if p.required} - STRUCTURAL}
    return {
        "_NUMPY in ecmt_deploy/kernels/functions.py": numpy_kernels._NUMPY,
        "TORCH in ecmt_deploy/engine/functions.py": TORCH,
        "TABLES, PARAMETERS or WITHOUT_INTEGER in ecmt_deploy/program/fixed_rules.py": {*fixed_rules.PARAMETERS, *refused},
        "_INTEGER in ecmt_deploy/kernels/fixed/functions.py": {*integer_kernels._INTEGER, *refused},
        "_MAKERS in ecmt_deploy/quantization/functions.py": {*makers._MAKERS, *refused},
        "[prices.ecm_op_pj] in hw_configs/horowitz45.toml": {
            name.removeprefix("ecm_op_pj.") for name in hardware("horowitz45").prices
        },
        "SCALARS in tests/support/functions.py": {*SCALARS, *plain},
    }


def lacking() -> list[str]:
    """A line for every function that a reader lacks."""
    return [f"{name} is missing from {place}" for name in FUNCTIONS for place, known in readers().items() if name not in known]
