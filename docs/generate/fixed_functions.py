"""How far every integer function is from the real one: operands, and the largest error relative to the largest result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecmt_deploy.kernels.formats import exponent_for, to_integers
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.functions.integer import Formats
from ecmt_deploy.quantization.formats import HEADROOM
from ecmt_deploy.testing.integer_programs import INTEGER as ANYWHERE
from ecmt_deploy.testing.integer_programs import MASKED

DOCUMENT = Path(__file__).parents[2] / "docs" / "fixed_point.md"
BITS, ROWS, CHANNELS = 24, 64, 48
POSITIVE = ("sqrt", "rsqrt", "reciprocal", "log", "divide")

INTEGER = [*ANYWHERE, *MASKED]


def operands(function: str, r: np.random.Generator) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Parameters in float, and operands: normal with a standard deviation of 3, of either sign where the function is
    defined."""
    given = dict(FUNCTIONS[function].example)
    x = r.normal(size=(ROWS, CHANNELS)) * 3
    if function in ("layer_norm", "rms_norm"):
        given |= {"eps": 1e-6, "normalized_axes": 1, "weight": r.normal(size=CHANNELS)}
    if function == "group_norm":
        given |= {"eps": 1e-6, "groups": 4, "weight": r.normal(size=ROWS)}
    if function in ("layer_norm", "group_norm"):
        given["bias"] = r.normal(size=len(given["weight"]))
    if function == "exp":
        x = np.minimum(x, 3)
    if function in ("sqrt", "rsqrt", "reciprocal", "log"):
        x = np.abs(x) + 0.1
    if function == "masked_softmax":
        return given, [x, (r.random(size=x.shape) < 0.7).astype(float)]
    if function == "divide":
        return given, [x, np.abs(r.normal(size=x.shape)) + 0.5]
    return given, [x, r.normal(size=x.shape)] if FUNCTIONS[function].operands == 2 else [x]


def error(function: str, seed: int = 0) -> tuple[float, float]:
    """Largest error of the integer function, relative to the largest result, and in units of the last place of the result."""
    given, xs = operands(function, np.random.default_rng(seed))
    exponents = [exponent_for(HEADROOM * float(np.abs(x).max()), BITS) for x in xs]
    integers = [to_integers(x, e, BITS).astype(np.int64) for x, e in zip(xs, exponents, strict=True)]
    known = FUNCTIONS[function]
    exact = known.evaluate(given, *(np.ldexp(m.astype(float), e) for m, e in zip(integers, exponents, strict=True)))
    largest = float(np.abs(exact).max())
    result = exponents[0] if known.integer.keeps_format else exponent_for(HEADROOM * largest, BITS)
    made = known.integer.parameters_for(given, Formats(exponents, result, float(np.abs(xs[0]).max()), BITS, xs[0].shape))
    found = known.integer.evaluate(made, BITS, *integers)
    assert np.abs(found).max() <= limit(BITS)
    difference = float(np.abs(np.ldexp(found.astype(float), result) - exact).max())
    return difference / largest, difference / 2.0**result


def table() -> str:
    rows = ["| function | largest error / largest result | in units of the last of 24 bits |", "|---|---|---|"]
    for function in INTEGER:
        relative, last = error(function)
        rows.append(f"| `{function}` | 2^{np.log2(relative):.1f} | {last:.1f} |" if last else f"| `{function}` | 0 | 0 |")
    return "\n".join(rows)
