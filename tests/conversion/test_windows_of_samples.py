"""Operations on windows that were folded into the batch: copies stay within their sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import CaptureError
from ecmt_deploy.program import Provenance


class Windows(nn.Module):
    """Each of a sample's windows of 3 tokens, with a query that the whole sample shares (as in global-context attention)."""

    def __init__(self, windows: int, then) -> None:
        super().__init__()
        self.windows, self.then = windows, then

    def forward(self, x):
        shared = x.mean(1, keepdim=True)
        split = x.reshape(x.shape[0] * self.windows, -1, x.shape[-1])
        both = split + shared.repeat_interleave(split.shape[0] // x.shape[0], dim=0)
        return self.then(both).reshape(x.shape[0], -1)


def analog(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    calling = called(model.eval(), x)
    lowered = lower(capture(calling, x), "rate", torch.float32, Provenance(tool_version="test"), False)
    return SpikingModel(lowered.program).analog(x).numpy()


@pytest.mark.parametrize("windows", [1, 2, 4])
@pytest.mark.parametrize(
    "then",
    [
        lambda x: x,
        lambda x: x.repeat_interleave(2, dim=1),
        lambda x: x.repeat_interleave(3, 0),
        lambda x: x.repeat_interleave(2, -1),
    ],
    ids=["once", "tokens", "windows", "channels"],
)
def test_elements_are_repeated_as_torch_does(windows, then):
    x = torch.randn(3, 12, 5, generator=torch.Generator().manual_seed(0))
    model = Windows(windows, then)
    np.testing.assert_allclose(analog(model, x), model(x).numpy(), rtol=1e-6, atol=1e-6)


def test_what_mixes_samples_or_repeats_by_a_tensor_is_refused():
    x = torch.randn(3, 12, 5)
    for then in (
        lambda x: x.repeat_interleave(2),
        lambda x: x.repeat_interleave(torch.tensor([1, 2, 1, 2, 4]), 2, output_size=10),
    ):
        with pytest.raises(CaptureError, match="repeat_interleave in the model itself"):
            analog(Windows(2, then), x)
