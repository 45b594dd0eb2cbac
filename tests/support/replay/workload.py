"""The spikes of a placed program that ran, and the synapses they meet, core by core: what is replayed.

Synapses follow from the program's equations and the core of every element: nothing of them asks what the run counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

from ecmt_deploy.chips import Hardware, hardware
from ecmt_deploy.placement import Placement, place
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.placement.placed import Placed, placed
from ecmt_deploy.placement.streams import Operand
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.targets.cores import CoresTarget

CHIP = "loihi1_sanafe"
#: payload of a graded spike on the chip that graded programs are replayed on: as wide as integer programs have
PAYLOAD_BITS = 16


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses from the elements of one neuron node to the outputs of one layer.

    Attributes
    ----------
    emitter, consumer : names of the nodes
    elements, outputs : a synapse from element to output each, flat in the nodes' streams
    """

    emitter: str
    consumer: str
    elements: np.ndarray
    outputs: np.ndarray


@dataclass(frozen=True, eq=False)
class Workload:
    """A run on cores.

    Attributes
    ----------
    program, placed, placement, chip : what ran, where it lies and the numbers of that, on which chip
    activity, loads : what target ``cores`` counted, node by node and core by core
    projections : of the nodes that are replayed
    spikes : by neuron node what it sent, (samples x steps, elements)
    """

    program: Program
    placed: Placed
    placement: Placement
    chip: Hardware
    activity: Activity
    loads: Loads
    projections: tuple[Projection, ...]
    spikes: dict[str, np.ndarray]

    @property
    def consumers(self) -> tuple[str, ...]:
        """The layers whose synapses are replayed."""
        return tuple(dict.fromkeys(p.consumer for p in self.projections))

    @property
    def period(self) -> int:
        """Steps that are replayed: those of all samples, one after another."""
        return len(next(iter(self.spikes.values())))

    def core_of(self, name: str) -> np.ndarray:
        """The core that computes each element of a node's stream, flat."""
        return self.placed.populations[name].core_of

    @cached_property
    def trains(self) -> dict[str, np.ndarray]:
        """What each node sent in every step of the chip, (steps, elements).

        The pipeline is full, of these samples over and over: in a step of the chip a node at place d is d - 1 of the program's
        steps behind the first.
        """
        return {name: np.roll(sent, self.placed.places[name] - 1, axis=0) for name, sent in self.spikes.items()}


def workload(program: Program, x: np.ndarray, timesteps: int, blocks: tuple[str, ...]) -> Workload:
    """An integer program run on its cores, whose layers under the module paths ``blocks`` are replayed.

    Parameters
    ----------
    x : (samples, *input shape)
    """
    chip = replayed_on(program)
    where = placed(program, chip)
    consumers = [
        name
        for name, node in program.nodes.items()
        if name.startswith(blocks)
        and node.layer in ("linear", "matmul")
        and set(program.operands[name]) <= set(program.spiking)
    ]
    projections = tuple(
        projection
        for name in consumers
        for k, operand in enumerate(where.populations[name].operands)
        for projection in _projections(program, name, k, operand)
    )
    probes = [f"{name}:spikes" for name in dict.fromkeys(p.emitter for p in projections)]
    run = simulate(program, x, CoresTarget(), timesteps, "fixed", hardware=chip, allow_misfit=True, probes=probes)
    assert run.loads is not None
    spikes = {p.node: np.asarray(values).reshape(len(x) * timesteps, -1) for p, values in run.probes.items()}
    return Workload(program, where, place(program, chip), chip, run.activity, run.loads, projections, spikes)


def replayed_on(program: Program) -> Hardware:
    """``loihi1_sanafe``; for graded programs with a payload in its spikes, which is all it lacks."""
    chip = hardware(CHIP)
    if not any(program.nodes[name].graded for name in program.neurons):
        return chip
    payload = chip.limits.graded_payload_bits
    assert payload is not None
    wider = msgspec.structs.replace(payload, value=float(PAYLOAD_BITS))
    return msgspec.structs.replace(chip, limits=msgspec.structs.replace(chip.limits, graded_payload_bits=wider))


def _projections(program: Program, name: str, k: int, operand: Operand) -> list[Projection]:
    """Synapses of one operand: a linear map takes an element to all outputs of its row; a product of matrices takes one of the
    left operand to its row, one of the right operand to its column, of its head."""
    out = np.arange(int(np.prod(program.shapes[name]))).reshape(program.shapes[name])
    shape = operand.shape
    if program.nodes[name].layer == "matmul" and k == 1:
        reached = np.broadcast_to(np.swapaxes(out, -1, -2)[..., None, :, :], (*shape, out.shape[-2]))
    else:
        reached = np.broadcast_to(out[..., None, :], (*shape, out.shape[-1]))
    reached = reached.reshape(-1, reached.shape[-1])
    found = []
    for emitter, places in operand.sources.items():
        elements = np.arange(len(reached)) if places is None else places.ravel()
        here = elements >= 0
        pairs = np.repeat(elements[here], reached.shape[1]), reached[here].ravel()
        found.append(Projection(emitter, name, *pairs))
    return found
