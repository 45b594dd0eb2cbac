"""What rows have in common is sent once, and the answers stay."""

import numpy as np
import pytest
import torch
from torch import nn

from ecmt_deploy import ConvertConfig
from ecmt_deploy.conversion import converter
from ecmt_deploy.conversion.calibration.tools import common
from ecmt_deploy.conversion.calibration.tools.common import common_shares, operands, with_rows_apart
from ecmt_deploy.engine import SpikingModel
from tests.support.families import FAMILIES, TWO, inputs, randomised
from tests.support.rewritten import lowered, require_the_same
from tests.support.some import some

#: by family, operands whose mean over rows is a row of its own, comes out of a product as it is, and changes nothing
FOUND = {
    **dict.fromkeys(["Swin", "Swin V2", "torchvision swin_t", "torchvision swin_v2_t"], (25, 4, 4)),
    **dict.fromkeys(["SigLIP (attention pooling)", "SigLIP, fused attention"], (17, 3, 2)),
    **dict.fromkeys(["torch.nn.TransformerEncoder", "torch.nn.TransformerEncoder, sequence first"], (11, 2, 2)),
    **dict.fromkeys(["ConvNeXt", "MobileViT v2"], (0, 0, 0)),
    "CaiT": (28, 2, 2),
    "XCiT": (18, 3, 3),
    "LeViT": (19, 3, 3),
}


@pytest.mark.parametrize(
    "family",
    some({family.name: family for family in FAMILIES}, *TWO),
)
def test_a_family_keeps_its_answers_with_rows_apart(family, tmp_path, monkeypatch):
    """All that may be taken apart, whether it is worthwhile or not."""
    model, x = randomised(family).double(), inputs(family, 6, 3).double()
    before = lowered(model, x)
    kinds = [operand.given_back for operand in operands(before.program)]
    assert tuple(kinds.count(kind) for kind in ("row", "value", "none")) == FOUND.get(family.name, (12, 2, 2))
    monkeypatch.setattr(common, "common_shares", lambda program, found, x: {each.neuron: np.inf for each in found})
    after = with_rows_apart(before, x)
    assert (after is before) == (not kinds)
    require_the_same(before, after, x, tmp_path)


class Compared(nn.Module):
    """Attention over 9 rows of 6 values whose logits go where ``kind`` says, to 5 classes."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.q, self.k, self.v, self.head = (nn.Linear(6, size) for size in (4, 4, 4, 5))
        self.bias = nn.Parameter(torch.randn(9, 9))

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        logits = q @ k.mT
        if self.kind == "biased":
            logits = logits + self.bias
        if self.kind == "unequal":
            logits = logits * self.bias
        weights = logits.sigmoid() if self.kind == "sigmoid" else logits.softmax(-2 if self.kind == "columns" else -1)
        y = nn.functional.pad(weights @ v, (0, 2))
        if self.kind == "also read":
            y = y + logits.mean(-1, keepdim=True)
        return self.head((x + y).mean(1))


@pytest.mark.parametrize(
    ("kind", "found"),
    {
        "plain": ("none", "value"), "biased": ("none", "value"), "unequal": ("value",), "sigmoid": (), "columns": (),
        "also read": ("value",),
    }.items(),
)  # fmt: skip
def test_keys_and_values_of_a_softmax_alone(kind, found, tmp_path, monkeypatch):
    torch.manual_seed(0)
    model, x = Compared(kind).double().eval(), torch.randn(6, 9, 6, dtype=torch.float64)
    before = lowered(model, x)
    assert tuple(sorted(o.given_back for o in operands(before.program) if o.given_back != "row")) == tuple(sorted(found))
    monkeypatch.setattr(common, "common_shares", lambda program, found, x: {each.neuron: np.inf for each in found})
    require_the_same(before, with_rows_apart(before, x), x, tmp_path)


class Rows(nn.Module):
    """A linear layer on 32 rows and one behind it, to 3 classes."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.second(self.first(x).relu()).mean(1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_the_share_is_that_of_the_samples(share):
    torch.manual_seed(0)
    x = share**0.5 * torch.randn(400, 1, 6) + (1 - share) ** 0.5 * torch.randn(400, 32, 6)
    before = lowered(Rows().eval(), x[:4])
    (name,) = before.program.neurons
    seen = {}
    SpikingModel(before.program).analog(x, observe=seen.__setitem__)
    varies = seen[name] - seen[name].mean(0)  # of which channels are minded alike, but for their weights
    found = common_shares(before.program, operands(before.program), x)[name]
    assert found == pytest.approx(float(varies.mean(1).square().sum() * 32 / varies.square().sum()), abs=0.05)
    apart = with_rows_apart(before, x).program
    assert (apart.shapes[name][0] == 33) == (share > 0.15)


def test_fewer_events_where_samples_differ_in_what_is_common():
    """At one distance of the answers; whether anything is taken apart is decided by the samples alone."""
    torch.manual_seed(0)
    model, x = Rows().eval(), torch.randn(64, 1, 6) + 0.2 * torch.randn(64, 32, 6)
    apart = converter.convert(model, x, ConvertConfig("graded", budget=0.1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "with_rows_apart", lambda lowered, x: lowered)
        whole = converter.convert(model, x, ConvertConfig("graded", budget=0.1))
    assert apart.program.provenance.tuning.mean_distance < 0.5 * whole.program.provenance.tuning.mean_distance
    assert apart.program.provenance.config["basis"]
    assert isinstance(apart, SpikingModel)
