"""Integer programs: reference and Lava agree bit for bit, in every spike, every state, every count and every readout."""

import numpy as np
import pytest

from ecmt_deploy.program import Program, ops
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.probes import parse_probes
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.targets.lava import LavaTarget
from ecmt_deploy.testing import integer_program
from ecmt_deploy.testing.handmade import images

pytestmark = pytest.mark.skipif(LavaTarget().missing() is not None, reason=str(LavaTarget().missing()))

#: fixed seeds, so that a failure can be run again; the long campaign is `make test-all`
SEEDS, MANY_SEEDS = range(12), range(12, 512)


def require_equal(program: Program, x: np.ndarray, timesteps: int) -> int:
    """Run on both targets with everything probed; the number of spikes and states that were compared."""
    asked = [f"{name}:{kind}" for name in program.neurons for kind in ("spikes", "state")]
    asked += [f"{name}:state" for name, node in program.nodes.items() if isinstance(node, ops.ECM | ops.ECMProduct | ops.Hold)]
    probes = parse_probes(program, asked)
    expected, run = (
        simulate(program, x, target, timesteps, precision="fixed", probes=probes) for target in ("reference", "lava")
    )
    assert run.activity == expected.activity
    np.testing.assert_array_equal(run.outputs, expected.outputs)
    assert list(run.probes) == list(expected.probes) == list(probes)
    for probe, series in expected.probes.items():
        np.testing.assert_array_equal(run.probes[probe], series, err_msg=str(probe))
    return sum(series.size for series in expected.probes.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_random_integer_programs(seed: int) -> None:
    assert require_equal(*integer_program(seed)) > 0, f"seed {seed} compares nothing"


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY_SEEDS)
def test_many_random_integer_programs(seed: int) -> None:
    assert require_equal(*integer_program(seed)) > 0, f"seed {seed} compares nothing"


def test_the_seeds_saturate_and_reach_every_kind_of_node() -> None:
    """Guards the equality above: the programs hold every kind of node and function, and many saturate."""
    kinds, saturated = set(), 0
    for seed in SEEDS:
        program, x, timesteps = integer_program(seed)
        kinds |= {type(node).__name__ for node in program.nodes.values()}
        activity = simulate(program, x, "reference", timesteps, precision="fixed").activity
        saturated += any(activity[node].saturations for node in activity)
    assert {"LastAxisLinear", "MultiThreshold", "ECM", "ECMProduct"} <= kinds
    assert saturated > len(SEEDS) // 4


@pytest.mark.parametrize("name", ["transformer, paper", "transformer, accurate"])
def test_quantised_transformers(name: str, all_programs: dict[str, Program]) -> None:
    program = quantize(all_programs[name], None, 4)
    assert require_equal(program, images(3), 4) > 0
