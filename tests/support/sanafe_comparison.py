"""One spiking network, priced by SANA-FE, and here from our counts: ``python -m tests.support.sanafe_comparison``.

SANA-FE (https://github.com/SLAM-Lab/SANA-FE, GPL-3) is used through its Python interface and with its own ``loihi.yaml``.
Nothing but this comparison needs it: ``pip install -e '.[crosscheck]'``.

The network: 128 inputs that spike, two linear layers (320 and 160 neurons), 48 steps. A neuron of one level is an
integrate-and-fire neuron with soft reset, as SANA-FE's is without leak. SANA-FE keeps potentials in 64ths and fires above its
threshold; we fire at it. So weights are whole numbers and thresholds a 64th above one: a potential is on the threshold only
after 63 spikes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import nir
import numpy as np

from ecmt_deploy.chips import Hardware, hardware
from ecmt_deploy.estimation import Energy, energy
from ecmt_deploy.estimation.routing import traffic
from ecmt_deploy.placement import Placement, place
from ecmt_deploy.program import Program, ops
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.handmade import program

TIMESTEPS = 48
SIZES = (128, 320, 160)
#: steps for which inputs spike, at least and at most; after that what is left in the layers drains, and all is quiet
BURST = (4, 40)
THRESHOLDS = (1.0, 64 + 1 / 64, 160 + 1 / 64)
LAYERS = ("l1", "l2")
#: neurons of a core: few, so that the network takes many tiles
NEURONS_PER_CORE = 32


class Side(NamedTuple):
    """What one of the two says about the two layers: counts and energies (pJ) over all steps, time of a step in ns."""

    spikes: int
    updates: int
    packets: float
    hops: float
    synapse_pj: float
    soma_pj: float
    network_pj: float
    step_ns: float


class Ours(NamedTuple):
    """Our side with what it was made from."""

    side: Side
    program: Program
    activity: Activity
    placement: Placement
    result: Energy
    #: (T, neurons): what enters the two layers
    inputs: np.ndarray


def made() -> tuple[Program, np.ndarray]:
    """The program and its sample."""
    r = np.random.default_rng(5)
    never = np.array(1e6)  # negative spikes: SANA-FE's neuron has none
    neurons = [ops.MultiThreshold(np.array(threshold), never, 1, "nearest", 0.99999) for threshold in THRESHOLDS]
    weights = [r.integers(-1, 3, size=(b, a)).astype(float) for a, b in pairwise(SIZES)]
    nodes = {
        "input": nir.Input(input_type={"input": np.array([SIZES[0]])}),
        "encode": nir.Linear(np.eye(SIZES[0])),
        "n0": neurons[0],
        "l1": nir.Linear(weights[0]),
        "n1": neurons[1],
        "l2": nir.Linear(weights[1] / THRESHOLDS[1]),  # our spikes are as high as their level
        "n2": neurons[2],
        "readout": ops.Readout("rate"),
        "output": nir.Output(output_type={"output": np.array([SIZES[-1]])}),
    }
    names = list(nodes)
    return program(nodes, list(pairwise(names))), r.integers(*BURST, size=(1, SIZES[0])).astype(np.float32)


def chip() -> Hardware:
    """``loihi1_sanafe`` with smaller cores."""
    described = hardware("loihi1_sanafe")
    limit = described.limits.neurons_per_core
    assert limit is not None
    smaller = msgspec.structs.replace(limit, value=float(NEURONS_PER_CORE))
    return msgspec.structs.replace(described, limits=msgspec.structs.replace(described.limits, neurons_per_core=smaller))


def ours() -> Ours:
    """Counted by the reference, placed and priced here: the two layers, and the messages of what enters them."""
    made_program, x = made()
    run = simulate(made_program, x, "reference", TIMESTEPS, probes=("n0:spikes",))
    placement = place(made_program, chip())
    result = energy(run.activity, made_program, chip(), placement)
    rows = {row.node: row.components_pj for row in result.rows}
    sent = list(traffic(run.activity, made_program, chip(), placement))
    (spikes,) = run.probes.values()
    assert result.timing is not None
    side = Side(
        spikes=sum(run.activity[name].spikes for name in ("n1", "n2")),
        updates=sum(run.activity[name].neuron_updates_active for name in ("n1", "n2")),
        packets=sum(t.packets for t in sent),
        hops=sum(t.hops_ew + t.hops_ns for t in sent),
        synapse_pj=sum(rows[name]["synapse"].value for name in LAYERS),
        soma_pj=sum(rows[name]["neuron"].value for name in ("n1", "n2")),
        network_pj=sum(rows[name]["routing"].value for name in ("n0", "n1")),
        step_ns=result.timing.step_us.value * 1e3,
    )
    return Ours(side, made_program, run.activity, placement, result, np.asarray(spikes)[0] != 0)


def theirs(same: Ours, timing: str = "detailed") -> Side:
    """Simulated and priced by SANA-FE, every neuron on the core we place it on.

    Parameters
    ----------
    timing : SANA-FE's model of time: ``detailed`` has queues in the mesh, ``simple`` has none
    """
    import sanafe

    architecture = sanafe.load_loihi()
    network = sanafe.Network()
    integrate = {"leak_decay": 1.0, "reset_mode": "soft"}
    groups = [network.create_neuron_group("n0", SIZES[0])]
    for i, neuron in enumerate(groups[0]):
        train = [bool(s) for s in same.inputs[:, i]]
        neuron.set_attributes(soma_hw_name=f"loihi_inputs[{i}]", model_attributes={"spikes": train})
    for name, size, threshold in zip(("n1", "n2"), SIZES[1:], THRESHOLDS[1:], strict=True):
        attributes = {**integrate, "threshold": threshold}
        units = {"default_synapse_hw_name": "loihi_dense_synapse", "default_dendrite_hw_name": "loihi_dendrites"}
        groups.append(network.create_neuron_group(name, size, attributes, **units, soma_hw_name="loihi_lif"))
    for name, source, target in zip(LAYERS, groups, groups[1:], strict=False):
        height = THRESHOLDS[LAYERS.index(name)]
        weight = (same.program.nodes[name].weight * height).round().T.ravel()  # by source, then target
        source.connect_neurons_dense(target, {"weight": weight.tolist()})
    for group, name in zip(groups, ("n0", "n1", "n2"), strict=True):
        unit = same.placement.unit_of(name)
        assert unit is not None
        for i, neuron in enumerate(group):
            neuron.map_to_core(_core(architecture, unit.first_core + i // unit.columns_per_core, same.placement))
    simulated = sanafe.SpikingChip(architecture)
    simulated.load(network)
    result = simulated.sim(TIMESTEPS, timing_model=timing, perf_trace=True)
    joules, inputs = result["energy"], int(same.inputs.sum())
    return Side(
        spikes=result["neurons_fired"] - inputs,
        updates=result["neurons_updated"] - inputs,
        packets=result["packets_sent"],
        hops=sum(result["perf_trace"]["hops"]),
        synapse_pj=joules["synapse"] * 1e12,
        soma_pj=joules["soma"] * 1e12,
        network_pj=joules["network"] * 1e12,
        step_ns=result["sim_time"] / TIMESTEPS * 1e9,
    )


def _core(architecture: Any, core: int, placement: Placement) -> Any:
    """Our core on SANA-FE's chip: tiles are numbered down its columns there, to and fro along the rows here."""
    assert placement.mesh is not None
    columns, rows, cores = placement.mesh
    tile, offset = divmod(core, cores)
    y, along = divmod(tile, columns)
    x = along if y % 2 == 0 else columns - 1 - along
    return architecture.tiles[x * rows + y].cores[offset]


def table() -> str:
    """Both sides and their differences, in Markdown."""
    mine = ours()
    sides = [mine.side, theirs(mine), theirs(mine, "simple")]
    rows = ["| | ours | SANA-FE | difference |", "|---|---|---|---|"]
    names = {
        "spikes": "spikes", "updates": "neuron updates, active", "packets": "packets", "hops": "hops between tiles",
        "synapse_pj": "synapses, pJ", "soma_pj": "neurons, pJ", "network_pj": "network, pJ",
    }  # fmt: skip
    for field, label in names.items():
        a, b = (getattr(side, field) for side in sides[:2])
        rows.append(f"| {label} | {a:,.0f} | {b:,.0f} | {_percent(a, b)} |")
    for label, other in (("a step, ns, queues in the mesh", sides[1]), ("a step, ns, no queues", sides[2])):
        rows.append(
            f"| {label} | {mine.side.step_ns:,.0f} | {other.step_ns:,.0f} | {_percent(mine.side.step_ns, other.step_ns)} |"
        )
    return "\n".join(rows)


def _percent(a: float, b: float) -> str:
    return "none" if round(a) == round(b) else f"{100 * (a / b - 1):+.2f} %"


if __name__ == "__main__":
    print(table())
