"""What a run on cores counted, as every target says it."""

from __future__ import annotations

from functools import reduce

from ecmt_deploy.program.activity import Activity, Counts

from .running import Machine


def activity(machine: Machine, samples: int) -> Activity:
    """Counts of every node over all cores."""
    nodes = {name: reduce(Counts.__add__, machine.counts(name)) for name in machine.layout.nodes}
    return Activity(samples, machine.timesteps, nodes)
