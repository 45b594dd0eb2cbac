"""What a model must be to be converted: what people have instead is refused in one line that helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ecmt_deploy as ecmt
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.convertible import require_convertible, require_module
from ecmt_deploy.errors import CaptureError, DataError, EcmtError, ModelError
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer

X = torch.from_numpy(images(8, seed=1))


class Answers(nn.Module):
    """A model whose answer is made of the logits."""

    def __init__(self, form=lambda y: y) -> None:
        super().__init__()
        self.model, self.form = TinyTransformer(), form

    def forward(self, x):
        return self.form(self.model(x))


def answering(form) -> nn.Module:
    return Answers(form).eval()


def refused(model, x=X) -> str:
    with pytest.raises(EcmtError) as caught:
        ecmt.convert(model, calibration=x)
    assert "\n" not in str(caught.value)
    return str(caught.value)


NOT_MODULES = {
    "a class": (TinyTransformer, "TinyTransformer is a class, not a module; make a model of it, load its weights"),
    "weights": (TinyTransformer().state_dict(), "these are weights, not a module; load them into one"),
    "nothing": (None, "NoneType is not a module; pass an nn.Module in eval mode"),
    "a function": (ecmt.convert, "function is not a module; pass an nn.Module in eval mode"),
}


@pytest.mark.parametrize(("model", "message"), NOT_MODULES.values(), ids=NOT_MODULES)
def test_what_is_no_module_is_refused(model, message):
    assert message in refused(model)


def test_a_named_model_is_refused_with_its_module():
    named = ecmt.models.load("zoo:vit_digits")
    assert refused(named) == "Model is not a module; pass its .module"
    require_convertible(named.module)


def test_a_converted_model_is_refused(all_programs):
    converted = ecmt.SpikingModel(all_programs["transformer, accurate"])
    assert "SpikingModel is a converted model already" in refused(converted)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_is_refused():
    traced = torch.jit.trace(TinyTransformer(), X[:1])
    assert "is TorchScript, which is no longer a module" in refused(traced)
    assert "model.1 (TopLevelTracedModule) is TorchScript" in refused(nn.Sequential(nn.Identity(), traced).eval())


NUMBERS = {
    "no memory": (lambda m: m.to("meta"), "token is on meta; conversion takes place on the CPU, pass model.cpu()"),
    "a sparse buffer": (lambda m: m.register_buffer("mask", torch.eye(3).to_sparse()), "mask is sparse or quantized"),
}


@pytest.mark.parametrize(("change", "message"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_that_do_not_convert_are_refused_by_name(change, message):
    model = TinyTransformer()
    change(model)
    assert message in refused(model)


ODD_ANSWERS = {
    "nothing": (
        lambda y: None,
        "answers with NoneType that holds no floating tensor with an axis for samples; expected logits",
    ),
    "an array": (lambda y: y.detach().numpy(), "answers with ndarray that holds no floating tensor"),
    "classes": (lambda y: y.argmax(-1), "answers with torch.int64; expected logits or features, floating point"),
    "no axis for a single sample": (torch.squeeze, "answers one sample with shape (5,) and two with (2, 5); name the axis"),
}


@pytest.mark.parametrize(("form", "message"), ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_other_answers_are_refused(form, message):
    assert message in refused(answering(form))


def fails(error: BaseException):
    def form(y):
        raise error

    return form


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError("so\nit is"), NotImplementedError(), Exception("own")])
def test_whatever_a_model_raises_is_one_line_that_says_where(error):
    message = refused(answering(fails(error)))
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
    assert message.startswith(f"Answers does not run on calibration samples of shape (2, 4, 4): its code raises {reason} in ")
    assert f"in {__file__}, line " in message
    assert message.endswith(": raise error")


def test_a_library_that_raises_is_named_beside_the_line_that_calls_it():
    """The person's own line first; where only torch's layers are called, theirs."""
    import timm

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = timm.layers.PatchEmbed(img_size=8, patch_size=2, in_chans=2, embed_dim=8)

        def forward(self, x):
            return self.embed(x).mean(1)

    message = refused(Model().eval())
    assert f"in {__file__}, line " in message
    assert ": return self.embed(x).mean(1) (raised in " in message
    assert "patch_embed.py, line " in message
    inside = refused(nn.Sequential(nn.Linear(3, 3)).eval())
    assert "its code raises RuntimeError: mat1 and mat2 shapes cannot be multiplied" in inside
    assert "linear.py, line " in inside


def test_a_model_that_asks_for_more_than_samples_is_refused():
    class Two(nn.Module):
        def forward(self, x, mask):
            return x

    message = refused(Two().eval())
    assert "missing 1 required positional argument: 'mask'" in message
    assert "calling.py" not in message


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_model_that_is_stopped_stops(stop):
    with pytest.raises(stop):
        called(answering(fails(stop())), X)


def test_errors_have_their_kinds():
    for error, call in (
        (ModelError, lambda: require_module("x")),
        (ModelError, lambda: require_convertible(TinyTransformer().to("meta"))),
        (CaptureError, lambda: require_convertible(TinyTransformer().train())),
        (CaptureError, lambda: called(answering(lambda y: (y, 2 * y)), X)),
        (DataError, lambda: called(TinyTransformer(), torch.zeros(1, 3))),
        (DataError, lambda: ecmt.convert(TinyTransformer(), np.zeros((4, 2, 4, 4), np.uint8))),
    ):
        with pytest.raises(error):
            call()
