"""Token ids in: what follows from tokens and masks, masks of a softmax, look-ups by index, and models of text as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

import ecmt_deploy as ecmt
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.conversion.samples import calibration_batches, two_samples
from ecmt_deploy.conversion.self_check import self_check
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import CaptureError, ProgramError
from ecmt_deploy.program import Program, Provenance

WORDS, LENGTH, LOWEST = 30, 6, torch.finfo(torch.float32).min


class Small(nn.Module):
    """An embedding, a layer, and what a test makes of them."""

    def __init__(self, compute: Callable[..., Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head, self.compute = nn.Embedding(WORDS, 8), nn.Linear(8, 5), compute

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.compute(self, ids, mask)

    def features(self, ids: Tensor) -> Tensor:
        return self.head(self.words(ids)).relu()

    def scores(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words(ids)
        return x @ x.transpose(1, 2), x


def padded(count: int = 8, left: bool = False) -> dict[str, Tensor]:
    """Ids, the last (or first) of some samples padding, and their mask."""
    draw = torch.Generator().manual_seed(1)
    ids, mask = torch.randint(1, WORDS, (count, LENGTH), generator=draw), torch.ones(count, LENGTH, dtype=torch.long)
    for sample in range(count):
        pads = sample % 4
        where = slice(0, pads) if left else slice(LENGTH - pads, LENGTH)
        ids[sample, where], mask[sample, where] = 0, 0
    return {"ids": ids, "mask": mask}


def analog(model: nn.Module, data: dict[str, Tensor], coding: str) -> tuple[Program, float]:
    """The program of a model, checked against it, and its largest error over all samples."""
    batches, inputs, booleans = calibration_batches(data, model.eval())
    calling = called(model, batches[0], inputs, booleans=booleans)
    captured = capture(calling, batches[0])
    lowered = lower(captured, coding, torch.float32, Provenance(tool_version="test"), False)
    self_check(calling, captured, lowered, two_samples(batches, inputs))
    expected = calling(batches[0])
    found = SpikingModel(lowered.program).analog(batches[0])
    return lowered.program, float((found - expected).abs().max() / expected.abs().max())


def mean_pooled(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    w = mask.unsqueeze(-1).expand(-1, -1, 5).float()
    return (m.features(ids) * w).sum(1) / torch.clamp(w.sum(1), min=1e-9)


def last_by_index(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    places = (torch.arange(LENGTH) * mask).argmax(-1)
    return m.features(ids)[torch.arange(ids.shape[0]), places]


def last_by_gather(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return m.features(ids).gather(1, (mask.sum(-1) - 1)[:, None, None].expand(-1, 1, 5))[:, 0]


def gathered_each(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """An index of its own for every element."""
    return m.features(ids).gather(1, (mask.cumsum(1) - mask)[..., None] + torch.arange(5) * 0)


def positions(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    kept = ids.ne(0).int()
    return m.head(m.words(ids) + m.words((torch.cumsum(kept, 1) * kept).long() + 1)) * mask[..., None]


def logic(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    some, others = (ids > 3) & mask.bool(), (ids <= 7) | (ids == 20)
    x = m.words(ids)
    return x * (~(some ^ others))[..., None] + x * some.any(1)[:, None, None] - x * others.all(1)[:, None, None].float()


def ones_of_each(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return nn.functional.one_hot(ids * mask, WORDS).float() @ m.words.weight + m.words(ids)


def chosen(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask[..., None].bool(), m.features(ids), m.head.bias)


def added_mask(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    scores, x = m.scores(ids)
    return (scores + (1.0 - mask[:, None].float()) * LOWEST).softmax(-1) @ x


def causal_mask(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Padding on the left leaves rows in which nothing counts: those of equal scores."""
    scores, x = m.scores(ids)
    allowed = torch.ones(LENGTH, LENGTH).tril().bool() & mask[:, None].bool()
    return (scores + torch.where(allowed, 0.0, LOWEST)).softmax(-1) @ x


def filled(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    scores, x = m.scores(ids)
    return scores.masked_fill(mask[:, None] == 0, -torch.inf).softmax(-1) @ x


def fused(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    x = m.words(ids)
    return nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask[:, None].bool())


def ten_thousand(m: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """A finite number, which is added as it is."""
    scores, x = m.scores(ids)
    return (scores + (1 - mask[:, None].float()) * -100.0).softmax(-1) @ x


EXACT = (mean_pooled, last_by_index, last_by_gather, gathered_each, positions, logic, ones_of_each, chosen)
MASKS = (added_mask, causal_mask, filled, fused, ten_thousand)


@pytest.mark.parametrize("coding", ["differential", pytest.param("rate", marks=pytest.mark.slow)])
@pytest.mark.parametrize("compute", EXACT + MASKS)
def test_every_kind_computes_what_the_model_does(compute: Callable[..., Tensor], coding: str) -> None:
    program, error = analog(Small(compute), padded(left=compute is causal_mask), coding)
    assert error < 1e-6
    assert not program.masked  # a mask is an operand of ones and zeros: no stream holds infinities
    fed = {source for name in program.neurons for source in program.operands[name]}
    assert not fed & program.exact  # what is exact needs no neuron


def test_the_roles_of_inputs_follow_from_samples_and_graph() -> None:
    """Ids of 0 and 1 that an embedding takes are tokens, as many as it has rows; what masks is a mask."""
    model = Small(lambda m, ids, mask: m.features(ids) * mask[..., None])
    data = padded()
    data["ids"] = data["ids"].clamp(max=1)
    program, _ = analog(model, data, "differential")
    assert [(entry.name, entry.holds, entry.limit) for entry in program.inputs] == [
        ("ids", "tokens", WORDS),
        ("mask", "mask", 0),
    ]


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda m, ids, mask: m.features(ids) * (m.features(ids) > 0) * mask[..., None], "discontinuous"),
        (lambda m, ids, mask: m.features(ids).masked_fill(mask[..., None] == 0, -torch.inf).relu(), "end in a softmax"),
        (lambda m, ids, mask: m.features(ids), "does not depend on its input mask"),
    ],
)
def test_what_is_refused(compute: Callable[..., Tensor], message: str) -> None:
    with pytest.raises((CaptureError, ProgramError), match=message):
        analog(Small(compute), padded(), "differential")


def small_model(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A classifier of transformers with random weights, and samples of it."""
    common = {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 0,
              "intermediate_size": 24, "max_position_embeddings": 16, "num_labels": 3}  # fmt: skip
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **common)
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    data = padded(16)
    return model, {"input_ids": data["ids"], "attention_mask": data["mask"]}


@pytest.mark.parametrize(("name", "preset"), [("bert", "accurate"), ("gpt2", "paper")])
def test_a_model_of_text_runs_alike_on_both_engines(name: str, preset: str) -> None:
    model, data = small_model(name)
    converted = ecmt.convert(model, data, ecmt.ConvertConfig(preset=preset, timesteps=4))
    samples = converted.program.inputs.pack({key: value.numpy() for key, value in data.items()})
    with torch.no_grad():
        expected = model(**data).logits
    found = converted.analog(torch.from_numpy(samples))
    assert torch.allclose(found, expected, atol=1e-5)
    for precision in ("float", "fixed"):
        runs = [ecmt.simulate(converted, samples[:3], target, precision=precision) for target in ("reference", "torch")]
        assert np.allclose(runs[0].outputs, runs[1].outputs, atol=0 if precision == "fixed" else 1e-4)
        assert dict(runs[0].activity.items()) == dict(runs[1].activity.items())
