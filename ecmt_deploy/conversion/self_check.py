"""The analog program against the original model: conversion never changes the mathematics.

Two comparisons on at least two different samples. Lowered to float64, the program must reproduce every captured operation to
rounding, which tells exactly where a lowering is wrong; in the model's own dtype it must reproduce the module that was given,
which tells whether the capture is. The first never holds the model in float64: the captured graph and the program made of it
are computed side by side, operation by operation, and weights last as long as their operation.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from ecmt_deploy.conversion.calling import Calling
from ecmt_deploy.conversion.capture import Captured, arguments, evaluate, last_uses, module_path
from ecmt_deploy.conversion.lowering import Lowered, steps
from ecmt_deploy.conversion.lowering.builder import Activation, Builder, exact
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError, DataError, said
from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.program import ops
from ecmt_deploy.program.ops import Op

_logger = logging.getLogger(__name__)

#: relative to the largest magnitude of the tensor compared
FLOAT64_TOLERANCE = 1e-9
#: deep networks lose digits in float32; measured against the same computation in float64, see :func:`self_check`
FLOAT32_FLOOR = 1e-4
ROUNDING_FACTOR = 20.0
#: half precision differs from single by its rounding, layer after layer; by more than this many units it is another model
HALF_FACTOR = 64.0
FLOAT64 = np.dtype(np.float64)


def self_check(calling: Calling, captured: Captured, lowered: Lowered, samples: Tensor) -> None:
    """Compare the analog program with the captured graph and with the model itself, as its caller calls it.

    Parameters
    ----------
    calling : the model, and how it is called
    lowered : the captured model lowered to its own dtype; it is lowered to float64 anew here
    samples : packed (2 or more, ..)

    Raises
    ------
    ConversionError
        naming the first node that diverges, or the output.
    """
    in_double = torch.cat([_check_operations(calling, captured, lowered, sample) for sample in samples.double().split(1)])
    expected = calling(samples)
    found = SpikingModel(lowered.program).analog(samples)
    scale = max(float(expected.abs().max()), 1e-30)
    error = float((found - expected).abs().max()) / scale
    allowed = max(FLOAT32_FLOOR, ROUNDING_FACTOR * float((found - in_double).abs().max()) / scale)
    if not error <= allowed:
        raise ConversionError(
            f"the analog program differs from the model by {error:.1e} of its largest output (allowed {allowed:.1e}) although"
            " every captured operation agrees; torch.export captured something else than the model computes"
        )
    _check_half(calling, samples, expected)


def _check_half(calling: Calling, samples: Tensor, expected: Tensor) -> None:
    """Compare the model in the half precision that its caller has it in with what it answers in single precision."""
    half = calling.prepared.half
    if half is None:
        return
    try:
        found = calling.in_half(samples, half)
    except DataError as failure:  # the model's code may not run in half precision here
        _logger.info("%s: does not run in half precision on this machine (%s)", calling.name, said(failure))
        return
    error = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
    unit = max(torch.finfo(dtype).eps for dtype in calling.prepared.half_dtypes)
    _logger.info("%s: half precision differs from single by %.1e of the largest output", calling.name, error)
    if error > HALF_FACTOR * unit:  # infinities of half precision, which make no number of it, are its own
        raise ConversionError(
            f"in half precision the model differs from its float32 copy by {error:.1e} of its largest output (allowed"
            f" {HALF_FACTOR * unit:.1e}); it computes something else there, pass the model that is meant, model.float()"
        )


def _check_operations(calling: Calling, captured: Captured, lowered: Lowered, sample: Tensor) -> Tensor:
    """Check every captured operation in float64 on one sample (1, ...); the readout (1, ...).

    One by one, for where the batch is part of a longer axis, the sample is that axis. Each operation starts from the model's
    own values, so that a model which amplifies rounding is not taken for a wrong lowering further down.
    """
    given = dict(zip(captured.inputs, calling.tensors(sample), strict=True))
    arrays = {entry.name: given[place][0].numpy().astype(FLOAT64) for place, entry in captured.inputs.items()}
    builder = _Running(captured, lowered, arrays)
    values: dict[fx.Node, Any] = {}  # of the captured graph
    finished = last_uses(captured.graph)
    for node, activation in steps(captured, builder):
        if node.op == "placeholder":
            values[node] = given[node.name] if node.name in given else captured.constants[node.name]
        elif node.op == "output":
            readout: Tensor = values[node.all_input_nodes[0]].movedim(activation.batch, 0)
        else:
            values[node] = evaluate(node, *arguments(node, values, torch.float64))
            if isinstance(activation, Activation):
                expected = values[node] if activation.batch is None else values[node].squeeze(activation.batch)
                exact_values = expected.double().numpy()
                _compare(node, activation.name, builder.take(activation.name), exact_values)
                builder.correct(activation.name, exact_values)
        for name in finished[node]:
            values.pop(name, None)
    return readout


class _Running(Builder):
    """Builds the program in float64 and runs each node on a sample as soon as it is placed, neurons as identity.

    Arrays are let go once their node has run, streams once all have used them that ``lowered`` knows of.
    """

    def __init__(self, captured: Captured, lowered: Lowered, sample: Mapping[str, np.ndarray]) -> None:
        super().__init__(lowered.program.coding, torch.float64, captured.leaves)
        self.sample = sample
        self.streams: dict[str, np.ndarray] = {}
        taken = [source for sources in lowered.placed.values() for source in sources]
        self.uses = Counter([*taken, *(trace.name for trace in lowered.traces.values())])

    def array(self, value: Tensor | float | bool) -> np.ndarray:
        """A constant in float64, not copied: nothing lasts long enough here for the model to change."""
        return exact(value).detach().to(self.dtype).contiguous().numpy()

    def _place(self, name: str, node: Op, operands: tuple[str, ...]) -> None:
        super()._place(name, node, operands)
        self.nodes[name] = ops.Hold()  # a name that is taken, and no more
        shapes = tuple(self.shapes[operand] for operand in operands)
        site = Site(shapes, self.shapes[name], (False,) * len(shapes), False)
        if node.role == "input":
            self.streams[name] = self.sample[name]
            return
        values = [self.take(operand) for operand in operands]
        reached = [Stream(value, np.broadcast_to(np.True_, value.shape)) for value in values]
        with np.errstate(all="ignore"):  # what the model's own arithmetic would say nothing of
            self.streams[name] = kernel(node, site, FLOAT64, identity_neurons=True).advance(1, *reached).value

    def take(self, name: str) -> np.ndarray:
        """The stream of a node; it is forgotten when nobody takes it again."""
        self.uses[name] -= 1
        return self.streams[name] if self.uses[name] else self.streams.pop(name)

    def correct(self, name: str, values: np.ndarray) -> None:
        """Replace a stream by the model's own values, which it equals but for rounding; a stream that nobody takes is gone."""
        if name in self.streams:
            self.streams[name] = values


def _compare(node: fx.Node, name: str, found: np.ndarray, expected: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        difference = np.where(found == expected, 0.0, np.abs(found - expected))  # infinities of masks
    scale = float(np.abs(expected).max(where=np.isfinite(expected), initial=1e-30))
    error = float(difference.max(initial=0.0)) / scale
    if not error <= FLOAT64_TOLERANCE:
        raise ConversionError(
            f"node {name} (operation {node.name} in {module_path(node) or 'the model itself'}) is the first that"
            f" differs from the model: by {error:.1e} of its largest value, allowed {FLOAT64_TOLERANCE:.0e}"
        )
