"""Random programs: what verification lets through, every target reads alike: every count, and of integers every bit."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from ecmt_deploy.conversion.converter import with_ranges
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, NotFiniteError, ProgramError
from ecmt_deploy.program import ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Run
from ecmt_deploy.testing import Case, check, differences, float_program, integer_program
from ecmt_deploy.testing.cases import FLOAT_SEEDS, INTEGER_SEEDS
from tests.support.targets import needs_lava

#: seeds beyond those of the suite (test_targets.py), for `make test-all`
MANY_SEEDS, MANY_LAVA_SEEDS, MANY_INTEGER_SEEDS = range(60, 2060), range(60, 360), range(12, 512)
QUANTISED_SEEDS, MANY_QUANTISED_SEEDS = range(4), range(4, 304)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_SEEDS)
def test_torch_on_many(seed: int) -> None:
    assert check("torch", float_program(seed)).equal


def reference(case: Case) -> Run | None:
    """What the reference target makes of a case; ``None`` where it comes to infinity."""
    try:
        with np.errstate(all="ignore"):
            return simulate(
                case.program, case.inputs, "reference", case.timesteps, "fixed" if case.program.integer else "float"
            )
    except NotFiniteError:
        return None


@pytest.mark.parametrize("seed", FLOAT_SEEDS[:20])
def test_torch_in_pieces(seed: int) -> None:
    """With room for one step of one sample at a time, state lasts from piece to piece."""
    case = float_program(seed)
    if (expected := reference(case)) is None:
        return
    model = SpikingModel(case.program).double()
    model.memory_bytes = 1
    outputs, activity = model.count(torch.from_numpy(case.inputs), case.timesteps)
    assert list(differences(case.program, Run(outputs.numpy(), activity), expected)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_INTEGER_SEEDS)
def test_integers_on_torch_on_many(seed: int) -> None:
    assert check("torch", integer_program(seed)).equal


@pytest.mark.parametrize("seed", INTEGER_SEEDS)
def test_integers_in_pieces_and_with_filler(seed: int) -> None:
    """State lasts from piece to piece, and samples that only fill a batch up leave no trace."""
    case = integer_program(seed)
    expected = reference(case)
    assert expected is not None
    model = SpikingModel(case.program)
    beyond = 1 if case.program.inputs.integers else 3  # ids are rows of a table
    filled = torch.from_numpy(np.concatenate([case.inputs, case.inputs[::-1] * beyond]))
    for room in (1, model.memory_bytes):
        model.memory_bytes = room
        outputs, activity = model.count(filled, case.timesteps, samples=len(case.inputs))
        found = Run(outputs[:, : len(case.inputs)].numpy(), activity)
        assert list(differences(case.program, found, expected)) == []


@needs_lava
@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_LAVA_SEEDS)
def test_lava_on_many(seed: int) -> None:
    assert check("lava", float_program(seed)).equal


@needs_lava
@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_INTEGER_SEEDS)
def test_integers_on_lava_on_many(seed: int) -> None:
    assert check("lava", integer_program(seed)).equal


def quantised(seed: int) -> Case | None:
    """The integer program of a random program; ``None`` where quantisation says that it has none."""
    case = float_program(seed, quantisable=True)
    model = with_ranges(SpikingModel(case.program), [torch.from_numpy(case.inputs)])
    try:
        return case._replace(program=quantize(model.program, None, case.timesteps))
    except (ConfigError, ProgramError):
        return None


@pytest.mark.parametrize("seed", [*QUANTISED_SEEDS, *(pytest.param(s, marks=pytest.mark.slow) for s in MANY_QUANTISED_SEEDS)])
def test_quantised_on_torch(seed: int) -> None:
    if case := quantised(seed):
        assert check("torch", case).equal


@needs_lava
@pytest.mark.parametrize("seed", QUANTISED_SEEDS)
def test_quantised_on_lava(seed: int) -> None:
    if case := quantised(seed):
        assert check("lava", case).equal


@needs_lava
@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_QUANTISED_SEEDS)
def test_quantised_on_lava_on_many(seed: int) -> None:
    test_quantised_on_lava(seed)


def test_the_seeds_reach_what_verification_lets_through() -> None:
    """Guards the equalities above against being equalities of little."""
    kinds: Counter[str] = Counter()
    for seed in FLOAT_SEEDS:
        case = float_program(seed)
        program = case.program
        kinds.update({type(node).__name__ for node in program.nodes.values()})
        kinds.update({node.function for node in program.nodes.values() if isinstance(node, ops.ECM)})
        kinds.update({node.product for node in program.nodes.values() if isinstance(node, ops.ECMProduct)})
        kinds.update({f"rank {len(shape)}" for shape in program.shapes.values()})
        kinds.update({program.coding, "masks" if program.masked else "no masks"})
        kinds["spikes"] += sum(made.activity[name].spikes for name in program.neurons) if (made := reference(case)) else 0
    expected = {*ops.OPS, *FUNCTIONS, *ops.PRODUCTS, *ops.CODINGS, "masks", *(f"rank {r}" for r in range(5))}
    assert expected - set(kinds) == set()
    assert kinds["spikes"] > 1000
    assert sum(quantised(seed) is not None for seed in QUANTISED_SEEDS) >= len(QUANTISED_SEEDS) - 1


def test_the_integer_seeds_saturate_and_reach_every_kind_of_node() -> None:
    kinds, saturated = set(), 0
    for seed in INTEGER_SEEDS:
        case = integer_program(seed)
        assert any(case.program.state(name) for name in case.program.nodes), f"seed {seed} has no state to compare"
        kinds |= {type(node).__name__ for node in case.program.nodes.values()}
        made = reference(case)
        assert made is not None
        saturated += any(counts.saturations for _, counts in made.activity.items())
    assert {"LastAxisLinear", "MultiThreshold", "ECM", "ECMProduct"} <= kinds
    assert saturated > len(INTEGER_SEEDS) // 4
