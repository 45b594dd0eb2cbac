"""A model as an analog program that the self-check has compared with it, operation by operation in float64: no calibration."""

import torch

from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.decomposition import decomposed
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.conversion.self_check import self_check
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program import Program, Provenance


def checked(model: torch.nn.Module, x: torch.Tensor, tolerance: float = 1e-5) -> Program:
    """The program of a model in eval mode; it answers samples ``x`` (2 or more, ..) as the model does, to rounding."""
    calling = called(model.eval(), x)
    captured = decomposed(capture(calling, x), x.dtype)
    lowered = lower(captured, "differential", x.dtype, Provenance(tool_version="test"), False)
    self_check(calling, captured, lowered, x)
    expected, found = calling(x), SpikingModel(lowered.program).analog(x)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())
    return lowered.program
