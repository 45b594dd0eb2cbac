"""Streams: every target gives every spike of every frame, and of integers every bit, as the reference does."""

from __future__ import annotations

import numpy as np
import pytest

from ecmt_deploy.errors import ConfigError, EcmtError, NotFiniteError
from ecmt_deploy.program import Program
from ecmt_deploy.program.gate import require_differential
from ecmt_deploy.simulation.streams import stream
from ecmt_deploy.simulation.target import Run
from ecmt_deploy.testing import CASES, case
from tests.support.streams import clip, differences, spikes
from tests.support.targets import require

FRAMES = 200


def streaming(name: str) -> bool:
    """Whether a case has streams at all."""
    try:
        require_differential(case(name).program)
    except ConfigError:
        return False
    return True


#: of the random programs some, for fewer frames; `make test-all` runs all of them
DIFFERENTIAL = [name for name in CASES if streaming(name)]
RANDOM = [name for name in DIFFERENTIAL if name.startswith("random")]
SOME = [name for name in DIFFERENTIAL if name not in RANDOM] + RANDOM[:6]
#: run step by step in `make test-all` only
LONG = [name for name in DIFFERENTIAL if "transformer" in name and name != "integer transformer, graded"]
ON_LAVA = ["every node, differential", "integer transformer, graded"]


def run(program: Program, frames: list[np.ndarray], target: str, steps: int) -> Run | None:
    """The run; ``None`` where it comes to infinity."""
    precision = "fixed" if program.integer else "float"
    try:
        with np.errstate(all="ignore"):
            return stream(program, frames, target, steps, 0.0, precision, dtype="float64", probes=spikes(program))
    except NotFiniteError:
        return None


def check(name: str, target: str, steps: int, frames: int = FRAMES) -> None:
    require(target)
    chosen = case(name)
    shown = list(clip(chosen.inputs, frames, seed=len(name)))
    expected = run(chosen.program, shown, "reference", steps)
    if expected is None:
        return
    found = run(chosen.program, shown, target, steps)
    assert found is not None
    assert differences(found, expected) == []


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        pytest.param(name, steps, marks=pytest.mark.slow if steps > 1 and name in LONG else ())
        for name in SOME for steps in (1, 3)
    ],
)  # fmt: skip
def test_torch(name: str, steps: int) -> None:
    check(name, "torch", steps, (60 if name.startswith("random") else FRAMES) // steps)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in DIFFERENTIAL if name not in SOME])
def test_torch_on_many(name: str) -> None:
    check(name, "torch", 1)


@pytest.mark.parametrize("name", ON_LAVA)
def test_lava(name: str) -> None:
    check(name, "lava", 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in DIFFERENTIAL if name not in ON_LAVA])
def test_lava_on_many(name: str) -> None:
    check(name, "lava", 1)


def test_rate_coding_has_no_streams() -> None:
    for name in ("every node, rate", "transformer, paper"):
        chosen = case(name)
        with pytest.raises(EcmtError, match="rate coding .* has no streams"):
            stream(chosen.program, chosen.inputs, "reference")
    assert len(DIFFERENTIAL) >= 10
