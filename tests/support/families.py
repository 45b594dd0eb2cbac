"""Small random models of every supported family, what converting them gives, and the table in docs/support.md.

python -m tests.support.families        writes the table anew
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import timm
import timm.layers
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import swin_transformer

from docs.generate.documents import block, put
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.program import Program, ops

DOCUMENT = Path(__file__).parents[2] / "docs" / "support.md"
INPUTS, CALIBRATION, STEPS = 24, 32, 16

#: modules that count as blocks: each must matter
BLOCK = re.compile(r"\w*Block\w*|\w*EncoderLayer|LevitStage")


@dataclass(frozen=True)
class Family:
    """How to build one: a name, a constructor, the shape of a sample."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, 32, 32)
    fused: bool = False
    gain: float = 1.0


def _timm(name: str, architecture: str, fused: bool = False, gain: float = 1.0, **options: Any) -> Family:
    size = int(options.get("img_size", 32))
    return Family(name, lambda: timm.create_model(architecture, num_classes=16, **options), (3, size, size), fused, gain)


class Encoder(nn.Module):
    """A text encoder behind its embeddings: (tokens, channels) to 16 features."""

    def __init__(self, mask: bool, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=norm_first, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(32), enable_nested_tensor=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(9) if mask else None)
        self.project = nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.encoder(x, mask=self.mask)[:, -1])


class SequenceFirst(Encoder):
    """The same with torch's default layout, tokens before the batch."""

    def __init__(self) -> None:
        super().__init__(False, False)
        for layer in self.encoder.layers:
            layer.self_attn.batch_first = False

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.encoder(x.transpose(0, 1)).mean(0))


_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4}
_SWIN = {"img_size": 32, "window_size": 4, "patch_size": 2, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4)}
_TV_SWIN = ([2, 2], 16, [2, 2], [2, 4], [4, 4])
FAMILIES = (
    _timm("ViT, class token", "vit_tiny_patch16_224", **_VIT),
    _timm("ViT, class token, fused attention", "vit_tiny_patch16_224", fused=True, **_VIT),
    _timm("ViT, average pooling", "vit_tiny_patch16_224", global_pool="avg", class_token=False, **_VIT),
    _timm("ViT, register tokens", "vit_tiny_patch16_224", reg_tokens=4, **_VIT),
    _timm("ViT, qk-norm", "vit_tiny_patch16_224", qk_norm=True, **_VIT),
    _timm("ViT, layer scale", "vit_tiny_patch16_224", init_values=1.0, **_VIT),
    _timm("ViT, SwiGLU", "vit_tiny_patch16_224", mlp_layer=timm.layers.SwiGLUPacked, act_layer=nn.SiLU, **_VIT),
    _timm("ViT, pre-norm", "vit_tiny_patch16_224", pre_norm=True, **_VIT),
    _timm("DeiT", "deit_tiny_patch16_224", **_VIT),
    _timm("DeiT, distilled", "deit_tiny_distilled_patch16_224", **_VIT),
    _timm("EVA", "eva_giant_patch14_224", **_VIT),
    _timm("EVA-02 (rope, SwiGLU, sub-norm)", "eva02_base_patch14_224", **_VIT),
    _timm("BEiT (relative position bias)", "beit_base_patch16_224", **_VIT),
    _timm("Swin", "swin_tiny_patch4_window7_224", **_SWIN),
    _timm("Swin V2", "swinv2_tiny_window8_256", **_SWIN),
    _timm("CaiT", "cait_xxs24_224", **_VIT),
    # with smaller matrices its class attention averages the tokens away, and no block matters
    _timm("XCiT", "xcit_nano_12_p16_224", gain=2.0, cls_attn_layers=1, **{**_VIT, "patch_size": 16}),
    _timm("SigLIP (attention pooling)", "vit_base_patch16_siglip_224", **_VIT),
    _timm("SigLIP, fused attention", "vit_base_patch16_siglip_224", fused=True, **_VIT),
    _timm("DINOv2, registers", "vit_small_patch14_reg4_dinov2", **_VIT),
    _timm("CLIP image tower", "vit_base_patch16_clip_224", **_VIT),
    _timm("ConvNeXt", "convnext_atto", depths=(1, 1, 1, 1), dims=(16, 32, 48, 64)),
    _timm("MobileViT v2", "mobilevitv2_050", img_size=64),
    _timm("LeViT", "levit_128s", img_size=64, embed_dim=(32, 48), num_heads=(2, 3), depth=(1, 1), key_dim=8),
    Family("torchvision vit_b_16", lambda: torchvision.models.VisionTransformer(32, 8, 2, 4, 48, 96, num_classes=16)),
    Family("torchvision swin_t", lambda: torchvision.models.SwinTransformer(*_TV_SWIN, num_classes=16)),
    Family(
        "torchvision swin_v2_t",
        lambda: torchvision.models.SwinTransformer(
            *_TV_SWIN,
            num_classes=16,
            block=swin_transformer.SwinTransformerBlockV2,
            downsample_layer=swin_transformer.PatchMergingV2,
        ),
    ),
    Family("torch.nn.TransformerEncoder", lambda: Encoder(False, False), (9, 32)),
    Family("torch.nn.TransformerEncoder, causal mask, pre-norm", lambda: Encoder(True, True), (9, 32)),
    Family("torch.nn.TransformerEncoder, sequence first", SequenceFirst, (9, 32)),
)


def randomised(family: Family) -> nn.Module:
    """A model of the family, randomised."""
    with _fused(family.fused):
        torch.manual_seed(0)
        return randomise(family.build().eval(), family.gain)


def randomise(model: nn.Module, gain: float | None = 1.0) -> nn.Module:
    """Make every parameter and batch-norm statistic of a model random and of order one; matrices keep the scale of what passes
    through them. Without a ``gain`` matrices are left as they are: a deep model of large random ones amplifies rounding."""
    r = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in [*model.named_parameters(), *model.named_buffers()]:
            leaf = name.rpartition(".")[2]
            if leaf == "running_var" or (p.ndim == 1 and re.search(r"weight|gamma|scale|lambda|temperature", name)):
                p.uniform_(0.5, 1.5, generator=r)
            elif leaf == "logit_scale" or leaf == "temperature":
                p.copy_(p * torch.empty_like(p).uniform_(0.5, 1.5, generator=r))
            elif leaf == "running_mean" or (isinstance(p, nn.Parameter) and p.ndim <= 1):
                p.normal_(0, 0.1 if gain is None else 0.5, generator=r)
            elif isinstance(p, nn.Parameter) and re.search(r"token|pos_embed|embedding|table|latent|probe|gamma", name):
                p.normal_(0, 1, generator=r)
            elif isinstance(p, nn.Parameter) and gain is not None:
                scale = 2.0 if p.ndim > 2 else gain  # convolutions stand before halving nonlinearities
                p.normal_(0, (scale / prod(p.shape[1:])) ** 0.5, generator=r)
    return model


@contextmanager
def _fused(on: bool) -> Iterator[None]:
    timm.layers.set_fused_attn(on)
    try:
        yield
    finally:
        timm.layers.set_fused_attn(False)


def inputs(family: Family, count: int, seed: int) -> Tensor:
    return torch.randn(count, *family.shape, generator=torch.Generator().manual_seed(seed))


def idle_blocks(model: nn.Module, x: Tensor) -> list[str]:
    """Blocks without whose parameters the output stays within 10 %; and a complaint where no block is found."""
    blocks = [(name, module) for name, module in model.named_modules() if BLOCK.fullmatch(type(module).__name__)]
    idle = [] if blocks else ["no blocks found"]
    with torch.no_grad():
        expected = model(x)
        for name, block in blocks:
            kept = [p.clone() for p in block.parameters()]
            if not kept:
                continue
            for p in block.parameters():
                p.zero_()
            change = float((model(x) - expected).norm() / expected.norm())
            for p, old in zip(block.parameters(), kept, strict=True):
                p.copy_(old)
            if not change > 0.1:
                idle.append(f"{name}: {change:.3f}")
    return idle


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    family: str
    operations: str
    nodes: int
    analog_difference: float
    cosine_4: float
    cosine_16: float
    idle: tuple[str, ...]


def measure(family: Family) -> Result:
    model = randomised(family)
    x, calibration = inputs(family, INPUTS, 2), inputs(family, CALIBRATION, 3)
    spiking = convert(model, calibration, ConvertConfig())
    with torch.no_grad():
        expected = model(x)
    difference = float((spiking.analog(x) - expected).abs().max() / expected.abs().max())
    readouts = spiking(x, STEPS)
    return Result(
        family.name,
        operations(spiking.program),
        len(spiking.program.nodes),
        difference,
        centred_cosine(readouts[3], expected),
        centred_cosine(readouts[STEPS - 1], expected),
        tuple(idle_blocks(model, x)),
    )


def operations(program: Program) -> str:
    """What the program computes besides wiring and constants."""
    found = set()
    for node in program.nodes.values():
        if isinstance(node, ops.ECM):
            found.add(node.function)
        elif isinstance(node, ops.ECMProduct):
            found.add(f"{node.product} of activations")
        elif node.role == "synapse":
            found.add(type(node).__name__.lower().replace("lastaxislinear", "linear"))
    return ", ".join(sorted(found))


def centred_cosine(found: Tensor, expected: Tensor) -> float:
    """Mean over samples of the cosine, both centred over the samples."""
    a, b = ((x - x.mean(0)).flatten(1).double() for x in (found, expected))
    return float(nn.functional.cosine_similarity(a, b).mean())


def table(results: list[Result]) -> str:
    lines = [
        "| family | operations with arithmetic | nodes | analog difference | cosine, T = 4 | cosine, T = 16 |",
        "|---|---|---|---|---|---|",
    ]
    for r in results:
        lines.append(
            f"| {r.family} | {r.operations} | {r.nodes} | {order(r.analog_difference)} | {r.cosine_4:.3f} | {r.cosine_16:.3f} |"
        )
    return "\n".join(lines)


def order(difference: float) -> str:
    """A rounding error, as the power of ten it stays below."""
    power = -9
    while difference >= 10.0**power:
        power += 1
    return f"< 1e{power}"


def rows() -> list[str]:
    """Those of the document."""
    return block(DOCUMENT, "families")[2:]


#: these take longest, or have no block that no other has: DeiT those of ViT, EVA's attention and MLP are in EVA-02 and ViT,
#: registers and layer scale in DINOv2, gates in EVA-02, CLIP's norm before the blocks in "ViT, pre-norm"
#: a family for each kind of attention: plain, with norms and with rotary positions of queries and keys, in windows, masked
KINDS_OF_ATTENTION = {
    "ViT, class token", "ViT, qk-norm", "EVA-02 (rope, SwiGLU, sub-norm)", "Swin",
    "torch.nn.TransformerEncoder, causal mask, pre-norm",
}  # fmt: skip
#: of these two for tests that rewrite a program, whatever it came from
TWO = ("ViT, qk-norm", "EVA-02 (rope, SwiGLU, sub-norm)")


if __name__ == "__main__":
    made = []
    for one in FAMILIES:
        made.append(measure(one))
        print(made[-1], flush=True)
    put(DOCUMENT, "families", table(made).splitlines())
