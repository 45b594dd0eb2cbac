"""Sentence similarity: a small encoder learns how alike sentences of a grammar are, and its program is asked the same.

python -m tests.support.similarity        writes the table in docs/support.md anew
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import ecmt_deploy as ecmt
from docs.generate.documents import put, table
from ecmt_deploy.models.hf_text import Pooled
from tests.support import sentences as grammar

DOCUMENT = Path(__file__).parents[2] / "docs" / "support.md"
PRESETS, STEPS = ("accurate", "graded"), (1, 4, 16)
CALIBRATION, ASKED = 48, 60
SLOTS = (grammar.SUBJECTS, grammar.VERBS, grammar.OBJECTS, grammar.PLACES)


@dataclass(frozen=True)
class Row:
    """How well a program ranks pairs of sentences, after a number of steps.

    Attributes
    ----------
    preset, timesteps : of the program
    with_model : Spearman's rank correlation of its cosine similarities with those of the model, over all pairs
    with_truth, model_with_truth : of both with the share of phrases that two sentences have in common
    """

    preset: str
    timesteps: int
    with_model: float
    with_truth: float
    model_with_truth: float


def drawn(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Sentences, and which phrase stands in each of their four slots (count, 4)."""
    draw = random.Random(seed)
    chosen = np.array([[draw.randrange(len(slot)) for slot in SLOTS] for _ in range(count)])
    words = [" ".join(filter(None, (slot[i] for slot, i in zip(SLOTS, row, strict=True)))) for row in chosen]
    return words, chosen


def tokens(texts: list[str]) -> dict[str, Tensor]:
    made = grammar.tokenizer(pair=False)
    found = made(texts, padding="max_length", max_length=grammar.LONGEST, return_tensors="pt")
    return {name: found[name] for name in ("input_ids", "attention_mask")}


def trained(steps: int = 150) -> nn.Module:
    """A BERT of one block with the mean of its tokens, taught the share of phrases that two sentences have in common."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Pooled(grammar.bert("BertModel", add_pooling_layer=False), "mean")
        optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
        for step in range(steps):
            texts, chosen = drawn(48, 1000 + step)
            vectors = nn.functional.normalize(model(**tokens(texts)), dim=-1)
            common = torch.from_numpy((chosen[:, None] == chosen[None]).mean(-1)).float()
            loss = (vectors @ vectors.T - common).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


def cosines(vectors: Tensor) -> np.ndarray:
    """Cosine similarities of all pairs of vectors (N, width)."""
    unit = nn.functional.normalize(vectors.double(), dim=-1)
    first, second = torch.triu_indices(len(unit), len(unit), 1)
    return (unit[first] * unit[second]).sum(-1).numpy()


def measure(model: nn.Module, preset: str) -> list[Row]:
    """The rows of one preset, a program as it comes, after 1, 4 and 16 steps."""
    texts, chosen = drawn(ASKED, 7)
    snn = ecmt.convert(model, tokens(drawn(CALIBRATION, 3)[0]), ecmt.ConvertConfig(preset))
    asked = tokens(texts)
    packed = snn.program.inputs.pack({name: array.numpy() for name, array in asked.items()})
    with torch.no_grad():
        readouts, own = snn(torch.from_numpy(packed), max(STEPS)), cosines(model(**asked))
    first, second = np.triu_indices(ASKED, 1)
    common = (chosen[first] == chosen[second]).mean(-1)
    rows = []
    for timesteps in STEPS:
        found = cosines(readouts[timesteps - 1])
        against = (spearmanr(found, own), spearmanr(found, common), spearmanr(own, common))
        rows.append(Row(preset, timesteps, *(float(one.statistic) for one in against)))
    return rows


if __name__ == "__main__":
    encoder = trained()
    measured = [row for preset in PRESETS for row in measure(encoder, preset)]
    cells = [[r.preset, str(r.timesteps), f"{r.with_model:.4f}", f"{r.with_truth:.3f}"] for r in measured]
    cells.append(["the model itself", "", "1", f"{measured[0].model_with_truth:.3f}"])
    heads = ["preset", "T", "rank correlation with the model's similarities", "with the share of common phrases"]
    put(DOCUMENT, "similarity", table(heads, cells))
