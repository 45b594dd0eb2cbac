"""What a kernel counts: exact integers, which add."""

from __future__ import annotations

import msgspec

from ecmt_deploy.shown import Shown


class Counts(Shown, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts of one node, summed over samples and steps. All are exact integers; they add over batches and shards.

    Attributes
    ----------
    spikes : nonzero events emitted by a neuron node
    synops : weight accesses (or output terms of a product) caused by spikes
    macs : multiply-accumulates with analog operands; the encoding layer's once per inference
    dense_macs : multiply-accumulates the ANN spends on the node (padding excluded), summed over inferences
    neuron_updates_active : neuron updates whose row changed or that fired
    neuron_updates_idle : neuron updates where nothing arrived and nothing fired
    ecm_ops : elements evaluated outside synapses and neurons, per kind of function
    messages : spike packets leaving the node
    analog_messages : analog values leaving the node, those of changed rows
    saturations : integers that did not fit the declared width and were clipped, in integer programs
    """

    spikes: int = 0
    synops: int = 0
    macs: int = 0
    dense_macs: int = 0
    neuron_updates_active: int = 0
    neuron_updates_idle: int = 0
    ecm_ops: dict[str, int] = {}
    messages: int = 0
    analog_messages: int = 0
    saturations: int = 0

    @property
    def neuron_updates(self) -> int:
        """Neuron updates, active and idle together."""
        return self.neuron_updates_active + self.neuron_updates_idle

    def __add__(self, other: Counts) -> Counts:
        kinds = sorted({*self.ecm_ops, *other.ecm_ops})
        sums = {name: getattr(self, name) + getattr(other, name) for name in INTEGER_COUNTS}
        ops = {kind: self.ecm_ops.get(kind, 0) + other.ecm_ops.get(kind, 0) for kind in kinds}
        return Counts(**sums, ecm_ops=ops)

    def differences(self, other: Counts) -> list[tuple[str, object, object]]:
        """Name and both values of every count in which they differ; of elements evaluated, of all kinds together."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in Counts.__struct_fields__)
        return [pair for pair in pairs if pair[1] != pair[2]]


INTEGER_COUNTS = tuple(name for name in Counts.__struct_fields__ if name != "ecm_ops")
