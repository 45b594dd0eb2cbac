"""Lava processes of spiking transformers: multi-threshold neurons, synapses, and expectation compensation with its
accumulators as state. Usable on their own: connect ``s_out`` to ``in_0``, ``in_1``, .. of another process and run.

A spike stream's message is the array of spikes; an analog stream's is (2, *shape): the values, and where they changed.
"""

from targets.lava.library.processes import (
    CompensatedProduct,
    ExpectationCompensation,
    MultiThresholdNeuron,
    NodeProcess,
    Sample,
    Sink,
    process_for,
)

__all__ = [
    "CompensatedProduct",
    "ExpectationCompensation",
    "MultiThresholdNeuron",
    "NodeProcess",
    "Sample",
    "Sink",
    "process_for",
]
