"""Small random models of `transformers`, one for each kind that people have, with inputs for them.

``SMALL[name].make()`` builds one in eval mode; ``SMALL[name].inputs(count, seed)`` gives what it is called with: a tensor
(N, ..) for its first argument, or a dict of named tensors (N, ..) for the arguments of these names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn

#: pixels of an edge, tokens of a sentence, and how many there are
EDGE, LENGTH, VOCABULARY = 32, 12, 64
CLASSES = 7
#: the width, the width within an MLP, heads, blocks
_BLOCKS: dict[str, Any] = {
    "hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 1,
}  # fmt: skip
_VIT: dict[str, Any] = {**_BLOCKS, "image_size": EDGE, "patch_size": 8, "num_labels": CLASSES}
_SWIN: dict[str, Any] = {
    "image_size": EDGE, "patch_size": 2, "embed_dim": 12, "depths": [2, 1], "num_heads": [2, 2], "window_size": 4,
    "num_labels": CLASSES,
}  # fmt: skip
_TEXT: dict[str, Any] = {
    **_BLOCKS, "vocab_size": VOCABULARY, "max_position_embeddings": 32, "pad_token_id": 0, "num_labels": CLASSES,
}  # fmt: skip


@dataclass(frozen=True)
class Small:
    """A model of one kind.

    Attributes
    ----------
    build : builds it; its parameters are random
    shape : of one image or signal, (C, H, W) or (samples,); ``None`` for a model of text
    output : which output is meant, where the model has several
    mask : whether the attention mask is an input beside the token ids
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] | None = (3, EDGE, EDGE)
    output: str | None = None
    mask: bool = True

    def make(self) -> nn.Module:
        """The model in eval mode, the same every time; matrices of order one, so that every block matters."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = self.build().eval()
            with torch.no_grad():
                for name, p in model.named_parameters():
                    if p.ndim > 1 and "embed" not in name:
                        p.normal_(0, (1.5 / max(p[0].numel(), 1)) ** 0.5)
                    elif p.ndim > 1:
                        p.normal_(0, 0.5)
                    elif name.endswith("bias"):
                        p.normal_(0, 0.2)
                    elif name.endswith("weight"):
                        p.uniform_(0.5, 1.5)
                self._normalised(model)
        return model

    def _normalised(self, model: nn.Module) -> None:
        """Give batch norms the statistics of pictures, without which deep stacks of them vanish or explode."""
        norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        if norms:
            model(self.inputs(16, 1))
        for norm in norms:
            norm.eval()

    def inputs(self, count: int, seed: int = 0) -> Tensor | dict[str, Tensor]:
        """Pictures or signals (N, *shape), standard normal; or ``input_ids`` and ``attention_mask`` (N, 12), of several
        lengths, the first of full length."""
        generator = torch.Generator().manual_seed(seed)
        if self.shape is not None:
            return torch.randn(count, *self.shape, generator=generator)
        ids = torch.randint(4, VOCABULARY, (count, LENGTH), generator=generator)
        lengths = torch.randint(LENGTH // 3, LENGTH + 1, (count, 1), generator=generator)
        lengths[0] = LENGTH
        mask = (torch.arange(LENGTH) < lengths).long()
        ids = torch.where(mask.bool(), ids, 0)
        return {"input_ids": ids, "attention_mask": mask} if self.mask else {"input_ids": ids}


class Unmasked(nn.Module):
    """A masked autoencoder's encoder that sees all patches in an order of its own: its forward draws one anew every time
    unless it is given the noise that it sorts by."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("noise", torch.rand(1, (EDGE // 8) ** 2, generator=torch.Generator().manual_seed(0)))

    def forward(self, pixel_values: Tensor) -> Any:
        noise = self.get_buffer("noise")
        return self.model(pixel_values, noise=noise.expand(pixel_values.shape[0], -1))


def _of(model: str, config: str, text: bool = False, **options: Any) -> Callable[[], nn.Module]:
    """Builds ``transformers.MODEL`` from ``transformers.CONFIG`` with these options."""
    base = _TEXT if text else {}
    return lambda: getattr(transformers, model)(getattr(transformers, config)(**{**base, **options}))


def _text(model: str, config: str, output: str | None = None, mask: bool = True, **options: Any) -> Small:
    return Small(_of(model, config, True, **options), None, output, mask)


def _decoder(model: str, config: str, **options: Any) -> Small:
    return _text(model, config, num_key_value_heads=2, use_cache=False, **options)


SMALL: dict[str, Small] = {
    "ViT": Small(_of("ViTForImageClassification", "ViTConfig", **_VIT)),
    "ViT, features": Small(_of("ViTModel", "ViTConfig", **_VIT), output="pooler_output"),
    "DeiT": Small(_of("DeiTForImageClassification", "DeiTConfig", **_VIT)),
    "DeiT, with teacher": Small(_of("DeiTForImageClassificationWithTeacher", "DeiTConfig", **_VIT), output="logits"),
    "BEiT": Small(_of("BeitForImageClassification", "BeitConfig", **_VIT, use_relative_position_bias=True)),
    "Data2Vec vision": Small(_of("Data2VecVisionForImageClassification", "Data2VecVisionConfig", **_VIT)),
    "Swin": Small(_of("SwinForImageClassification", "SwinConfig", **_SWIN)),
    "Swin V2": Small(_of("Swinv2ForImageClassification", "Swinv2Config", **_SWIN)),
    "DINOv2": Small(_of("Dinov2ForImageClassification", "Dinov2Config", **_VIT)),
    "DINOv2, registers": Small(
        _of("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", **_VIT, num_register_tokens=2)
    ),
    "DINOv3": Small(_of("DINOv3ViTModel", "DINOv3ViTConfig", **_VIT, num_register_tokens=2), output="pooler_output"),
    "ConvNeXt": Small(
        _of("ConvNextForImageClassification", "ConvNextConfig", hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1],
            num_labels=CLASSES)
    ),
    "ConvNeXt V2": Small(
        _of("ConvNextV2ForImageClassification", "ConvNextV2Config", hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1],
            num_labels=CLASSES)
    ),
    "MobileViT": Small(
        _of("MobileViTForImageClassification", "MobileViTConfig", image_size=64, hidden_sizes=[12, 16, 20],
            num_attention_heads=2, neck_hidden_sizes=[8, 8, 12, 12, 16, 16, 24], num_labels=CLASSES),
        (3, 64, 64),
    ),
    "MobileViT V2": Small(
        _of("MobileViTV2ForImageClassification", "MobileViTV2Config", image_size=64, width_multiplier=0.25,
            n_attn_blocks=[1, 1, 1], num_labels=CLASSES),
        (3, 64, 64),
    ),
    "SegFormer": Small(
        _of("SegformerForImageClassification", "SegformerConfig", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 2], decoder_hidden_size=16, num_labels=CLASSES)
    ),
    "SegFormer, segmentation": Small(
        _of("SegformerForSemanticSegmentation", "SegformerConfig", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 2], decoder_hidden_size=16, num_labels=CLASSES)
    ),
    "PVT": Small(
        _of("PvtForImageClassification", "PvtConfig", image_size=EDGE, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 2], num_labels=CLASSES)
    ),
    "PVT V2": Small(
        _of("PvtV2ForImageClassification", "PvtV2Config", image_size=EDGE, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 2], num_labels=CLASSES)
    ),
    "LeViT": Small(
        _of("LevitForImageClassification", "LevitConfig", image_size=64, hidden_sizes=[16, 24, 32],
            num_attention_heads=[2, 3, 4], depths=[1, 1, 1], key_dim=[8, 8, 8], num_labels=CLASSES),
        (3, 64, 64),
    ),
    "CvT": Small(
        _of("CvtForImageClassification", "CvtConfig", embed_dim=[8, 12, 16], num_heads=[1, 2, 2], depth=[1, 2, 3],
            num_labels=CLASSES)  # its code takes the drop path of a block from a list by the number of the stage
    ),
    "ViT MSN": Small(_of("ViTMSNForImageClassification", "ViTMSNConfig", **_VIT)),
    "ViT MAE": Small(
        lambda: Unmasked(_of("ViTMAEModel", "ViTMAEConfig", **_VIT, mask_ratio=0.0)()), output="last_hidden_state"
    ),
    "CLIP vision": Small(_of("CLIPVisionModel", "CLIPVisionConfig", **_VIT), output="pooler_output"),
    "CLIP vision, projected": Small(
        _of("CLIPVisionModelWithProjection", "CLIPVisionConfig", **_VIT, projection_dim=16), output="image_embeds"
    ),
    "SigLIP vision": Small(_of("SiglipVisionModel", "SiglipVisionConfig", **_VIT), output="pooler_output"),
    "Hiera": Small(
        _of("HieraForImageClassification", "HieraConfig", image_size=[EDGE, EDGE], embed_dim=16, depths=[1, 1],
            num_heads=[1, 2], query_stride=[2, 2], masked_unit_size=[4, 4], masked_unit_attention=[True, False],
            num_query_pool=1, num_labels=CLASSES)
    ),
    "BERT": _text("BertForSequenceClassification", "BertConfig"),
    "BERT, features": _text("BertModel", "BertConfig", "last_hidden_state"),
    "DistilBERT": _text(
        "DistilBertForSequenceClassification", "DistilBertConfig", dim=24, hidden_dim=48, n_heads=2, n_layers=1
    ),
    "RoBERTa": _text("RobertaForSequenceClassification", "RobertaConfig", max_position_embeddings=32),
    "XLM-RoBERTa": _text("XLMRobertaForSequenceClassification", "XLMRobertaConfig"),
    "ModernBERT": _text(
        "ModernBertForSequenceClassification", "ModernBertConfig", num_hidden_layers=2, local_attention=4,
        global_attn_every_n_layers=2, cls_token_id=4, sep_token_id=5, bos_token_id=4, eos_token_id=5,
    ),
    "T5 encoder": _text("T5EncoderModel", "T5Config", d_model=24, d_kv=12, d_ff=48, num_heads=2, num_layers=1),
    "GPT-2": _text(
        "GPT2ForSequenceClassification", "GPT2Config", n_embd=24, n_head=2, n_layer=1, n_positions=32, use_cache=False,
        bos_token_id=1, eos_token_id=1,
    ),
    "GPT-2, features": _text(
        "GPT2Model", "GPT2Config", n_embd=24, n_head=2, n_layer=1, n_positions=32, use_cache=False,
        bos_token_id=1, eos_token_id=1,
    ),
    "Llama": _decoder("LlamaForSequenceClassification", "LlamaConfig"),
    "Llama, grouped queries": _text(
        "LlamaModel", "LlamaConfig", num_attention_heads=4, num_key_value_heads=2, use_cache=False
    ),
    "Mistral": _decoder("MistralForSequenceClassification", "MistralConfig", sliding_window=4),
    "Qwen2": _decoder("Qwen2ForSequenceClassification", "Qwen2Config"),
    "ALBERT": _text("AlbertForSequenceClassification", "AlbertConfig", embedding_size=16),
    "ELECTRA": _text("ElectraForSequenceClassification", "ElectraConfig", embedding_size=16),
    "MPNet": _text("MPNetForSequenceClassification", "MPNetConfig"),
    "DeBERTa V2": _text("DebertaV2ForSequenceClassification", "DebertaV2Config", relative_attention=True,
                        pos_att_type=["p2c", "c2p"], max_relative_positions=8),
    "Wav2Vec2": Small(
        _of("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", **_BLOCKS, conv_dim=[8, 8], conv_stride=[5, 4],
            conv_kernel=[10, 4], num_feat_extract_layers=2, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
            classifier_proj_size=16, num_labels=CLASSES),
        (400,),
    ),
}  # fmt: skip
