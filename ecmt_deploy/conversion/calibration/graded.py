"""Preset ``graded``: one event carries the rounded value, for chips whose spikes have payloads (docs/graded.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import msgspec

from ecmt_deploy.config import DEFAULT_PRESET, Preset, require_budget
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program.ops.graded import LEAST_BITS, MOST_BITS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from ecmt_deploy.conversion.calibration.tools.survey import Survey
    from ecmt_deploy.conversion.lowering import Lowered
    from ecmt_deploy.program import Program, ops


class Graded(Preset, frozen=True, kw_only=True):
    """Differential coding with graded neurons, tuned for ``timesteps`` steps, one unless said; see
    :class:`~ecmt_deploy.config.Preset`.

    Attributes
    ----------
    payload_bits : most bits of a payload, sign included; ``None`` is 16. A neuron takes as many as its range needs
    budget : most synaptic events per MAC after ``timesteps`` steps; ``None`` is as many as a good answer needs
    """

    name: ClassVar[str] = "graded"
    coding: ClassVar[str] = "differential"
    most_levels: ClassVar[int] = MOST_BITS - 1
    #: from as many on it is as near to the analog network as preset ``accurate`` on the bundled model, at one event a value
    least_payload_bits: ClassVar[int] = 7

    streams: ClassVar[bool] = True
    corrects: ClassVar[bool] = True

    timesteps: int = 1
    payload_bits: int | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels is not None:
            raise ConfigError("preset graded has no levels; choose payload_bits, the most bits of a payload")
        bits = self.payload_bits
        if bits is not None and not (hasattr(bits, "__index__") and LEAST_BITS <= bits <= MOST_BITS):
            raise ConfigError(f"payload_bits is {bits}; choose {LEAST_BITS} to {MOST_BITS}")
        require_budget(self.budget)

    @property
    def spike_bits(self) -> int:
        return self.payload_bits or MOST_BITS

    def widest_neuron(self, dtype: np.dtype) -> ops.Graded:
        import numpy as np

        from ecmt_deploy.program import ops

        return ops.Graded(np.ones((), dtype), self.spike_bits)

    def within(self, payload_bits: int) -> Graded:
        """The same with payloads of no more bits than a chip's spikes carry."""
        if payload_bits < LEAST_BITS:
            raise ConfigError(f"preset graded needs {LEAST_BITS} bits or more; use --preset {DEFAULT_PRESET}, or another chip")
        if self.payload_bits is not None and self.payload_bits > payload_bits:
            raise ConfigError(f"payload_bits is {self.payload_bits}; use --payload-bits {payload_bits}, or another chip")
        return msgspec.structs.replace(self, payload_bits=self.payload_bits or min(payload_bits, MOST_BITS))

    def calibrate(
        self, lowered: Lowered, batches: list[Tensor], progress: Callable[[str, int], None], frames: Tensor | None = None
    ) -> Program:
        """Tuned neurons and their expectations; refuses a budget that cannot be met and a readout that does not vary."""
        import torch

        from ecmt_deploy.conversion.calibration.tools.clips import tuned_program
        from ecmt_deploy.conversion.calibration.tools.common import with_rows_apart
        from ecmt_deploy.conversion.calibration.tools.heads import in_head_bases
        from ecmt_deploy.conversion.calibration.tools.rotation import rotated

        if not lowered.program.neurons:  # nothing but encoding layers
            return lowered.program
        x = torch.cat(batches)
        rewritten = with_rows_apart(in_head_bases(rotated(lowered, x), x), x)
        made = tuned_program(rewritten, x, frames, self, self.budget, progress)
        if rewritten is lowered:
            return made
        config = dict(made.provenance.config or {}) | {"basis": "principal components"}
        return replace(made, provenance=msgspec.structs.replace(made.provenance, config=config))

    def neuron(self, seen: Survey, fan_out: float, price: float, channel_axis: int | None, initial: np.ndarray) -> ops.Graded:
        """A neuron for a price per synaptic event; parameters as of
        :func:`~ecmt_deploy.conversion.calibration.tools.allocation.level_neuron`."""
        from ecmt_deploy.conversion.calibration.tools.allocation import graded_neuron

        bits = self.payload_bits or MOST_BITS
        return graded_neuron(seen, fan_out, price, channel_axis, bits, self.timesteps, initial)


PRESET = Graded
