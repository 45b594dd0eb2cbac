"""Operations outside the table are taken apart before they are refused, and keep their mathematics and their place."""

from __future__ import annotations

import functools
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ecmt_deploy.conversion import compositions
from ecmt_deploy.errors import CaptureError, ConversionError
from tests.support.checked import checked


class Several(nn.Module):
    """Functions of one activation side by side, so that one program holds them all."""

    def __init__(self, channels: int, *functions, modules=()) -> None:
        super().__init__()
        self.embed, self.functions, self.modules_of = nn.Linear(channels, channels), functions, nn.ModuleList(modules)

    def forward(self, x):
        x = self.embed(x)
        return torch.cat([function(x).reshape(len(x), -1) for function in (*self.functions, *self.modules_of)], dim=1)


def tokens(seed: int) -> torch.Tensor:
    """Samples (3, tokens, channels) of a drawn size, of standard deviation 2."""
    r, g = random.Random(seed), torch.Generator().manual_seed(seed)
    return 2 * torch.randn(3, r.randint(2, 6), 2 * r.randint(2, 5), generator=g)


def require(x: torch.Tensor, *functions, modules=(), tolerance: float = 1e-5):
    torch.manual_seed(0)
    return checked(Several(x.shape[-1], *functions, modules=modules), x, tolerance)


SEEDS = pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])


@SEEDS
def test_activation_modules(seed):
    x, r = tokens(seed), random.Random(seed)
    bound = r.uniform(0.1, 2)
    slopes = nn.PReLU(x.shape[1])
    nn.init.normal_(slopes.weight)
    require(x, modules=[
        nn.CELU(bound), nn.ELU(bound), nn.GELU(), nn.GELU("tanh"), nn.GLU(),
        nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(-bound, 1), nn.LeakyReLU(bound), nn.LogSigmoid(),
        nn.LogSoftmax(r.choice((1, 2))), nn.Mish(), nn.PReLU(), slopes, nn.ReLU(), nn.ReLU6(), nn.RReLU(0.1, bound + 0.1),
        nn.SELU(), nn.SiLU(), nn.Sigmoid(),
        nn.Softmax(1), nn.Softmin(-1), nn.Softplus(), nn.Softplus(bound, r.uniform(0.5, 3)), nn.Softshrink(bound),
        nn.Softsign(), nn.Tanh(), nn.Tanhshrink(), nn.Threshold(bound, bound),
    ])  # fmt: skip


def test_the_softplus_of_large_operands_stays_in_the_range_of_floats():
    x = torch.tensor([[-1e4, -100.0, 0.0, 100.0], [1e4, -1.0, 1.0, 50.0]])
    program = checked(nn.Sequential(nn.Identity(), nn.Softplus()), x)
    assert [node.function for node in program.nodes.values() if node.role == "function"] == ["softplus"]


@SEEDS
def test_elementary_functions(seed):
    base = random.Random(seed).uniform(0.3, 3)
    require(
        tokens(seed), torch.sin, torch.cos, torch.erf, torch.erfc, torch.exp2, torch.expm1, torch.sinh, torch.cosh,
        lambda x: torch.log(x.abs() + 0.1), lambda x: torch.log2(x.abs() + 0.1), lambda x: torch.log10(x.abs() + 0.1),
        lambda x: torch.log1p(x.abs()), lambda x: torch.logit(x.sigmoid()), lambda x: torch.logit(x.sigmoid(), eps=0.1),
        lambda x: torch.logaddexp(x, x.flip(1)), lambda x: base**x, lambda x: (x.abs() + 0.1) ** x.flip(1).tanh(),
        lambda x: torch.tan(x.tanh()), lambda x: torch.minimum(x, x.flip(1)), lambda x: torch.maximum(x, x.sin()),
    )  # fmt: skip


@SEEDS
def test_statistics_over_several_axes(seed):
    x, r = tokens(seed), random.Random(seed)
    axes = [r.sample((1, 2), r.randint(1, 2)) for _ in range(4)]
    correction = r.choice((0, 1))
    low = [sorted(a - 3 for a in chosen) for chosen in axes]
    require(
        x, lambda x: x.var(axes[0]), lambda x: torch.var(x, low[1], correction=correction, keepdim=True),
        lambda x: torch.std(x, axes[2], correction=0.5), lambda x: x.std(low[3], unbiased=False),
        lambda x: torch.stack(torch.var_mean(x, axes[0]), 1),
        lambda x: torch.stack(torch.std_mean(x, axes[1], correction=0, keepdim=True), 1),
        lambda x: torch.logsumexp(x, axes[2]), lambda x: torch.logsumexp(x, axes[3][0], keepdim=True), lambda x: x.sum((1, 2)),
        lambda x: torch.linalg.vector_norm(x, 1, dim=axes[0]), lambda x: torch.linalg.vector_norm(x, torch.inf, dim=2),
        lambda x: torch.linalg.vector_norm(x, 3, dim=1), lambda x: F.normalize(x, p=1, dim=-1),
        lambda x: F.cosine_similarity(x[:, :1], x, dim=-1), lambda x: torch.cdist(x, x.flip(2) + 1),
        lambda x: x.cumsum(axes[1][0]), lambda x: x.cumsum(-1), lambda x: x.tanh().prod(1),
        lambda x: x.tanh().prod(-1, keepdim=True),
    )  # fmt: skip


@SEEDS
def test_products_and_sums(seed):
    x, value = tokens(seed), random.Random(seed).uniform(-2, 2)
    matrix, width = torch.randn(x.shape[2], 3), x.shape[1]
    require(
        x, lambda x: torch.addcmul(x, x.flip(1), x, value=value), lambda x: torch.addcdiv(x, x, x.abs() + 1, value=value),
        lambda x: torch.baddbmm(x[:, :, :1], x, x.transpose(1, 2), beta=value, alpha=0.3),
        lambda x: torch.lerp(x, x.flip(1), value), lambda x: torch.lerp(x, x.flip(1), x.sigmoid()),
        lambda x: torch.einsum("bnd,bmd->bnm", x, x), lambda x: torch.einsum("bi,bj->bij", x[:, 0], x[:, 1]),
        lambda x: torch.einsum("bnd,de->ben", x, matrix), lambda x: torch.tensordot(x, matrix, dims=1),
        torch.tril, lambda x: x.triu(1 - width),
    )  # fmt: skip
    torch.manual_seed(0)
    bilinear = nn.Bilinear(x.shape[-1], x.shape[-1], 3)
    require(x, lambda x: bilinear(x, x.flip(1)))


def set_parts(x):
    x = x.clone()
    x[:, 0] = x[:, 1] * 2
    x[:, :, 1:3] = 1.0
    x[:, :, ::2] = x[:, :, ::2].flip(1)
    return x


@SEEDS
def test_wiring(seed):
    x, r = tokens(seed), random.Random(seed)
    size, step, offset = r.randint(1, 2), r.randint(1, 2), r.randint(-1, 1)
    require(
        x, set_parts, lambda x: x.unfold(1, size, step), lambda x: x.unfold(-1, 3, step), lambda x: x.diagonal(offset, 1, 2),
        lambda x: x.diagonal(offset, 2, 1), lambda x: x.repeat_interleave(2, dim=1), lambda x: x.diff(dim=1),
        *(functools.partial(F.pad, pad=(1, 2), mode=mode) for mode in ("reflect", "replicate", "circular")),
    )  # fmt: skip


def pictures(seed: int, channels: int = 2) -> torch.Tensor:
    return torch.randn(3, channels, 6, 6, generator=torch.Generator().manual_seed(seed))


@SEEDS
def test_windows(seed):
    r = random.Random(seed)
    how = {
        "kernel_size": (r.randint(1, 3), r.randint(2, 3)), "dilation": r.randint(1, 2), "padding": (r.randint(0, 1), 1),
        "stride": (r.randint(1, 3), r.randint(1, 2)),
    }  # fmt: skip
    count = r.choice((True, False))
    require(
        pictures(seed), lambda x: F.fold(F.unfold(x, **how), (6, 6), **how),
        lambda x: F.fold(F.unfold(x, 2, stride=2), (6, 6), 2, stride=2),
        lambda x: F.avg_pool1d(x[:, 0], 3, 2, 1, count_include_pad=count), lambda x: F.adaptive_avg_pool1d(x[:, 0], 3),
        lambda x: F.avg_pool3d(x.unsqueeze(1), (2, 3, 2), padding=(0, 1, 1), count_include_pad=count),
        lambda x: F.adaptive_avg_pool2d(x, (4, 5)), lambda x: F.adaptive_avg_pool3d(x.unsqueeze(1), (2, 3, 2)),
        lambda x: F.pad(x, (2, 1, 0, 3), mode="reflect"), lambda x: F.pad(x, (2, 1, 0, 3), mode="circular"),
    )  # fmt: skip


@SEEDS
def test_normalisations(seed):
    torch.manual_seed(seed)
    tracked = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    tracked.running_mean.normal_()
    tracked.running_var.uniform_(0.5, 2)
    require(pictures(seed, 4), modules=[
        tracked, nn.InstanceNorm2d(4, affine=True), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(6),
        nn.BatchNorm2d(4), nn.LayerNorm((4, 6, 6), bias=False), nn.RMSNorm(6), nn.LocalResponseNorm(3),
        nn.LocalResponseNorm(2, alpha=0.5, k=2.0),
    ])  # fmt: skip


# --- attention ------------------------------------------------------------------------------------------------------------

CAUSAL = torch.ones(5, 5).triu(1).bool()
PADDING = torch.tensor([False, False, False, True, True])
GIVEN = {
    "plain": {},
    "weights returned for every head": {"average_attn_weights": False},
    "no weights": {"need_weights": False},
    "causal": {"attn_mask": CAUSAL},
    "causal, as floats": {"attn_mask": nn.Transformer.generate_square_subsequent_mask(5), "is_causal": True},
    "padding": {"key_padding_mask": PADDING},
    "both, no weights": {"attn_mask": CAUSAL, "key_padding_mask": PADDING, "need_weights": False},
}


class Attends(nn.Module):
    def __init__(self, given, **options) -> None:
        super().__init__()
        self.attention, self.given = nn.MultiheadAttention(8, 2, batch_first=True, **options), given

    def forward(self, x):
        given = {**self.given}
        if "key_padding_mask" in given:
            given["key_padding_mask"] = given["key_padding_mask"].expand(len(x), -1)
        return self.attention(x, x, x, **given)[0]


@pytest.mark.parametrize("given", GIVEN)
def test_multi_head_attention(given):
    torch.manual_seed(0)
    options = {"add_bias_kv": True, "add_zero_attn": True} if given == "plain" else {}
    program = checked(Attends(GIVEN[given], **options), torch.randn(3, 5, 8))
    assert all(name.startswith("attention") for name, node in program.nodes.items() if node.role in ("function", "product"))


class ConstantQuery(nn.Module):
    """Attention pooling by a learnt query, the same for every sample."""

    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.query, self.need_weights = nn.Parameter(torch.randn(1, 2, 8)), need_weights
        self.attention, self.embed = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(4, 8)

    def forward(self, x):
        x = self.embed(x)
        return self.attention(self.query.expand(len(x), -1, -1), x, x, need_weights=self.need_weights)[0][:, 0]


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_learnt_query(need_weights):
    torch.manual_seed(0)
    checked(ConstantQuery(need_weights), torch.randn(3, 5, 4))


def heads(x, count: int):
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def linear_attention(x):
    q, k = F.elu(x) + 1, F.elu(x.flip(1)) + 1
    sums = torch.einsum("bnd,bne->bde", k, x)
    return torch.einsum("bnd,bde,bn->bne", q, sums, 1 / torch.einsum("bnd,bd->bn", q, k.sum(1)))


def with_alibi(x):
    q = x.unflatten(-1, (2, -1))
    distance = (torch.arange(x.shape[1])[None] - torch.arange(x.shape[1])[:, None]).abs()
    bias = -distance * torch.tensor([0.5, 0.25]).view(2, 1, 1)
    weights = (torch.einsum("bihd,bjhd->bhij", q, q.flip(1)) * q.shape[-1] ** -0.5 + bias).softmax(-1)
    return torch.einsum("bhij,bjhd->bihd", weights, q).flatten(2)


def with_a_softmax_by_hand(x):
    scores = x @ x.transpose(1, 2)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True) @ x


def with_grouped_queries(x):
    q, k = heads(x, 4), heads(x[:, :, : x.shape[-1] // 2], 2)
    return F.scaled_dot_product_attention(q, k, k.flip(2), is_causal=True, enable_gqa=True)


@pytest.mark.parametrize("attention", [linear_attention, with_alibi, with_a_softmax_by_hand, with_grouped_queries])
def test_attention_as_people_write_it(attention):
    require(torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0)), attention)


# --- what stays as it is, and what is said ---------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act, self.norm = nn.Linear(4, 4), nn.Mish(), nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(self.act(self.fc(x)))


def test_parts_stay_under_their_module_and_what_the_table_has_stays_whole():
    program = checked(nn.Sequential(Block(), Block()), torch.randn(3, 5, 4))
    made = {name: node.function for name, node in program.nodes.items() if node.role == "function"}
    assert sorted(made.values()) == ["layer_norm", "layer_norm", "softplus", "softplus", "tanh", "tanh"]
    for name, function in made.items():
        assert name.startswith(("0.norm", "1.norm") if function == "layer_norm" else ("0.act", "1.act"))


def test_the_whole_is_checked_and_not_its_parts_alone(monkeypatch):
    """A composition that is not its operation would be a graph that agrees with itself."""
    monkeypatch.setitem(compositions.COMPOSITIONS, "mish", lambda x: x * torch.tanh(F.softplus(x) + 1e-6))
    with pytest.raises(ConversionError, match=r"operation mish in 0\.act\) is the first that differs"):
        checked(nn.Sequential(Block()), torch.randn(3, 5, 4))


class Hard(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.embed = function, nn.Linear(4, 4)

    def forward(self, x):
        return self.function(self.embed(x))


@pytest.mark.parametrize(
    ("function", "operation", "reason"),
    [
        (torch.round, "round", "jumps"),
        (F.hardshrink, "le", "jumps"),
        (lambda x: F.threshold(x, 0.5, 0.0), "threshold", "jumps"),
        (lambda x: torch.where(x > 0, x, -x), "gt", "jumps"),
        (torch.sinc, "sinc", "of its parts eq jumps"),
        (lambda x: x.topk(2)[0], "topk", "selects by rank"),
        (nn.BatchNorm1d(4, track_running_stats=False), "_native_batch_norm_legit", "mixes samples"),
        (lambda x: x.var(), "var", "tied to the batch"),
        (torch.erfinv, "erfinv", "is not in the table of operations"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_as_the_model_calls_it(function, operation, reason):
    with pytest.raises(CaptureError) as caught:
        checked(Hard(function), torch.randn(3, 4, 4))
    assert caught.value.refused[0].operation == operation
    assert reason in caught.value.refused[0].reason
    assert "prims" not in str(caught.value)
