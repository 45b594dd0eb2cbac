"""Writing residual spaces in the basis of their principal components, which is the same mathematics and takes fewer events.

A neuron behind a norm sends one event for each channel that is far from what is expected. In the basis of the principal
components most of what varies is in few channels, and the errors of those that stay silent no longer add up, for
components are uncorrelated. The basis is folded into the weights of whatever writes and reads: with Q (size, size)
orthonormal and P = I - 1 1^T / size for norms that centre, writers W become Q P W, readers W diag(weight) Q^T, and the
norm is an RMS norm without parameters.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ecmt_deploy.conversion.calibration.tools.answers import samples_at_once
from ecmt_deploy.conversion.calibration.tools.expectation import add_constant
from ecmt_deploy.conversion.calibration.tools.spaces import NORMS, Reader, Space, residual_spaces
from ecmt_deploy.conversion.lowering import Lowered
from ecmt_deploy.conversion.lowering.builder import unmeasured
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program, ops, verify
from ecmt_deploy.program.graph import edges, reconnect
from ecmt_deploy.program.ops import Op

log = logging.getLogger(__name__)
#: MACs that may be spent on giving back channels as they were, as a share of those of the layers that read the space
RESTORING = 0.05
#: the readout may change by rounding alone: by this share of its largest magnitude, in the dtypes that programs have
TOLERANCES = {"float32": 1e-3, "float64": 1e-9}


def rotated(lowered: Lowered, x: Tensor) -> Lowered:
    """The same mathematics with every residual space in the basis of its principal components over samples.

    Parameters
    ----------
    lowered : an analog program with the places of its neurons
    x : samples (N, *input shape)

    Where rounding would change the answers, as with activations that are massive beyond the digits of the dtype, the program is
    left as it is, with a warning.
    """
    program = lowered.program
    worthwhile = [space for space in residual_spaces(program) if _is_worthwhile(program, space)]
    if not worthwhile:
        return lowered
    bases = _principal_components(program, worthwhile, x)
    made = lowered
    for found, basis in zip(worthwhile, bases, strict=True):
        # looked for anew: a layer that reads the space before may write to this one, and have a bias since
        space = next(space for space in residual_spaces(made.program) if space.norms == found.norms)
        made = _in_basis(made, space, basis)
    return made if same_answers(lowered, made, x) else lowered


def same_answers(lowered: Lowered, made: Lowered, x: Tensor) -> bool:
    """Whether a program rewritten in other bases differs by rounding alone, and hardly; warns where it does not."""
    program = lowered.program
    few = x[: samples_at_once(program)]
    before, after = (SpikingModel(each.program).analog(few) for each in (lowered, made))
    error = float((before - after).abs().max() / before.abs().max().clamp(min=1e-30))
    same = error <= TOLERANCES[program.dtype.name]
    if not same:
        log.warning(
            "in the basis of its principal components the program would differ from the model by %.1e of its largest output, by"
            " rounding alone; it stays in the basis of the model and takes more events (convert model.double() for fewer)",
            error,
        )
    return same


def _is_worthwhile(program: Program, space: Space) -> bool:
    """Whether giving back channels as they were takes few MACs beside those of the layers that read."""
    layers = {layer for reader in space.readers for layer in reader.layers}
    streams = {reader.stream for reader in space.readers if not reader.layers}
    restoring = sum(prod(program.shapes[stream]) * space.size for stream in streams)
    return bool(layers) and restoring <= RESTORING * sum(program.work(layer).dense_macs for layer in layers)


def _principal_components(program: Program, spaces: list[Space], x: Tensor) -> list[np.ndarray]:
    """Of what the norms of each space give, about its mean at every row, the components (size, size), the largest first."""
    sources = {program.operands[norm][0]: space for space in spaces for norm in space.norms}
    eps = {program.operands[norm][0]: float(program.nodes[norm].parameters["eps"]) for space in spaces for norm in space.norms}
    sums: dict[str, Tensor] = {}
    squares = {source: torch.zeros(space.size, space.size, dtype=torch.float64) for source, space in sources.items()}

    def observe(name: str, value: Tensor) -> None:
        if name in sources:
            value = value.double()
            if NORMS[program.nodes[sources[name].norms[0]].function]:
                value = value - value.mean(dim=-1, keepdim=True)
            given = functional.rms_norm(value, value.shape[-1:], eps=eps[name])
            sums[name] = sums.get(name, 0) + given.sum(dim=0)
            flat = given.flatten(0, -2)
            squares[name] += flat.T @ flat

    engine = SpikingModel(program)
    for part in x.split(samples_at_once(program)):
        engine.trace(part, observe)
    found = []
    for space in spaces:
        total = torch.zeros(space.size, space.size, dtype=torch.float64)
        for source in (program.operands[norm][0] for norm in space.norms):
            mean = sums[source].reshape(-1, space.size)
            covariance = squares[source] - mean.T @ mean / len(x)
            total += covariance / covariance.trace().clamp(min=1e-300)
        found.append(torch.linalg.eigh(total).eigenvectors.flip(1).T.numpy())
    return found


def _in_basis(lowered: Lowered, space: Space, basis: np.ndarray) -> Lowered:
    """One space in a basis (size, size), a row a component."""
    program, axes = lowered.program, dict(lowered.channel_axes)
    nodes: dict[str, Any] = dict(program.nodes)
    operands = dict(program.operands)
    centres = NORMS[program.nodes[space.norms[0]].function]
    written = basis - basis.mean(axis=1, keepdims=True) if centres else basis
    for name in space.writers:
        gain = space.gains.get(name, np.ones(space.size))
        nodes[name] = _turned(nodes[name], written * gain, space.axes[name])
    for name in space.scales:
        reconnect(nodes, operands, name, operands[name][0])
        del nodes[name], operands[name]
    for name in space.norms:
        kept = {key: program.nodes[name].parameters[key] for key in ("eps", "normalized_axes")}
        nodes[name] = replace(nodes[name], function="rms_norm", parameters=kept)
    changed: set[str] = set()
    for reader in space.readers:
        given = program.nodes[reader.norm].parameters
        weight, bias = (np.asarray(given.get(key, start), np.float64) for key, start in (("weight", 1.0), ("bias", 0.0)))
        for name in (name for name in reader.layers if name not in changed):
            own = program.nodes[name].weight
            nodes[name] = replace(nodes[name], weight=((own * weight) @ basis.T).astype(own.dtype))
            if bias.any():
                lacking = (own @ np.broadcast_to(bias, space.size)).astype(own.dtype)
                add_constant(nodes, operands, name, np.broadcast_to(lacking, program.shapes[name]))
            changed.add(name)
        if not reader.layers:
            back = basis.T * np.broadcast_to(weight, space.size)[:, None]
            _restore(nodes, operands, axes, program, reader, back, np.broadcast_to(bias, space.size))
    made = verify(nodes, edges(operands), program.provenance)
    return replace(lowered, program=made, channel_axes=axes)


def _turned(node: Op, written: np.ndarray, axis: int) -> Op:
    """A writer whose output along an axis is multiplied by a matrix (size, size)."""
    field = "value" if node.role == "constant" else "weight"
    array = getattr(node, field)
    along = axis if node.role == "constant" else int(node.takes_tokens)  # a table has a row for each id
    turned = np.moveaxis(np.tensordot(written, array.astype(np.float64), axes=(1, along)), 0, along)
    made: Op = replace(node, **{field: turned.astype(array.dtype)})
    return made


def _restore(
    nodes: dict[str, Op], operands: dict[str, tuple[str, ...]], axes: dict[str, int | None], program: Program,
    reader: Reader, weight: np.ndarray, bias: np.ndarray,
) -> None:  # fmt: skip
    """Give a taker the channels as they were: a linear layer behind neurons, shared by all who take the same stream."""
    stream, dtype = reader.stream, program.dtype
    name = f"{reader.norm}.restored" if stream == reader.norm else f"{stream}.restored"
    if name not in nodes:
        nodes[f"{name}.neuron"], operands[f"{name}.neuron"] = unmeasured(dtype), (stream,)
        axes[f"{name}.neuron"] = len(program.shapes[stream]) - 1
        nodes[name], operands[name] = ops.LastAxisLinear(weight.astype(dtype)), (f"{name}.neuron",)
        if bias.any():
            add_constant(nodes, operands, name, np.broadcast_to(bias.astype(dtype), program.shapes[stream]))
    last = f"{name}.expected_add"
    reconnect(nodes, operands, stream, last if last in nodes else name, [reader.taker])
