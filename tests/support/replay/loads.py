"""Events of every core in every step, counted from the spikes that are replayed and the synapses they meet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tests.support.replay.workload import Workload


class Cores(NamedTuple):
    """Events of every core in every step, each (steps, cores) but for ``outputs``, (cores,).

    Attributes
    ----------
    synops, packets, packets_in, spikes : synaptic events, messages that leave and that arrive, spikes
    hops_ew, hops_ns : hops of the packets that leave
    outputs : outputs that synapses drive: the neurons of a core
    active : those whose row an event reached, which is our rule
    reached : those that an event reached themselves
    """

    synops: np.ndarray
    packets: np.ndarray
    packets_in: np.ndarray
    spikes: np.ndarray
    hops_ew: np.ndarray
    hops_ns: np.ndarray
    outputs: np.ndarray
    active: np.ndarray
    reached: np.ndarray

    @classmethod
    def of(cls, work: Workload) -> Cores:
        """Counted core by core."""
        steps, cores = work.period, work.placement.cores
        _, column, row = work.placed.where
        made = {name: np.zeros((steps, cores), np.int64) for name in cls._fields}
        outputs = np.zeros(cores, np.int64)

        def count(name: str, t: int, where: np.ndarray, amounts: np.ndarray | None = None) -> None:
            made[name][t] += np.bincount(where, weights=amounts, minlength=cores).astype(np.int64)

        for name, sent in work.trains.items():
            for t in range(steps):
                count("spikes", t, work.core_of(name)[sent[t] != 0])
        for p in work.projections:
            of_element, target = work.core_of(p.emitter), work.core_of(p.consumer)[p.outputs]
            # a message goes to a core once, however many synapses it meets there
            elements, to = np.divmod(np.unique(p.elements * cores + target), cores)
            source = of_element[elements]
            assert (source != to).all(), "a spike to its own core is no packet here, and one there"
            for t in range(steps):
                fired = work.trains[p.emitter][t] != 0
                count("synops", t, target[fired[p.elements]])
                sends = fired[elements]
                count("packets", t, source[sends])
                count("packets_in", t, to[sends])
                count("hops_ew", t, source[sends], np.abs(column[source] - column[to])[sends])
                count("hops_ns", t, source[sends], np.abs(row[source] - row[to])[sends])
        for name in work.consumers:
            core, width = work.core_of(name), work.program.shapes[name][-1]
            outputs += np.bincount(core, minlength=cores)
            for t in range(steps):
                reached = np.zeros(len(core), bool)
                for p in work.projections:
                    if p.consumer == name:  # synapses work in the step a spike is sent in, neurons in the next
                        reached[p.outputs[(work.trains[p.emitter][t - 1] != 0)[p.elements]]] = True
                count("reached", t, core[reached])
                count("active", t, core[np.repeat(reached.reshape(-1, width).any(axis=1), width)])
        return cls(**{**made, "outputs": outputs})
