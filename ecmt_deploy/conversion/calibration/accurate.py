"""Preset ``accurate``: differential coding, every neuron tuned by how much the answer minds its error (docs/accurate.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ecmt_deploy.config import Preset, require_budget

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

    from ecmt_deploy.conversion.calibration.tools.survey import Survey
    from ecmt_deploy.conversion.lowering import Lowered
    from ecmt_deploy.program import Program, ops


class Accurate(Preset, frozen=True, kw_only=True):
    """Differential coding, tuned for ``timesteps`` steps; see :class:`~ecmt_deploy.config.Preset`.

    A neuron has as many levels as its range needs, and at most ``levels``: 15 unless said, what a payload of 16 bits can tell
    apart.

    Attributes
    ----------
    fraction : c of the firing rule ``nearest``: a level fires at c times its value. Not dyadic, or an accumulated input that
        returns to zero leaves a membrane exactly on a threshold and rounding decides
    budget : most synaptic events per MAC after ``timesteps`` steps; ``None`` is as many as a good answer needs
    """

    name: ClassVar[str] = "accurate"
    coding: ClassVar[str] = "differential"
    most_levels: ClassVar[int] = 15
    streams: ClassVar[bool] = True
    corrects: ClassVar[bool] = False
    fraction: ClassVar[float] = 0.74

    budget: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_budget(self.budget)

    def calibrate(
        self, lowered: Lowered, batches: list[Tensor], progress: Callable[[str, int], None], frames: Tensor | None = None
    ) -> Program:
        """Tuned neurons and their expectations; refuses a budget that cannot be met and a readout that does not vary."""
        import torch

        from ecmt_deploy.conversion.calibration.tools.clips import tuned_program

        if not lowered.program.neurons:  # nothing but encoding layers
            return lowered.program
        return tuned_program(lowered, torch.cat(batches), frames, self, self.budget, progress)

    def neuron(
        self, seen: Survey, fan_out: float, price: float, channel_axis: int | None, initial: np.ndarray
    ) -> ops.MultiThreshold:
        """A neuron for a price per synaptic event; parameters as of
        :func:`~ecmt_deploy.conversion.calibration.tools.allocation.level_neuron`."""
        from ecmt_deploy.conversion.calibration.tools.allocation import level_neuron

        return level_neuron(seen, fan_out, price, channel_axis, self.level_limit, self.fraction, initial)


PRESET = Accurate
