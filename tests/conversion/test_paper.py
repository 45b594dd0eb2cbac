"""Preset ``paper``, re-derived by hand: every step of a transformer written down from the equations alone, nothing of the
project used.

Equations: multi-threshold neuron, expectation compensation and readout of *Towards High-performance Spiking Transformers from
ANN to SNN Conversion* (Huang et al., ACM MM 2024).
"""

import numpy as np
import pytest
import timm
import torch
from scipy.special import erf

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.program import ops
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer

STEPS, LEVELS = 6, 8


class Neuron:
    """v <- v + x; the largest k with v >= P_k - p/2 fires P_k, else the largest with -v >= M_k - m/2 fires -M_k; v <- v - s."""

    def __init__(self, p: float, m: float) -> None:
        self.p, self.m, self.v = p, m, 0.0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.v = self.v + x
        s = np.zeros_like(self.v)
        for index, v in np.ndenumerate(self.v):
            for k in range(LEVELS):
                if v >= self.p * 2**k - self.p / 2:
                    s[index] = self.p * 2**k
                elif -v >= self.m * 2**k - self.m / 2:
                    s[index] = -self.m * 2**k
        self.v = self.v - s
        return s


class Compensation:
    """y_t = t f(X_t / t) - (t - 1) f(X_{t-1} / (t - 1)), y_1 = f(x_1)."""

    def __init__(self, f) -> None:
        self.f, self.t, self.totals = f, 0, None

    def __call__(self, *xs: np.ndarray) -> np.ndarray:
        before = 0.0 if self.t == 0 else self.t * self.f(*(total / self.t for total in self.totals))
        self.totals = xs if self.totals is None else tuple(total + x for total, x in zip(self.totals, xs, strict=True))
        self.t += 1
        return self.t * self.f(*(total / self.t for total in self.totals)) - before


def normalise(layer):
    w, b = layer.weight.numpy(), layer.bias.numpy()

    def f(x):
        centred = x - x.mean(-1, keepdims=True)
        return w * centred / np.sqrt((centred**2).mean(-1, keepdims=True) + layer.eps) + b

    return f


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def linear(layer, x, bias=True):
    return x @ layer.weight.numpy().T + (layer.bias.numpy() if bias else 0.0)


def split(qkv):
    """(5, 36) to q, k, v of 3 heads, (3, 5, 4) each."""
    q, k, v = qkv.reshape(5, 3, 3, 4).transpose(1, 2, 0, 3)
    return 0.5 * q, k.transpose(0, 2, 1), v


def join(heads):
    return heads.transpose(1, 0, 2).reshape(5, 12)


def embed(model, image):
    with torch.no_grad():
        patches = model.patch(torch.from_numpy(image)[None]).flatten(2).transpose(1, 2)[0].numpy()
    return np.concatenate([model.token[0].detach().numpy(), patches]) + model.position[0].detach().numpy()


def operands(model, image):
    """What reaches each neuron of the analog transformer."""
    x = embed(model, image)
    seen = {"qkv": normalise(model.norm1)(x)}
    q, k, v = split(linear(model.qkv, seen["qkv"]))
    seen |= {"matmul_left": q, "matmul_right": k, "matmul_1_right": v}
    attention = softmax(q @ k)
    seen["proj"] = join(attention @ v)
    x = x + linear(model.proj, seen["proj"])
    seen["fc1"] = normalise(model.norm2)(x)
    seen["fc2"] = gelu(linear(model.fc1, seen["fc1"]))
    return seen


def kth(values, share):
    """The k-th smallest value, k = int(share n), at least the first."""
    return np.sort(values, axis=None)[max(int(share * values.size), 1) - 1]


def bases(model, batches, mlp_bases):
    """99th and 1st percentile of every operand, mean over batches; the fixed ones of softmax, and of the second layer."""
    p, m = {}, {}
    per_batch = [[operands(model, image) for image in batch] for batch in batches]
    for name in per_batch[0][0]:
        values = [np.stack([seen[name] for seen in batch]) for batch in per_batch]
        p[name] = np.mean([kth(batch, 0.99) for batch in values])
        m[name] = -np.mean([kth(batch, 1 - 0.99) for batch in values])
    p["matmul_1_left"] = m["matmul_1_left"] = 0.0125
    if mlp_bases == "fixed":
        p["fc2"], m["fc2"] = 0.25, 0.08
    return {name: Neuron(p[name], m[name]) for name in p}


def by_hand(model, image, neurons):
    """Streams of every step, by the name of the module or node that computes them."""
    x0 = embed(model, image)  # the encoding layer sends the same at every step
    norm1, norm2, norm = (Compensation(normalise(layer)) for layer in (model.norm1, model.norm2, model.norm))
    scores, values = Compensation(np.matmul), Compensation(np.matmul)
    attention, activation = Compensation(softmax), Compensation(gelu)
    total, steps = 0.0, []
    for t in range(1, STEPS + 1):
        s = {"norm1": norm1(x0)}
        s["qkv.add"] = linear(model.qkv, neurons["qkv"](s["norm1"]))
        q, k, v = split(s["qkv.add"])
        s["matmul"] = scores(neurons["matmul_left"](q), neurons["matmul_right"](k))
        s["softmax"] = attention(s["matmul"])
        s["matmul_1"] = values(neurons["matmul_1_left"](s["softmax"]), neurons["matmul_1_right"](v))
        s["proj.add"] = linear(model.proj, neurons["proj"](join(s["matmul_1"])))
        x = x0 + s["proj.add"]
        s["norm2"] = norm2(x)
        s["fc1.add"] = linear(model.fc1, neurons["fc1"](s["norm2"]))
        s["act"] = activation(s["fc1.add"])
        s["fc2.add"] = linear(model.fc2, neurons["fc2"](s["act"]))
        s["norm"] = norm(x + s["fc2.add"])
        total = total + linear(model.head, s["norm"][0])  # the head takes its operand analog
        s["readout"] = total / t
        steps.append(s)
    return steps


@pytest.mark.parametrize("mlp_bases", ["fixed", "measured"])
def test_every_step_of_a_block_is_that_of_the_equations(mlp_bases):
    model = TinyTransformer(outlier=3.0).double()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    calibration = images(24, seed=1).astype(np.float64)
    batches = [calibration[:8], calibration[8:]]
    spiking = convert(model, [torch.from_numpy(b) for b in batches], ConvertConfig("paper", mlp_bases=mlp_bases))
    image = images(1, seed=5)[0].astype(np.float64)
    expected = by_hand(model, image, bases(model, batches, mlp_bases))

    streams: dict[str, list[np.ndarray]] = {}
    spiking.watch(torch.from_numpy(image)[None], STEPS, lambda n, x: streams.setdefault(n, []).append(x[0].numpy()))
    fired = 0
    for t in range(STEPS):
        for name, value in expected[t].items():
            found = streams[name][t]
            np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-9, err_msg=f"{name} at t = {t + 1}")
    for name in spiking.program.neurons:
        fired += sum(int(np.count_nonzero(s)) for s in streams[name])
    assert fired > 500, "silent neurons would agree on anything"
    assert {int(spiking.program.nodes[name].levels) for name in spiking.program.neurons} == {LEVELS}


SMALL = {"img_size": 32, "patch_size": 16, "depth": 1, "embed_dim": 24, "num_heads": 2, "num_classes": 5}


@pytest.mark.parametrize(
    ("name", "asked", "found"),
    [
        ("vit_tiny_patch16_224", None, "fixed"),
        pytest.param("deit_tiny_distilled_patch16_224", None, "fixed", marks=pytest.mark.slow),
        ("vit_tiny_patch16_224", "measured", "measured"),
        ("eva_giant_patch14_224", None, "measured"),  # its MLP is that of a plain one
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("eva_giant_patch14_224", "fixed", "fixed"),
                ("eva02_tiny_patch14_224", None, "measured"),
                ("beit_base_patch16_224", None, "measured"),
            )
        ),
    ],
)
def test_bases_before_the_second_layer_are_fixed_in_plain_vision_transformers_alone(name, asked, found):
    torch.manual_seed(0)
    model = timm.create_model(name, **SMALL).eval()
    program = convert(model, torch.randn(4, 3, 32, 32), ConvertConfig("paper", mlp_bases=asked)).program
    assert program.provenance.config["mlp_bases"] == found
    second = program.nodes["blocks.0.mlp.fc2.neuron"]
    assert ((float(second.positive_base), float(second.negative_base)) == (0.25, np.float32(0.08))) == (found == "fixed")
    softmax = [
        program.nodes[name]
        for name, sources in program.operands.items()
        if isinstance(program.nodes[name], ops.MultiThreshold) and "softmax" in sources[0]
    ]
    assert {(float(node.positive_base), float(node.negative_base)) for node in softmax} == {(np.float32(0.0125),) * 2}


def test_a_vision_transformer_in_another_module_is_one():
    model = torch.nn.Sequential(torch.nn.Identity(), timm.create_model("vit_tiny_patch16_224", **SMALL)).eval()
    program = convert(model, torch.randn(4, 3, 32, 32), ConvertConfig("paper")).program
    assert float(program.nodes["1.blocks.0.mlp.fc2.neuron"].positive_base) == 0.25


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"preset": "paper", "mlp_bases": "guessed"}, "mlp_bases is 'guessed'; choose fixed or measured"),
        ({"mlp_bases": "fixed"}, "preset accurate has no mlp_bases.*choose preset paper"),
    ],
)
def test_bases_that_cannot_be_had_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        ConvertConfig(**settings)
