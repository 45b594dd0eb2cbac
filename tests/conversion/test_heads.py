"""The spaces of heads are found whatever the model is called, and written in bases in which few channels say most."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ecmt_deploy.conversion.calibration.tools.heads import head_spaces, in_head_bases
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program.graph import parameters
from tests.support.families import FAMILIES, TWO, inputs, randomised
from tests.support.rewritten import lowered, require_the_same
from tests.support.some import some

#: by family, spaces of channels that products sum over, and that they average; others have as many as ViTs of two blocks
FOUND = {
    "ViT, qk-norm": (0, 2),
    "EVA-02 (rope, SwiGLU, sub-norm)": (0, 2),
    "Swin": (4, 4),
    "torchvision swin_t": (4, 4),
    "Swin V2": (0, 4),
    "torchvision swin_v2_t": (0, 4),
    "CaiT": (4, 4),
    "XCiT": (1, 1),
    "SigLIP (attention pooling)": (2, 3),
    "SigLIP, fused attention": (2, 3),
    "LeViT": (0, 0),
    "ConvNeXt": (0, 0),
    "MobileViT v2": (0, 0),
}


@pytest.mark.parametrize(
    "family",
    some({family.name: family for family in FAMILIES}, *TWO),
)
def test_a_family_keeps_its_answers_in_other_bases(family, tmp_path):
    model, x = randomised(family).double(), inputs(family, 6, 3).double()
    before = lowered(model, x)
    found = [len(space.seen) for space in head_spaces(before.program)]
    assert (found.count(2), found.count(1)) == FOUND.get(family.name, (2, 2))
    after = in_head_bases(before, x)
    assert (after is before) == (not found)
    require_the_same(before, after, x, tmp_path)
    again = in_head_bases(before, x)
    for name, node in after.program.nodes.items():
        assert all(map(np.array_equal, parameters(node), parameters(again.program.nodes[name])))


class Attention(nn.Module):
    """Attention over 7 rows of 6 values, in one of several ways, to 5 classes."""

    def __init__(self, kind, heads, size, bias):
        super().__init__()
        self.kind, self.heads, self.size, width = kind, heads, size, heads * size
        self.q, self.k, self.v = (nn.Linear(6, width, bias=bias) for _ in range(3))
        self.out, self.head = nn.Linear(width, 6), nn.Linear(6, 5)
        self.position = nn.Parameter(torch.randn(1, 7, width))

    def forward(self, x):
        q, k, v = (each(x) for each in (self.q, self.k, self.v))
        if self.kind == "positions behind":
            q = q + self.position
        if self.kind == "gated":
            q = q * k.sigmoid()
        if self.kind == "unequal scales":
            q = q * self.position
        q, k, v = (z.unflatten(2, (self.heads, self.size)).transpose(1, 2) for z in (q, k, v))
        if self.kind == "shared keys":
            k = k[:, :1].expand(-1, self.heads, -1, -1)
        y = (q @ k.mT * 0.3).softmax(-1) @ v
        if self.kind == "read twice":
            y = y + v
        y = self.out(y.transpose(1, 2).flatten(2))
        return self.head((x + y).mean(1))


#: by kind, what is found: spaces that are summed over, and averaged
KINDS = {
    "plain": (1, 1),
    "positions behind": (1, 1),
    "gated": (0, 1),
    "unequal scales": (0, 1),
    "shared keys": (0, 1),
    "read twice": (1, 0),
}


@settings(max_examples=6)
@given(
    kind=st.sampled_from(list(KINDS)), heads=st.sampled_from([2, 3]), size=st.sampled_from([2, 4]), bias=st.booleans(),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_what_else_reads_channels_keeps_them_as_they_are(kind, heads, size, bias, seed, tmp_path_factory):
    torch.manual_seed(seed)
    model, x = Attention(kind, heads, size, bias).double().eval(), torch.randn(5, 7, 6, dtype=torch.float64)
    before = lowered(model, x)
    found = [len(space.seen) for space in head_spaces(before.program)]
    assert (found.count(2), found.count(1)) == KINDS[kind]
    require_the_same(before, in_head_bases(before, x), x, tmp_path_factory.mktemp("heads"))


def test_few_channels_say_most():
    """In front of the products, the first channels of a head vary most, and together as much as all did before."""
    torch.manual_seed(0)
    model, x = Attention("plain", 2, 4, True).double().eval(), torch.randn(40, 7, 6, dtype=torch.float64)
    before = lowered(model, x)
    spread = []
    for program in (before.program, in_head_bases(before, x).program):
        seen = {}
        SpikingModel(program).trace(x, seen.__setitem__)
        for space in head_spaces(program):
            if len(space.seen) == 1:
                (stream,) = space.seen
                rows = seen[stream].flatten(1)[:, torch.from_numpy(space.order(stream))]
                spread.append((rows - rows.mean(0)).square().mean(dim=(0, 1)))
    old, new = spread
    torch.testing.assert_close(old.sum(1), new.sum(1))
    assert (new.diff(dim=1) <= 0).all()
    assert (new[:, 0] > old.max(dim=1).values).all()
