"""The converter: a module and calibration samples in, a verified spiking program out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import version

import msgspec
import torch
from torch import Tensor, nn

from ecmt_deploy import weights
from ecmt_deploy.calibrate import calibrate
from ecmt_deploy.calibrate.published import mlp_bases
from ecmt_deploy.calibrate.sensitivity import samples_at_once
from ecmt_deploy.capture import capture, require_eval
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import DataError
from ecmt_deploy.graph import CalibrationRecord, Provenance
from ecmt_deploy.lower import lower
from ecmt_deploy.selfcheck import self_check

#: called with a stage (``capture``, ``check``, ``calibrate``, ``tune``) and how many samples it has seen
Progress = Callable[[str, int], None]
BATCH = 16
#: calibration values this many times beyond those of normalised images are another kind of data
FAR_OUTSIDE = 8.0


@torch.inference_mode(False)  # calibration takes gradients, whatever mode the caller is in
def convert(
    model: nn.Module,
    calibration: Tensor | Iterable[Tensor],
    config: ConvertConfig | None = None,
    provenance: Provenance | None = None,
    progress: Progress | None = None,
) -> SpikingModel:
    """Convert a module to a spiking program, without training.

    Parameters
    ----------
    model : any ``nn.Module`` in eval mode that maps (B, C, H, W) to (B, classes)
    calibration : samples (N, C, H, W) in the dtype of the model, at least two different ones, or an iterable of such batches
    config : how; every field has a default
    provenance : what is known of the origin; digests of weights and samples are filled in here
    progress : called as the work goes on

    Returns
    -------
    SpikingModel

    Raises
    ------
    DataError
        if the calibration samples are empty, constant, not finite, of several shapes, not normalised, or not what the model
        takes.
    CaptureError
        if the model has operations outside the table; all of them are listed.
    ConversionError
        if the analog program does not reproduce the model.
    """
    config = config or ConvertConfig()
    report = progress or (lambda stage, samples: None)
    recipe = config.recipe
    base = provenance or Provenance(tool_version=version("ecmt-deploy"))
    require_eval(model)
    batches = _batches(calibration)
    _check_range(batches, model, base)
    _check_taken(batches[0], model)
    if recipe.bases == "published" and config.mlp_bases is None:  # settled here, so that the program tells
        config = msgspec.structs.replace(config, mlp_bases=mlp_bases(model))
    base = msgspec.structs.replace(
        base,
        config=msgspec.to_builtins(config),
        weights_sha256=base.weights_sha256 or weights.sha256(model),
        calibration=base.calibration or _given(batches),
    )
    report("capture", 0)
    captured = capture(model, batches[0])
    lowered = lower(captured, recipe.coding, batches[0].dtype, base, recipe.analog_readout_layer)
    report("check", 0)
    self_check(model, captured, lowered, _different_samples(batches))
    del captured
    report("calibrate", 0)
    return with_ranges(SpikingModel(calibrate(lowered, batches, config, report)), batches)


def with_ranges(model: SpikingModel, batches: list[Tensor]) -> SpikingModel:
    """The same with the range of every analog stream over the calibration samples, from which fixed-point formats follow."""
    program = model.program
    ranges = dict.fromkeys((name for name in program.nodes if name not in program.spiking), 0.0)

    def observe(name: str, x: Tensor) -> None:
        if name in ranges:
            largest = x.abs().where(x.isfinite(), 0).max() if x.numel() else 0.0
            ranges[name] = max(ranges[name], float(largest))

    for batch in batches:
        for part in batch.split(samples_at_once(program)):
            model.trace(part, observe)
    return SpikingModel(replace(program, provenance=msgspec.structs.replace(program.provenance, ranges=ranges)))


def _batches(calibration: Tensor | Iterable[Tensor]) -> list[Tensor]:
    batches = list(calibration.split(BATCH)) if isinstance(calibration, Tensor) else list(calibration)
    batches = [batch for batch in batches if len(batch)]
    if not batches:
        raise DataError("the calibration data is empty; pass at least two samples (N, C, H, W)")
    for batch in batches:
        if not batch.is_floating_point() or batch.ndim < 2:
            raise DataError(
                f"calibration batch of shape {tuple(batch.shape)}, {batch.dtype}; expected floating point (N, C, H, W)"
            )
        if not batch.isfinite().all():
            raise DataError("the calibration data holds NaN or infinity; expected finite, normalised images")
    shapes = sorted({tuple(batch.shape[1:]) for batch in batches})
    if len(shapes) > 1:
        raise DataError(f"calibration batches hold samples of shapes {shapes}; expected one shape, as the model takes it")
    first = batches[0].flatten()[0]
    if all(bool((batch == first).all()) for batch in batches):
        raise DataError(f"the calibration data is the constant {float(first):g} everywhere; pass real samples, normalised")
    return batches


def _check_range(batches: list[Tensor], model: nn.Module, provenance: Provenance) -> None:
    """Refuse samples that are far outside what the model's preprocessing makes: pixels of 0 to 255, mostly."""
    preprocessing = provenance.preprocessing
    configured = getattr(model, "pretrained_cfg", None) or {}  # timm's models know their own
    mean = preprocessing.mean if preprocessing else configured.get("mean")
    std = preprocessing.std if preprocessing else configured.get("std")
    if not mean or not std:
        return
    lowest = min((0 - m) / s for m, s in zip(mean, std, strict=True))
    highest = max((1 - m) / s for m, s in zip(mean, std, strict=True))
    found = max(float(batch.abs().max()) for batch in batches)
    if found > FAR_OUTSIDE * max(-lowest, highest):
        raise DataError(
            f"the calibration data reaches {found:g}; expected normalised images, about {lowest:.2g} to {highest:.2g}"
            " (pixels scaled to 0..1, minus the model's mean, over its std)"
        )


def _check_taken(batch: Tensor, model: nn.Module) -> None:
    """Refuse samples of a dtype or shape that the model's own code does not take; what it expects is in the reason it gives."""
    expected = next((p.dtype for p in model.parameters() if p.is_floating_point()), batch.dtype)
    if batch.dtype != expected:
        raise DataError(f"the calibration data is {batch.dtype}, the model {expected}; pass x.to({expected})")
    try:
        with torch.no_grad():
            model(batch[:1])
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{type(model).__name__} does not take calibration samples of shape {tuple(batch.shape[1:])}; its code says what it"
            f" expects: {type(error).__name__}: {reason}"
        ) from error


def _different_samples(batches: list[Tensor]) -> Tensor:
    """Two samples that differ; where there is only one, its negative is the second."""
    first = batches[0][:1]
    for batch in batches:
        for sample in batch.split(1):
            if not torch.equal(sample, first):
                return torch.cat([first, sample])
    return torch.cat([first, -first])


def _given(batches: list[Tensor]) -> CalibrationRecord:
    """Record of calibration samples that came as tensors."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.detach().cpu().contiguous().numpy().reshape(-1).data.cast("B"))
    indices = tuple(range(sum(map(len, batches))))
    return CalibrationRecord("array", "given", None, indices, (), digest.hexdigest())
