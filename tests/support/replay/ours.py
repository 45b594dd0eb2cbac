"""What we make of the same spikes: counts of the run, hops of the placement's routes, prices and times of the chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ecmt_deploy.estimation import energy
from ecmt_deploy.estimation.routing import traffic
from ecmt_deploy.estimation.timing import timing
from ecmt_deploy.program.activity import Activity, Counts
from tests.support.replay.loads import Cores
from tests.support.replay.workload import Workload


class Estimated(NamedTuple):
    """Our figures of what is replayed, over all samples.

    Attributes
    ----------
    synops, spikes, packets, hops : counts; packets and hops by the routes, which average over a node's elements
    synapse_pj, soma_pj, network_pj : energies
    steps_ns : length of every step: the longest of its cores, with the barrier
    averaged_ns : mean length of a step by the counts of the run, even over the elements of a node: what there is without loads
    """

    synops: int
    spikes: int
    packets: float
    hops: float
    synapse_pj: float
    soma_pj: float
    network_pj: float
    steps_ns: np.ndarray
    averaged_ns: float


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
        steps_ns=step_ns(work, loads),
        averaged_ns=averaged_ns(work),
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


def step_ns(work: Workload, loads: Cores) -> np.ndarray:
    """Length of every step: a core takes in what arrives while it updates neurons and sends, and the longer of both counts; the
    busiest core of a step, then the barrier."""
    times = {name: time.value for name, time in work.chip.times.items()}
    receiving = loads.synops * times["synop_ns"] + loads.packets_in * times["message_in_ns"]
    sending = (
        loads.active * times["neuron_update_active_ns"]
        + (loads.outputs - loads.active) * times["neuron_update_idle_ns"]
        + loads.spikes * times["spike_ns"]
        + loads.packets * times["message_ns"]
    )
    return np.maximum(receiving, sending).max(axis=1) + barrier_ns(work)


def barrier_ns(work: Workload) -> float:
    """Of all tiles in use, between the published points in proportion."""
    assert work.placement.mesh is not None
    tiles = -(-work.placement.cores // work.placement.mesh[2])
    points = work.chip.barrier
    return float(np.interp(tiles, [p.tiles for p in points], [p.time.value for p in points]))


def averaged_ns(work: Workload) -> float:
    """A step as ``energy`` has it from the counts of what is replayed."""

    def replayed(nodes: Mapping[str, Counts]) -> dict[str, Counts]:
        kept = dict.fromkeys(nodes, Counts())
        kept.update({name: nodes[name] for name in work.spikes})
        return kept | {name: Counts(synops=nodes[name].synops) for name in work.consumers}

    whole = work.activity
    counts = Activity(whole.n_samples, whole.timesteps, replayed(whole.nodes), steps=tuple(map(replayed, whole.steps)))
    found = timing(counts, work.program, work.chip, work.placement)
    assert found is not None
    return found.step_us.value * 1e3
