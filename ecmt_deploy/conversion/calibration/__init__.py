"""From an analog program and samples to the bases of its neurons: the published rule, or tuned by sensitivity."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.calibration.paper import published
from ecmt_deploy.conversion.calibration.tools.tuning import tuned
from ecmt_deploy.conversion.lowering import Lowered
from ecmt_deploy.program import Program


def calibrate(lowered: Lowered, batches: list[Tensor], config: ConvertConfig, progress: Callable[[str, int], None]) -> Program:
    """The spiking program: every neuron of ``lowered`` with bases, and in ``accurate`` with an expectation.

    Parameters
    ----------
    lowered : the analog program
    batches : calibration samples, tensors (B, ...)
    config : how; its preset says which rule
    progress : called with a stage (``calibrate``, ``tune``) and a number of samples seen

    Raises
    ------
    ConversionError
        if a budget of events cannot be met.
    """
    rule = tuned if config.recipe.bases == "sensitivity" else published
    return rule(lowered, batches, config, progress)
