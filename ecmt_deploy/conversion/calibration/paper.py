"""Preset ``paper``: rate coding with the bases as published.

Source: *Towards High-performance Spiking Transformers from ANN to SNN Conversion* (Huang et al., ACM MM 2024): the smallest
level at the 99th percentile of the operand (the 1st for the negative side), averaged over the calibration batches; fixed
bases for the outputs of softmax. The details are those of the authors' code: which value of a batch the percentile is
(:class:`~ecmt_deploy.conversion.calibration.tools.percentiles.Tails`), and bases of the inputs of an MLP's second layer that
are fixed in plain vision transformers alone.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from ecmt_deploy.config import Preset
from ecmt_deploy.conversion.calibration.tools.neurons import finite, largest_or_one, producer, with_nodes
from ecmt_deploy.conversion.calibration.tools.percentiles import Tails
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program import Program, ops

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from ecmt_deploy.conversion.lowering import Lowered

SHARE = 0.99
#: (positive, negative) bases that are not measured
SOFTMAX_BASES, MLP_BASES = (0.0125, 0.0125), (0.25, 0.08)
#: what a plain vision transformer is called: its class in timm, torchvision and the first publications; in transformers
PLAIN = frozenset({"VisionTransformer", "ViTModel"})
#: of the firing rule ``nearest``; the published rule ignores it
FRACTION = 0.74


class Paper(Preset, frozen=True, kw_only=True):
    """Rate coding, the method as published; see :class:`~ecmt_deploy.config.Preset`.

    Attributes
    ----------
    mlp_bases : bases of the neurons before the second layer of an MLP with GELU: ``fixed`` to 0.25 and 0.08, or ``measured``
        like all others; ``None`` is ``fixed`` in a plain vision transformer and ``measured`` in any other model, as in the
        authors' code
    """

    name: ClassVar[str] = "paper"
    coding: ClassVar[str] = "rate"
    most_levels: ClassVar[int] = 8
    analog_readout_layer: ClassVar[bool] = True

    mlp_bases: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mlp_bases not in (None, "fixed", "measured"):
            raise ConfigError(f"mlp_bases is {self.mlp_bases!r}; choose fixed or measured")

    def for_model(self, model: nn.Module) -> Paper:
        """The same with ``mlp_bases`` decided.

        The authors' code fixes these bases where the name of the model contains ``vit``, and has two kinds of models: EVA and
        plain vision transformers. A module has no such name, so that its class decides, or that of a part of it.
        """
        if self.mlp_bases is not None:
            return self
        classes = {kind.__name__ for module in model.modules() for kind in type(module).__mro__}
        return msgspec.structs.replace(self, mlp_bases="fixed" if classes & PLAIN else "measured")

    def calibrate(self, lowered: Lowered, batches: list[Tensor], progress: Callable[[str, int], None]) -> Program:
        """The bases of the paper; refuses NaN and infinity at a neuron.

        A batch that does not fit into the engine's memory budget is computed in parts; its percentiles are those of the whole.
        """
        from ecmt_deploy.engine import SpikingModel  # loads torch

        program, engine, samples = lowered.program, SpikingModel(lowered.program), 0
        fixed = _fixed(program, self.mlp_bases == "fixed")
        measured = [name for name in program.neurons if name not in fixed]
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in measured}
        largest = dict.fromkeys(measured, 0.0)
        for batch in batches:
            tails = {name: Tails(len(batch) * prod(program.shapes[name]), SHARE) for name in measured}

            def observe(name: str, x: Tensor, tails: dict[str, Tails] = tails) -> None:
                if name in tails:
                    tails[name].see(x)
                    largest[name] = max(largest[name], finite(name, float(x.abs().max())))

            for part in batch.split(engine.pieces(len(batch), 1)[0]):
                engine.analog(part, observe)
            for name, values in tails.items():
                seen[name].append(values.percentiles())
            samples += len(batch)
            progress("calibrate", samples)
        bases = fixed | {name: _measured(name, seen[name], largest[name]) for name in measured}
        return with_nodes(program, {
            name: ops.MultiThreshold(*(np.asarray(b, program.dtype) for b in both), self.level_limit, "paper", FRACTION)
            for name, both in bases.items()
        })  # fmt: skip


def _fixed(program: Program, mlp: bool) -> dict[str, tuple[float, float]]:
    """Bases of the neurons that take the output of softmax and, where ``mlp`` asks for it, feed a linear layer behind GELU."""
    fed = {s for name, sources in program.operands.items() if program.nodes[name].layer == "linear" for s in sources}
    bases = {}
    for name in program.neurons:
        made_by = program.nodes[producer(program, name)]
        function = made_by.detail
        if made_by.role == "function" and made_by.definition.sums_to_one:
            bases[name] = SOFTMAX_BASES
        elif mlp and function in ("gelu", "gelu_tanh") and name in fed:
            bases[name] = MLP_BASES
    return bases


def _measured(name: str, batches: list[tuple[float, float]], largest: float) -> tuple[float, float]:
    """Bases of a neuron, positive and negative, from the (low, high) percentiles of every batch and the largest magnitude.

    A side that the data never uses takes the other side's base: its neurons may still have to correct an overshoot.
    """
    low, high = np.mean(batches, axis=0)
    p, m = max(float(high), 0.0), max(-float(low), 0.0)
    fallback = max(p, m) or largest_or_one(name, largest)
    return p or fallback, m or fallback


PRESET = Paper
