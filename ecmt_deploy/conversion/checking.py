"""Whether a model can be converted, without data: what it is captured and lowered to, and what a program of it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from ecmt_deploy.config import ConvertConfig, Preset, preset_names
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import Captured, capture
from ecmt_deploy.conversion.decomposition import decomposed
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.conversion.preparing import prepare
from ecmt_deploy.conversion.samples import named_samples
from ecmt_deploy.errors import CaptureError, EcmtError, Refused
from ecmt_deploy.program import Program, Provenance, verify
from ecmt_deploy.program.graph import edges
from ecmt_deploy.program.inputs import Inputs
from ecmt_deploy.shown import Brief

#: bytes of one word of state
WORD_BYTES = 4


class PresetNeeds(msgspec.Struct, frozen=True):
    """What a program of one preset takes.

    Attributes
    ----------
    preset, coding : the preset and the coding of its programs
    timesteps : steps T that it is meant for; an element sends at most one spike a step
    spikes_per_element : spikes that one element of a neuron sends in an inference, at most
    spike_bits : bits that tell its spikes apart, at most
    state_bytes : membranes, accumulators and running sums, in words of 4 bytes
    refused : why there is no such program; ``None`` where there is
    """

    preset: str
    coding: str
    timesteps: int
    spikes_per_element: int
    spike_bits: int
    state_bytes: int | None
    refused: str | None = None


class Checked(Brief, msgspec.Struct, frozen=True):
    """Whether a model can be converted, and what it amounts to.

    Attributes
    ----------
    model : what it is called
    parameters : numbers in its parameters
    inputs : what it takes, (shape of a sample) or named inputs, in words
    reason : why it cannot be converted, in one line; ``None`` where it can
    refused : the operations that cannot be converted, in the order of the model; empty where it can, or where the model as a
        whole cannot be captured
    nodes : nodes of the analog program, ``None`` as all that follow where there is none
    macs : multiply-accumulates of the network for one sample
    encoding_macs : those of them that take the analog input, once per inference
    neurons, neuron_layers : elements with a neuron, and the streams they are in
    operations : what it computes besides wiring, and how many nodes do
    presets : what a program of each preset takes
    """

    model: str
    parameters: int
    inputs: str
    reason: str | None = None
    refused: tuple[Refused, ...] = ()
    nodes: int | None = None
    macs: int | None = None
    encoding_macs: int | None = None
    neurons: int | None = None
    neuron_layers: int | None = None
    operations: dict[str, int] = {}
    presets: tuple[PresetNeeds, ...] = ()

    @property
    def converts(self) -> bool:
        """Whether it can be converted."""
        return self.reason is None


@dataclass(frozen=True)
class Unmeasured:
    """Programs of a model before anything is measured: the neurons of each are the widest of its preset.

    Attributes
    ----------
    analog : the analog program by coding, and by whether its last layer is analog; or why there is none
    """

    analog: dict[tuple[str, bool], Program | EcmtError]

    @classmethod
    def of(cls, captured: Captured, dtype: torch.dtype, presets: Sequence[Preset]) -> Unmeasured:
        """Lower a captured model for every preset."""
        made: dict[tuple[str, bool], Program | EcmtError] = {}
        for preset in presets:
            key = (preset.coding, preset.analog_readout_layer)
            if key in made:
                continue
            try:
                origin = Provenance(tool_version=version("ecmt-deploy"))
                made[key] = lower(captured, preset.coding, dtype, origin, preset.analog_readout_layer).program
            except EcmtError as error:
                made[key] = error
        return cls(made)

    def program(self, preset: Preset) -> Program:
        """The program of a preset; raises why there is none."""
        analog = self.analog[preset.coding, preset.analog_readout_layer]
        if not isinstance(analog, Program):
            raise analog
        neuron = preset.widest_neuron(analog.dtype)
        nodes = {name: neuron if name in analog.neurons else node for name, node in analog.nodes.items()}
        return verify(nodes, edges(analog.operands), analog.provenance)


def check(model: nn.Module, samples: Any, name: str, output: str | None = None) -> tuple[Checked, Unmeasured | None]:
    """Capture and lower a model, and count what it takes.

    Parameters
    ----------
    model : the module, in eval mode
    samples : (1 or more, *shape of a sample), of any values; or a mapping of such, one for each input of the model
    name : what to call the model
    output : the name of the answer that is meant, see :func:`ecmt_deploy.conversion.calling.called`

    Returns
    -------
    what is found, and the programs it was found on; ``None`` where there are none

    Raises
    ------
    ModelError, DataError
        if this is no module to convert at all, or it does not take such a sample.
    """
    prepared = prepare(model)
    floating = (parameter.dtype for parameter in prepared.model.parameters() if parameter.is_floating_point())
    (given, *_), inputs, booleans = named_samples(samples, prepared.model)
    sample = torch.from_numpy(given).to(next(floating, torch.float32))
    size = sum(parameter.numel() for parameter in model.parameters())
    base = Checked(name, size, _in_words(sample, inputs))
    try:
        presets = [ConvertConfig(preset) for preset in preset_names()]
        captured = decomposed(capture(called(prepared, sample, inputs, output, booleans), sample), sample.dtype)
        made = Unmeasured.of(captured, sample.dtype, presets)
        failures = [found for found in made.analog.values() if isinstance(found, EcmtError)]
        if len(failures) == len(made.analog):
            raise failures[0]
    except CaptureError as error:
        return msgspec.structs.replace(base, reason=str(error), refused=error.refused), None
    return _counted(base, next(found for found in made.analog.values() if isinstance(found, Program)), made, presets), made


def _in_words(sample: Tensor, inputs: Inputs | None) -> str:
    named = [("", tuple(sample.shape[1:]))] if inputs is None else [(f"{one.name} ", one.shape) for one in inputs]
    return ", ".join(name + " x ".join(map(str, shape)) for name, shape in named)


def _counted(base: Checked, analog: Program, made: Unmeasured, presets: Sequence[Preset]) -> Checked:
    macs = {node: analog.work(node).dense_macs for node in analog.nodes}
    operations: dict[str, int] = {}
    for node in analog.nodes.values():
        if node.role in ("synapse", "function", "product"):
            layer = node.kind.lower() if node.layer == "elements" else node.layer
            kind = layer if node.role == "synapse" else node.detail + (" of activations" if node.role == "product" else "")
            operations[kind] = operations.get(kind, 0) + 1
    return msgspec.structs.replace(
        base,
        nodes=len(analog.nodes),
        macs=sum(macs.values()),
        encoding_macs=sum(macs[node] for node in analog.encoding),
        neurons=sum(prod(analog.shapes[node]) for node in analog.neurons),
        neuron_layers=len(analog.neurons),
        operations=dict(sorted(operations.items(), key=lambda found: (-found[1], found[0]))),
        presets=tuple(_needs(preset, made) for preset in presets),
    )


def _needs(preset: Preset, made: Unmeasured) -> PresetNeeds:
    state, refused = None, None
    try:
        program = made.program(preset)
        words = sum(prod(shape) for node in program.nodes for shape in program.state(node).values())
        state = WORD_BYTES * words
    except EcmtError as error:
        refused = str(error)
    return PresetNeeds(preset.name, preset.coding, preset.timesteps, preset.timesteps, preset.spike_bits, state, refused)
