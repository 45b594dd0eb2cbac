"""Random programs: what verification lets through, every target reads alike: every count, and of integers every bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from ecmt_deploy.conversion.converter import with_ranges
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, NotFiniteError, ProgramError
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Run
from ecmt_deploy.targets.lava import LavaTarget
from ecmt_deploy.testing import Case, float_program

#: fixed seeds, so that a failure can be run again; `make test-all` runs the many
SEEDS, MANY_SEEDS = range(60), range(60, 2060)
LAVA_SEEDS, MANY_LAVA_SEEDS = range(6), range(60, 360)
INTEGER_SEEDS, MANY_INTEGER_SEEDS = range(4), range(4, 304)
needs_lava = pytest.mark.skipif(LavaTarget().missing() is not None, reason=str(LavaTarget().missing()))


def run(case: Case, target: str) -> Run | None:
    """What a target makes of a case."""
    return outcome(case.program, case.inputs, target, case.timesteps)


def outcome(program: Program, x: np.ndarray, target: str, timesteps: int = 2) -> Run | None:
    """What a target makes of a program; ``None`` where it comes to infinity."""
    try:
        with np.errstate(all="ignore"):
            return simulate(program, x, target, timesteps, "fixed" if program.integer else "float")
    except Exception as error:
        if isinstance(error, NotFiniteError) or "infinite or no number" in str(error):
            return None
        raise


def require_equal(run: Run | None, expected: Run | None) -> None:
    """Two targets agree: on every count, and on the readouts but for rounding."""
    assert (run is None) == (expected is None)
    if run is None or expected is None:
        return
    assert run.activity.differences(expected.activity) == []
    assert run.activity == expected.activity
    if expected.outputs.dtype.kind == "i":
        np.testing.assert_array_equal(run.outputs, expected.outputs)
    else:
        size = np.abs(expected.outputs).max(initial=0)
        np.testing.assert_allclose(run.outputs, expected.outputs, rtol=1e-7, atol=max(1e-9 * size, 1e-300))


@pytest.mark.parametrize("seed", SEEDS)
def test_torch(seed: int) -> None:
    case = float_program(seed)
    require_equal(run(case, "torch"), run(case, "reference"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_SEEDS)
def test_torch_on_many(seed: int) -> None:
    test_torch(seed)


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_torch_in_pieces(seed: int) -> None:
    """With room for one step of one sample at a time, state lasts from piece to piece."""
    case = float_program(seed)
    expected = run(case, "reference")
    if expected is None:
        return
    model = SpikingModel(case.program).double()
    model.memory_bytes = 1
    outputs, activity = model.count(torch.from_numpy(case.inputs), case.timesteps)
    require_equal(Run(outputs.numpy(), activity), expected)


@needs_lava
@pytest.mark.parametrize("seed", LAVA_SEEDS)
def test_lava(seed: int) -> None:
    case = float_program(seed)
    require_equal(run(case, "lava"), run(case, "reference"))


@needs_lava
@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_LAVA_SEEDS)
def test_lava_on_many(seed: int) -> None:
    test_lava(seed)


def quantised(seed: int) -> Case | None:
    """The integer program of a random program; ``None`` where quantisation says that it has none."""
    case = float_program(seed, quantisable=True)
    model = with_ranges(SpikingModel(case.program), [torch.from_numpy(case.inputs)])
    try:
        return case._replace(program=quantize(model.program, None, case.timesteps))
    except (ConfigError, ProgramError):
        return None


@needs_lava
@pytest.mark.parametrize("seed", INTEGER_SEEDS)
def test_integers_on_lava(seed: int) -> None:
    if case := quantised(seed):
        require_equal(run(case, "lava"), run(case, "reference"))


@needs_lava
@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_INTEGER_SEEDS)
def test_integers_on_lava_on_many(seed: int) -> None:
    test_integers_on_lava(seed)


def test_the_seeds_reach_what_verification_lets_through() -> None:
    """Guards the equalities above against being equalities of little."""
    kinds: Counter[str] = Counter()
    for seed in SEEDS:
        case = float_program(seed)
        program = case.program
        kinds.update({type(node).__name__ for node in program.nodes.values()})
        kinds.update({node.function for node in program.nodes.values() if isinstance(node, ops.ECM)})
        kinds.update({node.product for node in program.nodes.values() if isinstance(node, ops.ECMProduct)})
        kinds.update({f"rank {len(shape)}" for shape in program.shapes.values()})
        kinds.update({program.coding, "masks" if program.masked else "no masks"})
        kinds["spikes"] += spikes(program, run(case, "reference"))
    expected = {*ops.OPS, *FUNCTIONS, *ops.PRODUCTS, *ops.CODINGS, "masks", *(f"rank {r}" for r in range(5))}
    assert expected - set(kinds) == set()
    assert kinds["spikes"] > 1000
    assert sum(quantised(seed) is not None for seed in INTEGER_SEEDS) >= len(INTEGER_SEEDS) - 1


def spikes(program: Program, made: Run | None) -> int:
    return sum(made.activity[name].spikes for name in program.neurons) if made else 0
