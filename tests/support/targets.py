"""What the tests run on which targets."""

from __future__ import annotations

import pytest

from ecmt_deploy.errors import TargetError
from ecmt_deploy.simulation.target import available, find
from ecmt_deploy.targets.lava import LavaTarget

#: float programs that many tests read: cases of the conformance suite
PROGRAMS = (
    "every node, rate", "every node, differential", "transformer, paper", "transformer, accurate", "transformer, graded",
)  # fmt: skip
needs_lava = pytest.mark.skipif(LavaTarget().missing() is not None, reason=str(LavaTarget().missing()))


def require(target: str) -> None:
    """Skip the test where what a target needs is not installed."""
    try:
        find(target)
    except TargetError as error:
        pytest.skip(str(error))


def needs_chip(target: str) -> bool:
    """Whether a target runs integer programs on the cores of a chip, and nothing else."""
    try:
        return bool(getattr(find(target), "needs_hardware", False))
    except TargetError:
        return False


def installed() -> list[str]:
    """The registered targets that are ready."""

    def ready(name: str) -> bool:
        try:
            find(name)
        except TargetError:
            return False
        return True

    return [name for name in available() if ready(name)]
