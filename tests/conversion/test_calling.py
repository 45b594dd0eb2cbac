"""How models are called and what they answer with: any container, by name, by position, by keyword."""

from __future__ import annotations

import collections
import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ecmt_deploy as ecmt
from ecmt_deploy.conversion.answers import choose, named, taken
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.errors import CaptureError, DataError
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer

X = torch.from_numpy(images(8, seed=1))
PAPER = ecmt.ConvertConfig(preset="paper", timesteps=2)
Pair = collections.namedtuple("Pair", "logits features")


@dataclasses.dataclass
class Record:
    scores: torch.Tensor
    labels: object = None


class Plain:
    """A class that torch knows nothing of."""

    def __init__(self, value) -> None:
        self.value = value


class Slots:
    __slots__ = ("empty", "value")

    def __init__(self, value) -> None:
        self.value = value


#: a container of one value, and the step to it
CONTAINERS = {
    "tuple": (lambda y: (y,), "0"),
    "list": (lambda y: ["text", None, y], "2"),
    "dict": (lambda y: {"loss": None, "y": y}, "y"),
    "ordered dict": (lambda y: collections.OrderedDict(out=y), "out"),
    "dict by number": (lambda y: {3: y}, "3"),
    "named tuple": (lambda y: Pair(y, None), "logits"),
    "dataclass": (Record, "scores"),
    "plain": (Plain, "value"),
    "slots": (Slots, "value"),
}
nests = st.lists(st.sampled_from(sorted(CONTAINERS)), max_size=4)


def nested(kinds: list[str], y):
    """``y`` inside containers, and the steps to it, outermost first."""
    steps: list[str] = []
    for kind in kinds:
        make, step = CONTAINERS[kind]
        y, steps = make(y), [step, *steps]
    return y, steps


class Answers(nn.Module):
    def __init__(self, form=lambda y: y) -> None:
        super().__init__()
        self.model, self.form = TinyTransformer(), form
        self.eval()

    def forward(self, x):
        return self.form(self.model(x))


@given(nests)
def test_the_only_floating_tensor_is_found_in_any_container(kinds):
    one, two = (nested(kinds, torch.zeros(n, 5))[0] for n in (1, 2))
    steps = nested(kinds, None)[1]
    way = choose("M", one, two, None)
    assert [str(step) for step in way] == steps
    assert taken(two, way).shape == (2, 5)
    for name in {named(way), ".".join(steps), "".join(f"[{step}]" for step in steps)} - {""}:
        assert choose("M", one, two, name) == way


@given(nests, st.integers(1, 4))
def test_what_is_no_answer_is_passed_over(kinds, axis):
    """Numbers of classes, a loss, scales and states that have no axis for samples, texts, modules, the same tensor again."""

    def answer(n):
        y = torch.zeros(n, axis)
        rest = [
            torch.zeros(n, dtype=torch.int64),
            torch.tensor(0.5),
            torch.zeros(7, 3),
            "text",
            3,
            None,
            nn.Linear(2, 2),
            Plain,
        ]
        return nested(kinds, (*rest, y, {"again": y}))[0]

    assert taken(answer(2), choose("M", answer(1), answer(2), None)).shape == (2, axis)


@given(st.permutations(["logits", "features", "hidden_states"]))
def test_logits_are_meant_where_there_are_other_tensors(names):
    def answer(n):
        return {name: torch.zeros(n, 3) if name != "hidden_states" else (torch.zeros(n, 4),) * 2 for name in names}

    assert choose("M", answer(1), answer(2), None) == ("logits",)
    assert choose("M", answer(1), answer(2), "features") == ("features",)
    with pytest.raises(CaptureError, match=r"holds 2 tensors: hidden_states\.0 \(N, 4\), hidden_states\.1 \(N, 4\)"):
        choose("M", answer(1), answer(2), "hidden_states")


MISSING = {
    "several": (
        lambda n: Pair(torch.zeros(n, 2), torch.zeros(n, 3, 4))._asdict() | {"logits": [torch.zeros(n, 2)]},
        None,
        "M answers with 2 tensors: logits.0 (N, 2), features (N, 3, 4); name the one that is meant, output='logits.0' ",
    ),
    "positions": (lambda n: (torch.zeros(n, 2), [torch.zeros(n)]), None, "2 tensors: [0] (N, 2), [1].0 (N,); name the one"),
    "unknown": (
        lambda n: {"a": torch.zeros(n, 2), "b": torch.zeros(n, dtype=torch.int64)},
        "c",
        "M answers with nothing called 'c'; there are a (N, 2), b (N,) int64",
    ),
    "inside a tensor": (
        lambda n: torch.zeros(n, 2),
        "logits",
        "M answers with one tensor, (N, 2), and nothing in it is called",
    ),
    "integers": (lambda n: {"a": torch.zeros(n, dtype=torch.int64)}, "a", "a of M answers with torch.int64; expected logits"),
    "no samples": (lambda n: [torch.zeros(3)], None, "floating tensor with an axis for samples: [0] (3,); expected logits"),
    "empty": (lambda n: {}, "logits", "M answers with nothing called 'logits', nor any other tensor"),
}


@pytest.mark.parametrize(("answer", "name", "message"), MISSING.values(), ids=MISSING)
def test_what_is_not_said_is_an_error_that_lists_what_there_is(answer, name, message):
    with pytest.raises(CaptureError) as caught:
        choose("M", answer(1), answer(2), name)
    assert message in str(caught.value)


def test_an_answer_that_holds_itself_is_walked_once():
    loop = Plain(torch.zeros(1, 2))
    loop.self = loop
    assert choose("M", loop, Plain(torch.zeros(2, 2)), None) == ("value",)


@settings(max_examples=2, deadline=None)
@given(nests.filter(lambda kinds: len(kinds) > 1))
def test_models_convert_whatever_holds_their_answer(kinds):
    model = Answers(lambda y: nested(kinds, {"logits": y, "more": y * 2})[0])
    steps = nested(kinds, None)[1]
    converted = ecmt.convert(model, X, PAPER, output=".".join([*steps, "more"]))
    with torch.no_grad():
        torch.testing.assert_close(converted.analog(X), 2 * model.model(X), rtol=1e-4, atol=1e-5)
    assert "model.fc1" in converted.program.nodes


class ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._fc = nn.Linear(4, 3)
        self.eval()

    def forward(self, *, pixels, scale=2.0):
        return self._fc(pixels) * scale


class Anything(ByKeyword):
    def forward(self, *args, **kwargs):
        assert (len(args), kwargs) == (1, {})
        return self._fc(args[0])


class MainInput(ByKeyword):
    """As transformers' models say what they take."""

    main_input_name = "pixels"

    def forward(self, ids=None, pixels=None):
        return self._fc(pixels)


@pytest.mark.parametrize("model", [ByKeyword(), Anything(), MainInput()], ids=lambda model: type(model).__name__)
def test_models_are_called_as_their_forward_takes_it(model):
    x = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(1))
    converted = ecmt.convert(model, x, PAPER)
    torch.testing.assert_close(converted.analog(x), called(model, x)(x), rtol=1e-5, atol=1e-5)
    assert "_fc" in converted.program.nodes  # a path that begins with an underscore is a path


def test_inputs_that_go_by_several_keywords_are_asked_for():
    class Two(nn.Module):
        def forward(self, *, a, b):
            return a + b

    with pytest.raises(DataError, match="Two takes its inputs by keyword, a, b; name the samples"):
        called(Two().eval(), X)


class ConstantQuery(nn.Module):
    """Attention pooling: a learnt query, the same for every sample, against the tokens."""

    def __init__(self, expanded) -> None:
        super().__init__()
        self.query, self.expanded = nn.Parameter(torch.randn(1, 1, 8)), expanded
        self.attention, self.embed = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(4, 8)
        self.eval()

    def forward(self, x):
        tokens = self.embed(x)
        return self.attention(self.expanded(self.query, x), tokens, tokens, need_weights=False)[0][:, 0]


EXPANDED = {
    "len": lambda query, x: query.expand(len(x), -1, -1),
    "shape": lambda query, x: query.expand(x.shape[0], -1, -1),
    "repeated": lambda query, x: query.repeat(x.size(0), 1, 1),
    "added to zeros": lambda query, x: x.new_zeros(len(x), 1, 8) + query,
}


@pytest.mark.parametrize("expanded", EXPANDED.values(), ids=EXPANDED)
def test_what_is_the_same_for_every_sample_is_a_constant(expanded):
    torch.manual_seed(0)
    model, x = ConstantQuery(expanded), torch.randn(6, 5, 4)
    converted = ecmt.convert(model, x, PAPER)
    torch.testing.assert_close(converted.analog(x), called(model, x)(x), rtol=1e-4, atol=1e-5)


def test_a_number_made_of_the_number_of_samples_is_refused_with_what_to_write():
    model = ConstantQuery(lambda query, x: torch.cat([query] * len(x)))
    with pytest.raises(CaptureError, match="ConstantQuery makes a Python number of the number of samples .* use x.shape"):
        ecmt.convert(model, torch.randn(6, 5, 4), PAPER)


def test_a_model_that_keeps_what_it_saw_is_refused_by_the_name_of_the_buffer():
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(4))
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            self.seen.add_(1)
            return self.fc(x)

    with pytest.raises(CaptureError, match=r"Counts changes its buffers or inputs while it runs \(seen\)"):
        ecmt.convert(Counts().eval(), X[:, 0, 0], PAPER)
