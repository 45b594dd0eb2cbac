"""What a run on cores counted, as every target says it."""

from __future__ import annotations

from ecmt_deploy.program.activity import Activity, summed

from .running import Machine


def activity(machine: Machine, samples: int) -> Activity:
    """Counts of every node over all cores, at each step of the program and altogether."""
    counted = {name: machine.counts(name) for name in machine.layout.nodes}
    steps = tuple({name: counts[t] for name, counts in counted.items()} for t in range(machine.timesteps))
    return Activity(samples, machine.timesteps, summed(steps), steps=steps)
