"""What we make of the same spikes: counts of the run, hops of the placement's routes, prices and times of the chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ecmt_deploy.estimation import energy
from ecmt_deploy.estimation.routing import traffic
from ecmt_deploy.estimation.timing import timing
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.program.activity import Activity, Counts
from tests.support.replay.loads import Cores
from tests.support.replay.workload import Workload


class Estimated(NamedTuple):
    """Our figures of what is replayed, over all samples.

    Attributes
    ----------
    synops, spikes, packets, hops : counts; packets and hops by the routes, which average over a node's elements
    synapse_pj, soma_pj, network_pj : energies
    steps_ns : length of every step, from the events of every core
    spread_ns : the same from the counts of every step alone, spread over the cores
    """

    synops: int
    spikes: int
    packets: float
    hops: float
    synapse_pj: float
    soma_pj: float
    network_pj: float
    steps_ns: np.ndarray
    spread_ns: np.ndarray


def estimated(work: Workload, loads: Cores) -> Estimated:
    """Ours."""
    samples, chip = work.activity.n_samples, work.chip
    rows = {row.node: row.components_pj for row in energy(work.activity, work.program, chip, work.placement).rows}
    sent = [t for t in traffic(work.activity, work.program, chip, work.placement) if t.source in work.spikes]
    assert {t.target for t in sent} == set(work.consumers), "a spike goes to what is not replayed"
    synapses = (rows[name].get(c) for name in work.consumers for c in ("synapse", "product"))
    return Estimated(
        synops=sum(work.activity[name].synops for name in work.consumers),
        spikes=sum(work.activity[name].spikes for name in work.spikes),
        packets=sum(t.packets for t in sent) * samples,
        hops=sum(t.hops_ew + t.hops_ns for t in sent) * samples,
        synapse_pj=sum(energy.value for energy in synapses if energy is not None) * samples,
        soma_pj=soma_pj(work, loads, loads.active),
        network_pj=sum(rows[name]["routing"].value for name in work.spikes) * samples,
        steps_ns=step_ns(work, as_loads(work, loads)),
        spread_ns=step_ns(work, None),
    )


def soma_pj(work: Workload, loads: Cores, active: np.ndarray) -> float:
    """Energy of the updates of the outputs that synapses drive, and of the spikes that drive them.

    Parameters
    ----------
    active : updates that something arrived for, (steps, cores); all others are idle
    """
    prices = {name: price.value for name, price in work.chip.prices.items()}
    idle = loads.outputs.sum() * len(active) - active.sum()
    updates = active.sum() * prices["neuron_update_active_pj"] + idle * prices["neuron_update_idle_pj"]
    return float(updates + loads.spikes.sum() * prices["spike_pj"])


def step_ns(work: Workload, loads: Loads | None) -> np.ndarray:
    """Length of every step of a full pipeline, as ``energy`` has it, of what is replayed.

    Parameters
    ----------
    loads : what every core does in every step; without it the counts of the steps are spread over the cores
    """
    found = timing(_of_replayed(work), work.program, work.chip, work.placement, loads)
    assert found is not None
    return np.array([phase.us.value * 1e3 for phase in found.phases])


def overlapped_ns(work: Workload, loads: Cores) -> np.ndarray:
    """Length of every step by SANA-FE's rules without queues: a core takes in packets while it updates and sends, and the
    longer of both counts; the barrier is that of the last published point that is not beyond the tiles in use."""
    times = {name: time.value for name, time in work.chip.times.items()}
    receiving = loads.synops * times["synop_ns"] + loads.packets_in * times["message_in_ns"]
    updates = (
        loads.reached * times["neuron_update_active_ns"] + (loads.outputs - loads.reached) * times["neuron_update_idle_ns"]
    )
    sending = updates + loads.spikes * times["spike_ns"] + loads.packets * times["message_ns"]
    assert work.placement.mesh is not None
    tiles = -(-work.placement.cores // work.placement.mesh.cores)
    barrier = max((point.tiles, point.time.value) for point in work.chip.barrier if point.tiles <= tiles)[1]
    return np.maximum(receiving, sending).max(axis=1) + barrier


def as_loads(work: Workload, cores: Cores) -> Loads:
    """What is replayed, as a run on cores measures it: the steps of a full pipeline are the first of the chip's."""
    steps, samples = work.loads.steps, work.activity.n_samples

    def table(amounts: np.ndarray) -> np.ndarray:
        together = amounts.reshape(samples, -1, amounts.shape[1]).sum(axis=0)
        return np.concatenate([together, np.zeros((steps - len(together), amounts.shape[1]), np.int64)])

    actions = {
        "synops": cores.synops, "packets": cores.packets, "packets_in": cores.packets_in, "spikes": cores.spikes,
        "neuron_updates_active": cores.active, "neuron_updates_idle": cores.outputs - cores.active,
    }  # fmt: skip
    nothing = np.zeros((steps, 0), np.int64)
    return Loads({name: table(amounts) for name, amounts in actions.items()}, nothing, (), samples)


def _of_replayed(work: Workload) -> Activity:
    """The counts of what is replayed, and none of anything else."""

    def kept(nodes: Mapping[str, Counts]) -> dict[str, Counts]:
        found = {name: Counts() for name in nodes}
        found.update({name: nodes[name] for name in work.spikes})
        found.update({name: Counts(synops=nodes[name].synops) for name in work.consumers})
        return found

    activity = work.activity
    return Activity(activity.n_samples, activity.timesteps, kept(activity.nodes), steps=tuple(map(kept, activity.steps)))
