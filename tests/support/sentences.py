"""Sentences of a small grammar, a tokenizer of their words, and small models that read them."""

from __future__ import annotations

import random
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

SUBJECTS = ("the cat", "a dog", "my sister", "the old man", "every child", "the teacher")
VERBS = ("sees", "likes", "finds", "paints", "forgets", "buys")
OBJECTS = ("a red ball", "the small house", "an apple", "green shoes", "the quiet river", "some bread")
PLACES = ("", "in the garden", "near the bridge", "at night", "after school")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
#: tokens of the longest sentence, with those at its ends
LONGEST = 12


def sentences(count: int, seed: int) -> list[str]:
    """Sentences of 5 to 10 words."""
    draw = random.Random(seed)
    parts = ((draw.choice(SUBJECTS), draw.choice(VERBS), draw.choice(OBJECTS), draw.choice(PLACES)) for _ in range(count))
    return [" ".join(part for part in chosen if part) for chosen in parts]


def vocabulary() -> list[str]:
    words = {word for part in (*SUBJECTS, *VERBS, *OBJECTS, *PLACES) for word in part.split()}
    return [*SPECIAL, *sorted(words)]


def tokenizer(pair: bool = True) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer of words, with tokens at both ends, as BERT's."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary())}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [(word, SPECIAL.index(word)) for word in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special
    )
    names = ["input_ids", "token_type_ids", "attention_mask"] if pair else ["input_ids", "attention_mask"]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=32, model_input_names=names,
    )  # fmt: skip


def bert(kind: str = "BertForSequenceClassification", **options: object) -> nn.Module:
    """A small random BERT in eval mode, of order one, that reads these sentences."""
    config = transformers.BertConfig(**{
        "vocab_size": len(vocabulary()), "hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 2,
        "num_hidden_layers": 1, "max_position_embeddings": 32, "pad_token_id": 0, "num_labels": 3, **options,
    })  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = getattr(transformers, kind)(config)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if p.ndim > 1:
                    p.normal_(0, 0.5 if "embed" in name else 1.2 * p.shape[1] ** -0.5)
    return model.eval()


def saved(path: Path, model: nn.Module | None = None) -> Path:
    """A directory of a model and its tokenizer, as people save them."""
    (bert() if model is None else model).save_pretrained(path)  # type: ignore[operator]
    tokenizer().save_pretrained(path)
    return path
