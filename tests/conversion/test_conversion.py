"""Conversion: faithful to the model, repeatable to the byte, and clear about what it cannot do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import CaptureError, ConfigError, ConversionError, DataError, EcmtError
from ecmt_deploy.program import write
from ecmt_deploy.program.graph import parameters
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer, converted


def calibration(count: int = 16) -> torch.Tensor:
    return torch.from_numpy(images(count, seed=1))


@pytest.mark.parametrize("preset", ["paper", "accurate"])
def test_analog_equals_the_model(preset, all_programs):
    model, x = TinyTransformer(), calibration(4)
    spiking = SpikingModel(all_programs[f"transformer, {preset}"])
    with torch.no_grad():
        torch.testing.assert_close(spiking.analog(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("preset", ["paper", "accurate"])
def test_two_conversions_are_the_same_bytes(preset, all_programs, tmp_path):
    files = [tmp_path / "a.nir", tmp_path / "b.nir"]
    write(all_programs[f"transformer, {preset}"], files[0])
    write(converted(preset, timesteps=4), files[1])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_error_falls_with_time_although_activations_are_massive():
    """Channels with massive activations are planted in the model; differential coding must converge all the same."""
    model, x = TinyTransformer(outlier=300.0), calibration(16)
    spiking = convert(model, x)
    with torch.no_grad():
        expected = model(x)
    errors = [float((o - expected).norm() / expected.norm()) for o in spiking(x, 8)]
    assert errors[3] < 0.1
    assert errors[7] < 0.5 * errors[0]


def test_an_iterable_of_batches_is_as_good_as_a_tensor():
    whole = convert(TinyTransformer(), calibration(8))
    parts = convert(TinyTransformer(), calibration(8).split(4))
    for name in whole.program.neurons:
        np.testing.assert_array_equal(whole.program.nodes[name].positive_base, parts.program.nodes[name].positive_base)


def test_every_activation_operand_of_a_weight_or_product_spikes(all_programs):
    program = all_programs["transformer, accurate"]
    for name, node in program.nodes.items():
        if node.role in ("synapse", "product") and name not in program.encoding:
            assert all(source in program.spiking for source in program.operands[name]), name
    assert program.encoding == {"patch"}


def test_preset_paper_leaves_the_head_analog(all_programs):
    program = all_programs["transformer, paper"]
    assert program.operands["head"][0] not in program.spiking
    assert program.coding == "rate"


class MixesSamples(nn.Module):
    def forward(self, x):
        return x.flatten(1) - x.flatten(1).mean(0, keepdim=True)


def test_reducing_over_the_batch_is_refused():
    with pytest.raises(CaptureError, match="tied to the batch"):
        convert(MixesSamples().eval(), calibration())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(4, 2, 4, 4), "constant 0 everywhere"),
        (torch.zeros(0, 2, 4, 4), "empty"),
        (torch.full((4, 2, 4, 4), torch.nan), "NaN"),
        (torch.ones(4, 2, 4, 4, dtype=torch.int64), "floating point"),
    ],
)
def test_bad_calibration_data(samples, message):
    with pytest.raises(DataError, match=message):
        convert(TinyTransformer(), samples)


def test_training_mode_is_refused():
    with pytest.raises(CaptureError, match=r"model\.eval"):
        convert(TinyTransformer().train(), calibration())


def test_the_self_check_names_the_first_diverging_node(monkeypatch):
    """A lowering that gets one epsilon wrong is caught and named."""
    from ecmt_deploy.conversion.lowering import table
    from ecmt_deploy.conversion.lowering.nonlinear import layer_norm

    def wrong(b, out, x, shape, weight=None, bias=None, eps=1e-5, *args):
        return layer_norm(b, out, x, shape, weight, bias, eps * 1.5)

    monkeypatch.setitem(table.HANDLERS, "layer_norm", wrong)
    with pytest.raises(ConversionError, match="node norm1 .*is the first that differs"):
        convert(TinyTransformer(), calibration())


def test_a_model_that_amplifies_rounding_is_not_taken_for_a_wrong_lowering():
    """Every operation is compared from the model's own values; a rounding of one grows by the ten powers that follow it."""

    class Steep(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 64)

        def forward(self, x):
            x = self.linear(x)
            for _ in range(10):
                x = torch.sin(10 * x)
            return x

    torch.manual_seed(0)
    convert(Steep().double().eval(), torch.randn(4, 64, dtype=torch.float64))


@pytest.mark.parametrize(
    "options",
    [{"timesteps": 0}, {"levels": 0}, {"preset": "fast"}, {"budget": 0.0}, {"budget": 1.0, "preset": "paper"}],
)
def test_bad_configuration(options):
    with pytest.raises(ConfigError):
        ConvertConfig(**options)


@pytest.mark.parametrize("fused", [True, False])
def test_timm_vit_with_rate_coding(fused, monkeypatch):
    """With differential coding the families are converted, both of them among those."""
    import timm
    import timm.layers.config

    monkeypatch.setattr(timm.layers.config, "_USE_FUSED_ATTN", int(fused))
    torch.manual_seed(0)
    options = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "num_heads": 3, "depth": 2, "num_classes": 7}
    model = timm.create_model("vit_tiny_patch16_224", **options).eval()
    x = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(x)
    spiking = convert(model, x, ConvertConfig(preset="paper"))
    assert "blocks.0.attn.qkv" in spiking.program.nodes
    torch.testing.assert_close(spiking.analog(x), expected, rtol=1e-4, atol=1e-4)


def test_calibration_batches_of_several_shapes_are_refused():
    with pytest.raises(DataError, match=r"shapes \[\(2, 4, 4\), \(2, 6, 6\)\]; expected one shape"):
        convert(TinyTransformer(), [calibration(2), torch.randn(2, 2, 6, 6)])


def small_vit(**options):
    import timm

    torch.manual_seed(0)
    args = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "num_heads": 3, "depth": 2, "num_classes": 7}
    return timm.create_model("vit_tiny_patch16_224", **{**args, **options}).eval()


def test_raw_pixels_are_refused_with_the_expected_range():
    pixels = torch.randint(0, 256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(0)).float()
    with pytest.raises(DataError, match=r"reaches 255; expected normalised images, about -1 to 1 "):
        convert(small_vit(), pixels)


def test_samples_of_another_size_are_refused_with_the_size_the_model_takes():
    with pytest.raises(
        DataError, match=r"does not run on calibration samples of shape \(3, 28, 28\): its code raises .*16"
    ) as caught:
        convert(small_vit(), torch.randn(4, 3, 28, 28))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_samples_of_another_dtype_become_the_models(dtype):
    model, x = TinyTransformer(), calibration().half()
    expected, found = (convert(model, each, ConvertConfig("paper")).program for each in (x.float(), x.to(dtype)))
    assert found.dtype == np.float32
    assert found.provenance.calibration == expected.provenance.calibration


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        y = self.head(x.flatten(1))
        if y.sum() > 0:
            y = 2 * y
        return y


class Loops(Branches):
    def forward(self, x):
        y = self.head(x.flatten(1))
        for _ in range(int(x.abs().max())):
            y = y + 1
        return y


@pytest.mark.parametrize(("model", "line"), [(Branches, "if y.sum() > 0:"), (Loops, "for _ in range(int(x.abs().max())):")])
def test_control_flow_that_depends_on_values_is_refused_with_its_line(model, line, capfd):
    with pytest.raises(CaptureError) as caught:
        convert(model().eval(), calibration())
    message = str(caught.value)
    assert message.startswith(f"{model.__name__} decides by the values of its input in {__file__}, line ")
    assert line in message
    assert "\n" not in message
    assert not capfd.readouterr().err, "torch's own dumps are not for users"


class Pools(nn.Module):
    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.pool, self.head = nn.Conv2d(2, 3, 1), pool, nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.head(self.pool(self.embed(x)).tanh()).sum((2, 3))


@pytest.mark.parametrize("preset", ["paper", pytest.param("accurate", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (2, 3), "stride": 2, "ceil_mode": True},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
        {"kernel_size": 3, "stride": 2, "divisor_override": 5},
        {"kernel_size": 2, "stride": 3},
    ],
)
def test_average_pooling_of_windows_that_overlap_or_are_padded(options, preset):
    model, x = Pools(nn.AvgPool2d(**options)).eval(), torch.randn(8, 2, 7, 9, generator=torch.Generator().manual_seed(0))
    spiking = convert(model, x, ConvertConfig(preset=preset))
    with torch.no_grad():
        torch.testing.assert_close(spiking.analog(x), model(x), rtol=1e-5, atol=1e-5)


class Normalises(Pools):
    def forward(self, x):
        y = self.embed(x)
        return self.head(y / (1 + y.norm(dim=(2, 3), keepdim=True))).flatten(1)


def test_a_norm_over_several_axes():
    model, x = Normalises(nn.Identity()).eval(), torch.randn(8, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    spiking = convert(model, x)
    with torch.no_grad():
        torch.testing.assert_close(spiking.analog(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_conversion_without_gradients_is_the_same(mode, all_programs):
    model = TinyTransformer()
    with mode():
        found = convert(model, calibration())
    for name, node in all_programs["transformer, accurate"].nodes.items():
        for a, b in zip(parameters(node), parameters(found.program.nodes[name]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_is_said_of_inputs_and_outputs_reaches_the_program(tmp_path):
    """So that it reads images, matches labels by name and answers with names, like a program converted by name."""
    said = {"mean": 0.5, "std": [0.25, 0.3], "crop_pct": 1, "interpolation": "bilinear"}
    names = np.array(list("abcde"))
    paper = ConvertConfig(preset="paper")
    spiking = convert(TinyTransformer(), calibration(), paper, preprocessing=said, class_names=names, data="my pictures")
    spiking.save(tmp_path / "p.nir")
    source = load(tmp_path / "p.nir").program.provenance
    assert source.preprocessing == Preprocessing((2, 4, 4), (0.5, 0.5), (0.25, 0.3), "bilinear", 1.0)
    assert source.class_names == tuple("abcde")
    assert (source.calibration.spec, source.calibration.split) == ("my pictures", "given")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"preprocessing": {"mean": 0.5}}, "std is missing"),
        ({"preprocessing": {"mean": 0.5, "std": 0.0}}, "std must be positive"),
        ({"preprocessing": {"mean": 0.5, "std": 1.0, "scale": 2}}, "unknown field 'scale'"),
        ({"preprocessing": {"mean": (0.1, 0.2, 0.3), "std": 1.0}}, "mean has 3 values for 2 channel"),
        ({"preprocessing": {"mean": "grey", "std": 1.0}}, "could not convert"),
        ({"preprocessing": {"mean": 0.5, "std": 1.0, "input_size": (2, 8, 8)}}, "input_size may be left out"),
        ({"preprocessing": {"mean": 0.5, "std": 1.0, "input_size": 4}}, "must be"),
        ({"preprocessing": torch.nn.Identity()}, "preprocessing is a Identity"),
        ({"class_names": "abcde"}, "expected a list"),
        ({"class_names": [1, 2, 3, 4, 5]}, "expected a list"),
        ({"class_names": 5}, "expected a list"),
        ({"class_names": list("abcd")}, "4 names for 5 outputs"),
        ({"data": Path("pets")}, "expected what to call"),
    ],
)
def test_what_cannot_be_of_these_inputs_and_outputs_is_refused(said, expected):
    with pytest.raises(EcmtError, match=expected) as error:
        convert(TinyTransformer(), calibration(), **said)
    assert "\n" not in str(error.value)
