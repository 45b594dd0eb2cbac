"""Residual spaces are found whatever the model is called, and written in another basis without another answer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ecmt_deploy.conversion.calibration.tools.rotation import rotated
from ecmt_deploy.conversion.calibration.tools.spaces import residual_spaces
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.program.graph import parameters
from tests.support.families import _SWIN, _VIT, FAMILIES, TWO, Family, _timm, inputs, randomised
from tests.support.residual import RMS, Between, Elsewhere, Gated, Joined, Padded, ReadsAndWrites, Residual, mlp, shaken
from tests.support.rewritten import lowered, require_the_same
from tests.support.some import some

#: by family, how many norms read the spaces that are written anew; families that are not here stay as they are
FOUND = {
    **dict.fromkeys([f.name for f in FAMILIES if f.name.startswith(("ViT", "DeiT", "EVA", "BEiT", "SigLIP", "DINOv2"))], 5),
    "ViT, pre-norm": 0,
    "CaiT": 9,
    "Swin": 5,
    "torchvision swin_t": 5,
    "torchvision vit_b_16": 5,
}
_PADDED = {**_SWIN, "img_size": 28, "depths": (2,), "num_heads": (2,)}
MORE = {
    _timm("DINOv2, features", "vit_small_patch14_reg4_dinov2", **_VIT): (5, 1),
    _timm("ViT, features of all tokens", "vit_tiny_patch16_224", global_pool="", **{**_VIT, "depth": 3}): (7, 1),
    _timm("ViT, distilled features", "deit_tiny_distilled_patch16_224", **_VIT): (5, 2),
    _timm("Swin, windows that are padded", "swin_tiny_patch4_window7_224", **_PADDED): (0, 0),
    _timm("ViT, average pooling, fc_norm", "vit_tiny_patch16_224", global_pool="avg", fc_norm=True, **_VIT): (5, 0),
}


def norms_changed(before, after):
    """The norms that read a space in another basis: they are RMS norms and have no parameters any more."""
    found = []
    for name, node in before.program.nodes.items():
        if node.role == "function":
            made = after.program.nodes[name]
            if (made.function, made.parameters.keys()) != (node.function, node.parameters.keys()):
                found.append(name)
    return found


@pytest.mark.parametrize(
    "family", some({family.name: family for family in FAMILIES}, *TWO, "ViT, pre-norm", "torch.nn.TransformerEncoder")
)
def test_a_family_keeps_its_answers_in_another_basis(family, tmp_path):
    model, x = randomised(family).double(), inputs(family, 6, 3).double()
    before = lowered(model, x)
    after = rotated(before, x)
    expected = FOUND.get(family.name, 0)
    assert len(norms_changed(before, after)) == expected
    assert (after is before) == (expected == 0)
    assert not [name for name in after.program.nodes if name.endswith("restored")]
    require_the_same(before, after, x, tmp_path)
    again = rotated(before, x)
    for name, node in after.program.nodes.items():
        assert all(map(np.array_equal, parameters(node), parameters(again.program.nodes[name])))


@pytest.mark.parametrize("family", some({f.name: f for f in MORE}, "DINOv2, features", "Swin, windows that are padded"))
def test_features_are_given_back_as_they_were(family, tmp_path):
    features = "features" in family.name
    norms, restored = MORE[family]
    build = Family(family.name, (lambda: _headless(family)) if features else family.build, family.shape)
    model, x = randomised(build).double(), inputs(family, 6, 3).double()
    before = lowered(model, x)
    after = rotated(before, x)
    assert len(norms_changed(before, after)) == norms
    assert len([name for name in after.program.nodes if name.endswith("restored")]) == restored
    require_the_same(before, after, x, tmp_path)


def _headless(family):
    model = family.build()
    model.reset_classifier(0)
    return model


# --- what blocks may be made of ---------------------------------------------------------------------------------------


NORMS = {
    "layer norm": nn.LayerNorm,
    "layer norm without parameters": lambda dim: nn.LayerNorm(dim, elementwise_affine=False),
    "layer norm without bias": lambda dim: nn.LayerNorm(dim, bias=False),
    "rms norm": RMS,
}
BLOCKS = {"mlp": mlp, "gated": lambda dim: Gated(dim, False)}


@settings(max_examples=8)
@given(
    dim=st.sampled_from([6, 7, 12, 14]), norm=st.sampled_from(list(NORMS)), block=st.sampled_from(list(BLOCKS)),
    scale=st.booleans(), bias=st.booleans(), depth=st.integers(1, 3), shared=st.booleans(), seed=st.integers(0, 9),
)  # fmt: skip
def test_any_residual_stream_takes_another_basis(dim, norm, block, scale, bias, depth, shared, seed, tmp_path_factory):
    """As many channels as tokens (7) or as inputs (6), too: axes are told apart by what is done along them."""
    torch.manual_seed(seed)
    model = shaken(Residual(dim, NORMS[norm], BLOCKS[block], scale, bias, depth, shared), seed)
    x = torch.randn(8, 7, 6, dtype=torch.float64)
    before = lowered(model, x)
    (space,) = residual_spaces(before.program)
    assert len(space.norms) == depth + 1
    assert len(space.scales) == (depth if scale else 0)
    require_the_same(before, rotated(before, x), x, tmp_path_factory.mktemp("rotated"))


CUSTOM = {
    "two spaces": (Between, 4), "reads and writes": (ReadsAndWrites, 0), "joined": (Joined, 0), "padded": (Padded, 0),
    "read elsewhere": (Elsewhere, 0),
    "read by a product too": (lambda: Residual(12, nn.LayerNorm, lambda d: Gated(d, True), False), 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", CUSTOM)
def test_what_cannot_take_another_basis_stays_as_it_is(kind, tmp_path):
    build, norms = CUSTOM[kind]
    torch.manual_seed(0)
    model, x = shaken(build()), torch.randn(8, 7, 6, dtype=torch.float64)
    before = lowered(model, x)
    after = rotated(before, x)
    assert len(norms_changed(before, after)) == norms
    require_the_same(before, after, x, tmp_path)


def test_a_taker_of_its_own_has_its_channels_given_back(tmp_path):
    """Where that is little work beside what the layers do: one row of features beside many rows of layers."""

    class Row(Residual):
        def forward(self, x):
            x = self.embed(x) + self.position
            for norm, block in zip(self.norms, self.blocks, strict=True):
                x = x + block(norm(x))
            last = self.norm(x)[:, 0]
            return torch.cat([self.head(last), last], dim=1)

    torch.manual_seed(0)
    model, x = shaken(Row(12, nn.LayerNorm, mlp, False, depth=3)), torch.randn(8, 7, 6, dtype=torch.float64)
    before = lowered(model, x)
    after = rotated(before, x)
    assert [name for name in after.program.nodes if name.endswith("restored")]
    require_the_same(before, after, x, tmp_path)


def test_components_come_by_their_variance_and_are_not_correlated():
    """Behind the norms of the rotated program the first channels vary most, together as much as all did before."""
    torch.manual_seed(0)
    model, x = shaken(Residual(12, RMS, mlp, False, depth=1)), torch.randn(64, 7, 6, dtype=torch.float64)
    after = rotated(lowered(model, x), x).program
    seen = {}
    SpikingModel(after).trace(x, lambda name, value: seen.setdefault(name, value))
    total = 0
    for norm in (name for name, node in after.nodes.items() if node.role == "function" and node.function == "rms_norm"):
        centred = (seen[norm] - seen[norm].mean(0)).flatten(0, -2)
        covariance = centred.T @ centred
        total = total + covariance / covariance.trace()
    assert float((total - total.diag().diag()).abs().max()) < 1e-9
    assert (total.diag().diff() <= 1e-9).all()


def test_massive_channels_do_not_cost_the_answer():
    """In single precision too, channels of a thousand times the rest leave rounding as it is."""
    family = FAMILIES[0]
    model, x = randomised(family), inputs(family, 8, 3)
    with torch.no_grad():
        for factor, channel in ((300.0, 3), (1000.0, 17)):
            model.pos_embed[..., channel] += factor
    before = lowered(model, x)
    after = rotated(before, x)
    expected, found = (SpikingModel(each.program).analog(x) for each in (before, after))
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-3
