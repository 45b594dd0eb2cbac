"""Models in what people wrap them in: converted all the same, and left as they are."""

from __future__ import annotations

import copy
import functools
import logging

import peft
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations, parametrize, prune

import ecmt_deploy as ecmt
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.conversion.preparing import prepare
from ecmt_deploy.conversion.self_check import self_check
from ecmt_deploy.errors import CaptureError, ConversionError, ModelError
from ecmt_deploy.program import Provenance
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer
from tests.support.some import some

X = torch.from_numpy(images(8, seed=1))
PAPER = ecmt.ConvertConfig(preset="paper", timesteps=2)


class Inside(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = False

    def forward(self, x):
        return self.inner(x)


def in_place(model: nn.Module) -> nn.Module:
    model.compile()
    return model


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model)


WRAPPERS = {
    "compiled": compiled,
    "compiled in place": in_place,
    "data parallel": nn.DataParallel,
    "averaged": torch.optim.swa_utils.AveragedModel,
}
#: compiling what is compiled already gives a function
wrappings = st.lists(st.sampled_from([*WRAPPERS, "inside"]), max_size=4).filter(lambda wraps: wraps.count("compiled") < 2)


def wrapped(wraps: list[str]) -> nn.Module:
    model: nn.Module = TinyTransformer().eval()
    for wrap in wraps:
        model = (WRAPPERS | {"inside": Inside})[wrap](model)
    return model


def answer(model: nn.Module, x: torch.Tensor = X) -> torch.Tensor:
    with torch.no_grad():
        return model(x)


@functools.cache
def plain_nodes() -> set[str]:
    return set(analog(TinyTransformer()).program.nodes)


def analog(model: nn.Module) -> ecmt.SpikingModel:
    """The model's program before its neurons are measured, checked against the model."""
    prepared = prepare(model)
    calling = called(prepared, X)
    captured = capture(calling, X)
    provenance = Provenance(tool_version="test")
    lowered = lower(captured, "rate", next(prepared.model.parameters()).dtype, provenance, False)
    self_check(calling, captured, lowered, X[:2])
    return ecmt.SpikingModel(lowered.program)


def kinds(model: nn.Module) -> list[tuple]:
    """What a caller's model is made of."""
    parts = [(path, id(module), type(module), module.training) for path, module in model.named_modules()]
    return [*parts, *((name, id(p), p.dtype) for name, p in (*model.named_parameters(), *model.named_buffers()))]


@settings(max_examples=30, deadline=None)
@given(wrappings)
def test_wrappers_come_off_at_any_depth_and_stay_on_the_callers_model(wraps):
    model = wrapped(wraps)
    before = kinds(model)
    prepared = prepare(model)
    assert kinds(model) == before
    inside = "inner." * wraps.count("inside")
    assert f"{inside}fc1" in dict(prepared.model.named_modules())
    assert not {type(m).__name__ for m in prepared.model.modules()} & {"OptimizedModule", "DataParallel", "AveragedModel"}
    assert all(module._compiled_call_impl is None for module in prepared.model.modules())
    assert (
        prepared.model.get_parameter(f"{inside}fc1.weight")
        is dict(model.named_parameters())[next(name for name, _ in model.named_parameters() if name.endswith("fc1.weight"))]
    )
    torch.testing.assert_close(answer(prepared.model), answer(TinyTransformer()))


def test_a_module_in_two_places_stays_one_module():
    shared = compiled(nn.Linear(4, 4))
    model = prepare(nn.Sequential(shared, nn.ReLU(), shared).eval()).model
    assert model[0] is model[2]
    assert type(model[0]) is nn.Linear


def test_a_wrapper_that_does_more_than_pass_on_is_a_module_like_others():
    class Doubles(nn.DataParallel):
        def forward(self, x):
            return 2 * self.module(x)

    model = Doubles(TinyTransformer()).eval()
    assert prepare(model).model is model


def test_wrapped_models_convert_to_the_program_of_what_is_in_them():
    plain, wrapped = (
        ecmt.convert(model, X, PAPER).program
        for model in (TinyTransformer(), compiled(nn.DataParallel(TinyTransformer().eval())))
    )
    assert list(wrapped.nodes) == list(plain.nodes)
    assert wrapped.provenance.weights_sha256 == plain.provenance.weights_sha256


@pytest.mark.parametrize("wrap", some(WRAPPERS, "compiled", "averaged"))
def test_wrappers_inside_convert(wrap):
    found = analog(Inside(wrap(TinyTransformer().eval()))).program
    assert {name.removeprefix("inner.") for name in found.nodes} == plain_nodes()


@pytest.fixture
def one_process(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_models_of_distributed_training(one_process):
    """Parallel copies and FSDP that keeps weights whole convert; where weights are divided, they are refused."""
    expected = answer(TinyTransformer())
    device = torch.device("cpu")
    sharded = FullyShardedDataParallel(TinyTransformer().eval(), device_id=device, use_orig_params=True)
    for model in (DistributedDataParallel(TinyTransformer().eval()), Inside(sharded)):
        torch.testing.assert_close(analog(model).analog(X), expected, rtol=1e-4, atol=1e-5)
    sharded.sharding_strategy = ShardingStrategy.FULL_SHARD  # as in several processes
    with pytest.raises(CaptureError, match=r"model\.inner is FullyShardedDataParallel, of which every process has a part"):
        prepare(Inside(sharded))


def test_a_divided_tensor_is_refused_by_name():
    class Divided(torch.Tensor):
        def full_tensor(self):
            raise NotImplementedError

    model = TinyTransformer().eval()
    model.fc1.register_buffer("part", torch.zeros(2).as_subclass(Divided))
    with pytest.raises(ModelError, match=r"fc1\.part is a part of a tensor that is divided among processes"):
        prepare(model)


TARGETS = ["qkv", "fc1", "fc2"]
ADAPTERS = {
    "LoRA": (True, lambda: peft.LoraConfig(target_modules=TARGETS, r=2, init_lora_weights=False)),
    "DoRA": (False, lambda: peft.LoraConfig(target_modules=TARGETS, r=2, use_dora=True, init_lora_weights=False)),
    "IA3": (True, lambda: peft.IA3Config(target_modules=TARGETS, feedforward_modules=["fc2"], init_ia3_weights=False)),
    "LoRA, a layer of its own": (
        False,
        lambda: peft.LoraConfig(target_modules=TARGETS, modules_to_save=["head"], r=2, init_lora_weights=False),
    ),
}


@pytest.mark.parametrize("adapter", some(ADAPTERS, "DoRA", "IA3"))
def test_adapters_are_merged_on_a_copy(adapter):
    inside, config = adapter
    torch.manual_seed(0)
    model = peft.get_peft_model(TinyTransformer(), config()).eval()
    assert (answer(model) - answer(TinyTransformer())).abs().max() > 1e-3
    model = Inside(model) if inside else model
    before, weights = kinds(model), copy.deepcopy(model.state_dict())
    converted = analog(model)
    assert kinds(model) == before
    torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0)
    torch.testing.assert_close(converted.analog(X), answer(model), rtol=1e-4, atol=1e-5)
    found = {name.removeprefix("inner.") for name in converted.program.nodes}
    assert found == plain_nodes()


def test_a_merge_that_changes_the_answer_is_found_out():
    """What is compared is the model with its adapters on, not the copy."""

    class Adapted(Inside):
        def merge_and_unload(self):
            nn.init.zeros_(self.inner.fc2.weight)
            return self.inner

    with pytest.raises(ConversionError, match="differs from the model"):
        analog(Adapted(TinyTransformer().eval()))


@pytest.mark.parametrize("fault", [ValueError("no"), None])
def test_a_merge_that_fails_is_one_line(fault):
    class Adapted(Inside):
        def merge_and_unload(self):
            if fault:
                raise fault

    message = (
        "model has adapters .*ValueError: no in .*test_preparing" if fault else r"merge_and_unload\(\) of Adapted gives no"
    )
    with pytest.raises(ModelError, match=message):
        prepare(Adapted(TinyTransformer().eval()))


def all_in(dtype):
    return lambda model: model.to(dtype)


HALVES = {
    "bfloat16": all_in(torch.bfloat16),
    "float16": all_in(torch.float16),
    "one layer": lambda model: (
        model.fc2.register_forward_pre_hook(lambda m, x: x[0].to(m.weight.dtype)) and model.fc2.bfloat16()
    ),
    "a buffer": lambda model: model.register_buffer("scale", torch.ones(1).half()),
}


@pytest.mark.parametrize("change", some(HALVES, "float16", "a buffer"))
def test_half_precision_converts_on_a_copy_in_single(change, caplog):
    model = TinyTransformer().eval()
    change(model)
    before = kinds(model)
    with caplog.at_level(logging.INFO, "ecmt_deploy"):
        converted = ecmt.convert(model, X, PAPER)
    assert kinds(model) == before
    assert converted.dtype == torch.float32
    assert "16, converted on a float32 copy" in caplog.text
    torch.testing.assert_close(converted.analog(X), answer(copy.deepcopy(model).float()), rtol=1e-4, atol=1e-4)


def test_double_precision_stays():
    assert ecmt.convert(TinyTransformer().double(), X, PAPER).dtype == torch.float64


def test_what_half_precision_does_differently_is_found_out():
    class Other(Inside):
        def forward(self, x):
            y = self.inner(x)
            return y if y.dtype == torch.float32 else -y

    with pytest.raises(ConversionError, match="in half precision the model differs from its float32 copy by 2"):
        analog(Other(TinyTransformer().eval().bfloat16()))


def test_half_precision_is_compared_where_weights_are_buffers():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.randn(3, X[0].numel(), generator=torch.Generator().manual_seed(0)).half())

        def forward(self, x):
            y = nn.functional.linear(x.flatten(1).to(self.weight.dtype), self.weight)
            return y if y.dtype == torch.float32 else -y

    with pytest.raises(ConversionError, match="in half precision the model differs from its float32 copy by 2"):
        ecmt.convert(Frozen().eval(), X, PAPER)


def test_what_cannot_be_copied_is_one_line():
    model = TinyTransformer().eval().half()
    model.held = (x for x in "")
    with pytest.raises(ModelError, match="TinyTransformer cannot be copied, which half precision and adapters need: TypeError"):
        prepare(model)


PARAMETRIZED = {
    "weight norm": lambda m: parametrizations.weight_norm(m.fc1),
    "weight norm by a hook": lambda m: nn.utils.weight_norm(m.fc1),
    "spectral norm": lambda m: parametrizations.spectral_norm(m.fc1),
    "spectral norm by a hook": lambda m: nn.utils.spectral_norm(m.fc1),
    "orthogonal": lambda m: parametrizations.orthogonal(m.fc1),
    "a bias": lambda m: parametrize.register_parametrization(m.fc1, "bias", nn.Softplus()),
    "pruned": lambda m: prune.l1_unstructured(m.fc1, "weight", 0.5),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", some(PARAMETRIZED, "weight norm", "spectral norm by a hook", "a bias"))
def test_weights_that_are_made_of_others_are_constants_of_the_layer(change):
    model = TinyTransformer()
    change(model)
    model.eval()
    expected = answer(model)
    converted = analog(model)
    assert set(converted.program.nodes) == plain_nodes()
    torch.testing.assert_close(converted.analog(X), expected, rtol=1e-4, atol=1e-5)


def test_calls_that_fail_later_are_one_line():
    """A model that raises for the samples of the self-check alone."""

    class Fails(Inside):
        def forward(self, x):
            if x.abs().max() > 1e5:
                raise ArithmeticError("too large")
            return self.inner(x)

    calling = called(prepare(Fails(TinyTransformer().eval())), X)
    with pytest.raises(ecmt.EcmtError, match="its code raises ArithmeticError: too large in .*test_preparing.py, line "):
        calling(X * 1e9)
