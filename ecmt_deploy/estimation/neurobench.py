"""NeuroBench's algorithm metrics of a run, under NeuroBench's names (docs/neurobench.md says where the counts differ)."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, prod

import msgspec
import numpy as np

from ecmt_deploy.errors import RunError
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.program.parameters import network_parameters, state_bits

#: an empty sum of synaptic operations, with the names that NeuroBench gives them
_NONE = {"Effective_MACs": 0.0, "Effective_ACs": 0.0, "Dense": 0.0}


class NeuroBench(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What NeuroBench (Yik et al., Nature Communications 2025) calls the complexity of an algorithm.

    Attributes
    ----------
    footprint : bytes of all parameters and of the state of one sample
    parameter_count : numbers that the network was given: weights, biases, parameters of functions; no thresholds
    connection_sparsity : share of weights that are zero; ``None`` without weights
    activation_sparsity : share of zeros in what neurons sent, over neurons, steps and samples; ``None`` without neurons
    synaptic_operations : of layers with weights, per inference: ``Effective_MACs`` by operands that are not binary,
        ``Effective_ACs`` by binary spikes, and ``Dense``, as if nothing were zero
    membrane_updates : neurons whose membrane a step may have changed, all at the first, per inference; ``None`` of counts
        without steps
    classification_accuracy : share of the samples right after the last step; ``None`` where it is unknown
    product_operations : the same as ``synaptic_operations`` of products of two streams, which NeuroBench does not count
    """

    footprint: int
    parameter_count: int
    connection_sparsity: float | None
    activation_sparsity: float | None
    synaptic_operations: dict[str, float]
    membrane_updates: float | None
    classification_accuracy: float | None
    product_operations: dict[str, float]


def neurobench(activity: Activity, program: Program, accuracy: float | None = None) -> NeuroBench:
    """The metrics of counts of a program.

    Parameters
    ----------
    activity : counts over at least one sample
    program : what they are of
    accuracy : share of the samples right after the last step, where it is known

    Raises
    ------
    RunError
        if the counts are over no samples, or of another program.
    """
    if set(activity.keys()) != set(program.nodes):
        raise RunError("the counts are not of this program: their nodes differ; run it again with this program")
    if activity.n_samples < 1:
        raise RunError("the counts are over no samples; run the program on at least one")
    weights = [program.nodes[name].weight for name in program.of_role("synapse")]
    elements = sum(prod(program.shapes[name]) for name in program.neurons)
    spikes = sum(activity[name].spikes for name in program.neurons)
    total = sum(weight.size for weight in weights)
    return NeuroBench(
        footprint=_footprint(program),
        parameter_count=sum(network_parameters(program, name) for name in program.nodes),
        connection_sparsity=1 - sum(int(np.count_nonzero(weight)) for weight in weights) / total if total else None,
        activation_sparsity=1 - spikes / (elements * activity.timesteps * activity.n_samples) if elements else None,
        synaptic_operations=_operations(activity, program, program.of_role("synapse")),
        membrane_updates=_updates(activity, program),
        classification_accuracy=accuracy,
        product_operations=_operations(activity, program, program.of_role("product")),
    )


def _updates(activity: Activity, program: Program) -> float | None:
    """Neurons that a step updated; where each inference begins anew its first step updates all of them."""
    if not activity.steps:
        return None
    active = sum(activity[name].neuron_updates_active for name in program.neurons)
    begins = 0 if activity.continued else sum(activity.steps[0][name].neuron_updates_idle for name in program.neurons)
    return (active + begins) / activity.n_samples


def _footprint(program: Program) -> int:
    """Arrays as they are stored, and what nodes remember, in their own width or that of the program."""
    stored = sum(array.nbytes for node in program.nodes.values() for array in parameters(node))
    return stored + ceil(sum(state_bits(program, name) for name in program.nodes) / 8)


def _operations(activity: Activity, program: Program, names: Iterable[str]) -> dict[str, float]:
    """Operations per inference; events are accumulations where they are binary, as NeuroBench has it."""
    found = dict(_NONE)
    for name in names:
        counts = activity[name]
        once = name in program.encoding or name in program.exact
        found["Dense"] += program.work(name).dense_macs * (1 if once else activity.timesteps)
        found["Effective_ACs" if _binary(program, name) else "Effective_MACs"] += counts.synops / activity.n_samples
        found["Effective_MACs"] += counts.macs / activity.n_samples
    return found


def _binary(program: Program, name: str) -> bool:
    """Whether all events that reach a node are of one size: they are ones, and the size is part of the weight."""
    operands = program.spiking.intersection(program.operands[name])
    emitters = frozenset[str]().union(*(program.emitters[operand] for operand in operands))
    return all(program.nodes[emitter].levels_apart == 1 for emitter in emitters)
