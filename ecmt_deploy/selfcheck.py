"""The analog program against the original model: conversion never changes the mathematics.

Two comparisons on at least two different samples. Lowered to float64, the program must reproduce every captured operation to
rounding, which tells exactly where a lowering is wrong; in the model's own dtype it must reproduce the module that was given,
which tells whether the capture is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from ecmt_deploy.capture import Captured, constant_in, evaluate, module_path
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError
from ecmt_deploy.lower import Lowered

#: relative to the largest magnitude of the tensor compared
FLOAT64_TOLERANCE = 1e-9
#: deep networks lose digits in float32; measured against the same program in float64, see :func:`_rounding`
FLOAT32_FLOOR = 1e-4
ROUNDING_FACTOR = 20.0


def self_check(model: nn.Module, captured: Captured, lowered: Lowered, exact: Lowered, samples: Tensor) -> None:
    """Compare the analog program with the captured graph and with the model itself.

    Parameters
    ----------
    lowered, exact : the captured model lowered to its own dtype, and to float64
    samples : (2 or more, C, H, W)

    Raises
    ------
    ConversionError
        naming the first node that diverges, or the output.
    """
    engine = SpikingModel(lowered.program)
    _check_operations(captured, exact, samples.double())
    with torch.no_grad():
        expected = model(samples)
    found, in_double = engine.analog(samples), SpikingModel(exact.program).analog(samples.double())
    scale = max(float(expected.abs().max()), 1e-30)
    error = float((found - expected).abs().max()) / scale
    allowed = max(FLOAT32_FLOOR, ROUNDING_FACTOR * float((found - in_double).abs().max()) / scale)
    if not error <= allowed:
        raise ConversionError(
            f"the analog program differs from the model by {error:.1e} of its largest output (allowed {allowed:.1e}) although"
            " every captured operation agrees; torch.export captured something else than the model computes"
        )


def _check_operations(captured: Captured, lowered: Lowered, samples: Tensor) -> None:
    """Every captured operation, on one sample at a time: where the batch is part of a longer axis, the sample is that axis."""
    engine = SpikingModel(lowered.program)
    needed = {trace.name for trace in lowered.traces.values()}
    for sample in samples.split(1):
        streams = _streams(engine, sample, needed)
        for node, value in _DoubleInterpreter(captured).values(sample):
            trace = lowered.traces.get(node.name)
            if trace is None or trace.name not in streams or not isinstance(value, Tensor):
                continue
            expected = value if trace.batch is None else value.squeeze(trace.batch)
            _compare(node, trace.name, streams[trace.name], expected)


def _streams(engine: SpikingModel, sample: Tensor, needed: set[str]) -> dict[str, Tensor]:
    """The analog streams of one sample, by node."""
    streams: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> None:
        if name in needed:
            streams[name] = value[0]

    engine.trace(sample, keep)
    return streams


def _compare(node: fx.Node, name: str, found: Tensor, expected: Tensor) -> None:
    difference = (found - expected).abs()
    difference = torch.where(found == expected, torch.zeros_like(difference), difference)  # infinities of masks
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 1.0
    error = float(difference.max()) / max(scale, 1e-30) if difference.numel() else 0.0
    if not error <= FLOAT64_TOLERANCE:
        raise ConversionError(
            f"node {name} (operation {node.name} in {module_path(node) or 'the model itself'}) is the first that"
            f" differs from the model: by {error:.1e} of its largest value, allowed {FLOAT64_TOLERANCE:.0e}"
        )


class _DoubleInterpreter(fx.Interpreter):
    """The captured graph in float64, operation by operation."""

    def __init__(self, captured: Captured) -> None:
        super().__init__(fx.GraphModule({}, captured.graph), garbage_collect_values=True)
        self.captured = captured
        self.seen: list[tuple[fx.Node, Any]] = []

    def values(self, samples: Tensor) -> list[tuple[fx.Node, Any]]:
        """Every node with its value, in order."""
        arguments = [
            samples if node.name == self.captured.input_name else constant_in(self.captured.constants[node.name], torch.float64)
            for node in self.captured.graph.nodes
            if node.op == "placeholder"
        ]
        with torch.no_grad():
            self.run(*arguments, enable_io_processing=False)
        return self.seen

    def run_node(self, n: fx.Node) -> Any:
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        value = evaluate(n, args, kwargs, torch.float64)
        self.seen.append((n, value))
        return value
