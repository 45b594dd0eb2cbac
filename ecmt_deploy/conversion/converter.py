"""The converter: a module and calibration samples in, a verified spiking program out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from ecmt_deploy.config import ConvertConfig, Preset
from ecmt_deploy.conversion.calibration.tools.answers import samples_at_once
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.decomposition import decomposed
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.conversion.preparing import prepare
from ecmt_deploy.conversion.samples import calibration_batches, clip_frames, record_of, require_normalised, two_samples
from ecmt_deploy.conversion.self_check import self_check
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.models import weights
from ecmt_deploy.program import Provenance
from ecmt_deploy.program.preprocessing import Preprocessing, preprocessing_from

#: called with a stage (``capture``, ``check``, ``calibrate``, ``tune``) and how many samples it has seen
Progress = Callable[[str, int], None]


@torch.inference_mode(False)  # calibration takes gradients, whatever mode the caller is in
def convert(
    model: nn.Module,
    calibration: Any,
    config: Preset | None = None,
    provenance: Provenance | None = None,
    progress: Progress | None = None,
    *,
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
    data: str | None = None,
    output: str | None = None,
    stream: Any = None,
    stream_name: str | None = None,
) -> SpikingModel:
    """Convert a module; arguments and errors as of :func:`ecmt_deploy.convert`, ``stream_name`` is what the clip is called."""
    config = config or ConvertConfig()
    if not isinstance(config, Preset):
        raise ConfigError(f"config is {config!r}; pass ecmt_deploy.ConvertConfig(preset=.., timesteps=..)")
    report = progress or (lambda stage, samples: None)
    prepared = prepare(model)
    model = prepared.model
    batches, inputs, booleans = calibration_batches(calibration, model)
    shape = tuple(batches[0].shape[1:])
    base = _described(provenance or Provenance(tool_version=version("ecmt-deploy")), shape, preprocessing, class_names)
    frames = None if stream is None else clip_frames(stream, config, batches[0])
    shown = batches if frames is None else [*batches, *frames.split(len(batches[0]))]
    if inputs is None or inputs.values:
        require_normalised(shown, model, base.preprocessing)
    calling = called(prepared, batches[0], inputs, output, booleans)
    config = config.for_model(model)  # before the program keeps a record of it
    base = msgspec.structs.replace(
        base,
        config=config.record() | ({} if frames is None else {"stream": stream_name or "array"}),
        weights_sha256=base.weights_sha256 or weights.sha256(model),
        calibration=base.calibration or record_of(batches, data),
    )
    report("capture", 0)
    captured = decomposed(capture(calling, batches[0]), batches[0].dtype)
    lowered = lower(captured, config.coding, batches[0].dtype, base, config.analog_readout_layer)
    report("check", 0)
    self_check(calling, captured, lowered, two_samples(batches, inputs))
    del captured
    report("calibrate", 0)
    made = config.calibrate(lowered, batches, report, **({} if frames is None else {"frames": frames}))
    return with_ranges(SpikingModel(made), shown)


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


def _described(
    base: Provenance, shape: tuple[int, ...], preprocessing: Preprocessing | Mapping[str, Any] | None, names: Any
) -> Provenance:
    """With what the caller says of inputs and outputs; whether names and outputs are as many, verification finds out."""
    if preprocessing is not None:
        if isinstance(preprocessing, Mapping):
            preprocessing = preprocessing_from(preprocessing, shape)
        if not isinstance(preprocessing, Preprocessing):
            raise DataError(
                f"preprocessing is a {type(preprocessing).__name__}; expected a dict such as {{'mean': .5, 'std': .5}}"
            )
        if preprocessing.input_size != shape:
            raise DataError(
                f"preprocessing makes samples {preprocessing.input_size}, the calibration data has {shape}; input_size may be"
                " left out"
            )
        base = msgspec.structs.replace(base, preprocessing=preprocessing, preprocessing_origin=None)
    if names is not None:
        found = [] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
        if not found or not all(isinstance(name, str) for name in found):
            raise DataError(f"class_names is {str(names)[:40]!r}; expected a list of one name for each output")
        # NumPy's strings are strings, and no JSON
        base = msgspec.structs.replace(base, class_names=tuple(map(str, found)), class_ids=None)
    return base
