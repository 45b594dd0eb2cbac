"""NeuroBench's metrics, against its definitions applied to every spike and every membrane that was recorded."""

from __future__ import annotations

import numpy as np
import pytest

import ecmt_deploy as ecmt
from ecmt_deploy.errors import ConfigError, EcmtError, RunError
from ecmt_deploy.estimation.neurobench import neurobench
from ecmt_deploy.program.activity import empty
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing import handmade
from ecmt_deploy.testing.cases import CASES, case
from tests.support.two_layers import PROGRAM, TIMESTEPS, X

FLOATS = [name for name in CASES if "integer" not in name]


def test_two_layers_by_hand() -> None:
    run = simulate(PROGRAM, X, timesteps=TIMESTEPS)
    found = run.neurobench()
    assert found.parameter_count == 6 + 4
    assert found.connection_sparsity == pytest.approx(3 / 10)
    assert type(found.connection_sparsity) is float  # NumPy 2 counts in its own type, which JSON does not take
    assert found.activation_sparsity == pytest.approx(1 - 4 / 8)
    # the image once: 6; of l2 two spikes with two weights each, of several levels: multiply-accumulates, at two steps of 4
    assert found.synaptic_operations == {"Effective_MACs": 10.0, "Effective_ACs": 0.0, "Dense": 6.0 + 2 * 4}
    assert found.product_operations == {"Effective_MACs": 0.0, "Effective_ACs": 0.0, "Dense": 0.0}
    assert found.membrane_updates == 5.0
    assert found.classification_accuracy is None
    arrays = 8 * (6 + 4) + sum(array.nbytes for name in ("n1", "n2") for array in _arrays(PROGRAM.nodes[name]))
    state = sum(np.prod(shape, dtype=int) for name in PROGRAM.nodes for shape in PROGRAM.state(name).values())
    assert found.footprint == arrays + PROGRAM.dtype.itemsize * state


def _arrays(node) -> list[np.ndarray]:
    return [value for value in vars(node).values() if isinstance(value, np.ndarray)]


def test_spikes_of_one_level_are_accumulated() -> None:
    single = dict(PROGRAM.nodes)
    for name in ("n1", "n2"):
        single[name] = type(single[name])(
            single[name].positive_base, single[name].negative_base, 1, "nearest", 0.74
        )  # fmt: skip
    edges = [(source, name) for name, sources in PROGRAM.operands.items() for source in sources]
    run = simulate(handmade.program(single, edges), X, timesteps=TIMESTEPS)
    found = run.neurobench().synaptic_operations
    assert found["Effective_ACs"] == run.activity["l2"].synops
    assert found["Effective_MACs"] == 6.0


@pytest.mark.parametrize("name", FLOATS)
def test_any_program_as_neurobench_reads_it_from_recordings(name: str) -> None:
    wanted = case(name)
    program, n = wanted.program, len(wanted.inputs)
    probes = [f"{neuron}:{kind}" for neuron in program.neurons for kind in ("spikes", "membrane")]
    run = simulate(program, wanted.inputs, timesteps=wanted.timesteps, probes=probes)
    found = run.neurobench()
    zeros = numbers = updates = 0
    for probe, series in run.probes.items():
        if probe.kind == "spikes":
            zeros, numbers = zeros + np.count_nonzero(series == 0), numbers + series.size
        else:
            updates += series[:, 0].size + np.count_nonzero(np.diff(series, axis=1))
    if numbers:
        assert found.activation_sparsity == pytest.approx(zeros / numbers)
    assert updates / n <= found.membrane_updates  # a row that an event reached is updated as a whole
    if wanted.timesteps == 1:
        assert found.membrane_updates == updates / n
    weights = [program.nodes[node].weight for node in program.of_role("synapse")]
    if weights:
        assert found.connection_sparsity == pytest.approx(np.mean(np.concatenate([w.ravel() == 0 for w in weights])))
    for group in (found.synaptic_operations, found.product_operations):
        assert set(group) == {"Effective_MACs", "Effective_ACs", "Dense"}
        assert group["Effective_MACs"] + group["Effective_ACs"] <= group["Dense"] * 2


def test_it_is_part_of_every_bill_with_the_accuracy_of_the_run() -> None:
    run = simulate(PROGRAM, X, timesteps=TIMESTEPS)
    assert ecmt.energy(run, "loihi2").neurobench == ecmt.neurobench(run)
    assert ecmt.neurobench(run.activity, PROGRAM) == ecmt.neurobench(run)
    assert "synaptic_operations, Effective_MACs" in ecmt.markdown(ecmt.neurobench(run)).replace("\\", "")


def test_what_has_no_metrics_says_why() -> None:
    with pytest.raises(ConfigError, match="does not know its program"):
        ecmt.neurobench(empty(list(PROGRAM.nodes), 2))
    with pytest.raises(RunError, match="no samples"):
        neurobench(empty(list(PROGRAM.nodes), 2), PROGRAM)
    with pytest.raises(RunError, match="not of this program"):
        neurobench(empty(["a"], 2), PROGRAM)
    with pytest.raises(EcmtError, match="has no table"):
        ecmt.latex(3)
