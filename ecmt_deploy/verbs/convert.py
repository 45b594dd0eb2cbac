"""The verb ``convert``: a model, as a module or by name, becomes a spiking program."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ecmt_deploy import data as datasets
from ecmt_deploy.config import CALIBRATION_SAMPLES, Preset
from ecmt_deploy.conversion import converter
from ecmt_deploy.conversion.calibration.tools.clips import MOST_FRAMES
from ecmt_deploy.conversion.choosing import choose, for_chip
from ecmt_deploy.conversion.converter import Progress
from ecmt_deploy.door import ChipLike
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.files import require_out
from ecmt_deploy.program import Provenance
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.progress import progress as progress_line
from ecmt_deploy.verbs.arguments import require_none

if TYPE_CHECKING:
    from ecmt_deploy.models import Model

_logger = logging.getLogger(__name__)


def convert(
    model: nn.Module | str,
    calibration: Any,
    config: Preset | None = None,
    provenance: Provenance | None = None,
    progress: Progress | None = None,
    *,
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
    data: str | None = None,
    output: str | None = None,
    weights: str | PathLike[str] | None = None,
    weights_key: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    calibration_samples: int | None = None,
    hardware: ChipLike | None = None,
    stream: Any = None,
    skip_damaged: bool = False,
    out: str | PathLike[str] | None = None,
) -> SpikingModel:
    """Convert a model to a spiking program, without training.

    Parameters
    ----------
    model : any ``nn.Module`` in eval mode that maps (B, C, H, W) to (B, classes), or the name of a model:
        ``zoo:vit_digits``, any of timm's, or ``hf:DIR`` and ``hf:OWNER/NAME`` of `transformers`
    calibration : samples (N, C, H, W), normalised, at least two different ones: an array or tensor, an iterable of batches, or
        whatever :func:`ecmt_deploy.door.batches` takes; all are used (a few hundred are enough), labels are left alone.
        For a model by name also a dataset by name, such as ``folder:DIR`` (docs/data.md)
    config : preset and options, as :func:`ecmt_deploy.ConvertConfig` makes them; by default preset ``accurate``, or the one
        that pays least on ``hardware``
    provenance : what is known of the origin; digests of weights and samples are filled in here
    progress : called with a stage and the number of samples it has seen
    preprocessing : what images go through to become such samples, so that the program can read images: ``mean``, ``std``,
        ``crop_pct``, .. as a :class:`~ecmt_deploy.program.preprocessing.Preprocessing` or as a dict, such as timm's
        ``resolve_data_config`` gives. For a model by name: a dict of what is not as its configuration says
    class_names : one for each output; labels of datasets are then matched by name
    data : what to call the data that the samples are of
    output : the name of the tensor that is meant where the model answers with several, in a tuple, a dict or an object with
        fields: ``"logits"``, ``"hidden_states.3"``, ``"[0]"``; by default the only floating one, or ``logits``
    weights, weights_key, model_args : of a model by name, see :func:`ecmt_deploy.models.load`
    calibration_samples : how many samples of the training split of a dataset by name to calibrate on; by default
        :data:`ecmt_deploy.config.CALIBRATION_SAMPLES`
    hardware : chip, its name or file, to convert for: payloads are no wider than its spikes carry (docs/presets.md)
    stream : a clip to tune the program for streams on: frames (F, C, H, W) in order, as ``calibration``, a
        :class:`ecmt_deploy.data.Clip`, or for a model by name also a clip by name, such as ``video:FILE`` (docs/data.md,
        *Clips*). The budget is then of a frame once the stream runs, and the program holds the threshold of its gate
    skip_damaged : of a dataset by name: damaged images are left out of those that are drawn, and counted
    out : program file to write (.nir); nothing is written where anything fails

    Returns
    -------
    SpikingModel

    Raises
    ------
    DataError
        if the calibration samples are empty, constant, not finite, of several shapes, not normalised, or not what the model
        takes; or if ``preprocessing``, ``class_names`` or ``data`` do not fit them or the model.
    ConfigError
        if an argument makes no sense, or ``hardware`` cannot run the preset.
    ModelError
        if the model is no module, or not as it can be converted (half precision, on a GPU), or cannot be had by this name.
    CaptureError
        if the model has operations outside the table, all of which are listed, or is wrapped; or if it is not said
        which of its answers is meant.
    ConversionError
        if the analog program does not reproduce the model.
    """
    path = None if out is None else Path(out)
    if path is not None:
        require_out(path, ".nir")
    if hardware is not None and config is None:
        config, reason = choose(hardware)
        _logger.info("%s", reason)
    elif hardware is not None and isinstance(config, Preset):
        config = for_chip(config, hardware)
    if isinstance(calibration, str):
        require_none("samples in memory", data=data)
    else:
        require_none("a dataset by name", skip_damaged=skip_damaged, calibration_samples=calibration_samples)
    if not isinstance(model, str):
        require_none("a model by name", weights=weights, weights_key=weights_key, model_args=model_args or None)
        made = converter.convert(
            model, calibration, config, provenance, progress, preprocessing=preprocessing, class_names=class_names, data=data,
            output=output, **_frames(stream),
        )  # fmt: skip
    else:
        from ecmt_deploy import models  # timm takes seconds to load, and a module of one's own does not need it

        if provenance is not None or isinstance(preprocessing, Preprocessing):
            raise ConfigError(f"{model} knows its provenance and preprocessing; pass a dict of the preprocessing that differs")
        loaded = models.load(model, None if weights is None else Path(weights), model_args, weights_key, preprocessing, output)
        if isinstance(stream, str):
            stream = datasets.open_clip(stream, loaded.preprocessing)
        if isinstance(calibration, str):
            made = _on_dataset(
                loaded, calibration, CALIBRATION_SAMPLES if calibration_samples is None else calibration_samples,
                config, progress, class_names, stream, output, skip_damaged,
            )  # fmt: skip
        else:
            # nobody says that arrays of tokens are of the model's own tokenizer, and as long as it makes them
            origin = _provenance(replace(loaded, text=None))
            made = converter.convert(
                loaded.module, calibration, config, origin, progress, class_names=class_names, data=data, output=output,
                **_frames(stream),
            )  # fmt: skip
    if path is not None:
        made.save(path)
    return made


def _frames(stream: Any) -> dict[str, Any]:
    """The frames of a clip, and what it is called, as far as anybody says."""
    if isinstance(stream, datasets.Clip):
        return {"stream": stream.array(MOST_FRAMES), "stream_name": stream.name}
    return {"stream": stream}


def _on_dataset(
    model: Model,
    data: str,
    n_samples: int,
    config: Preset | None,
    progress: Progress | None,
    class_names: Sequence[str] | None,
    stream: Any,
    output: str | None,
    skip_damaged: bool,
) -> SpikingModel:
    if model.text is not None:
        given = "length" in model.preprocessing_origin
        model = replace(model, text=datasets.fitted_text(data, model.text, model.type_ids, given))
    reading = model.text or model.preprocessing
    assert reading is not None  # a model by name reads images or text
    drawn = datasets.calibration(
        data, preprocessing=reading, n_samples=n_samples, n_classes=model.n_outputs, skip_damaged=skip_damaged
    )
    names, ids = output_names(model, data, drawn.class_names)
    origin = _provenance(model, calibration=drawn.record, class_names=names, class_ids=ids)
    with progress_line(f"convert {model.name}: calibrate", len(drawn.x)) as bar:

        def show(stage: str, samples: int) -> None:
            bar(samples, "" if stage == "calibrate" else f"convert {model.name}: {stage}")

        x = torch.from_numpy(drawn.x) if model.text is None else datasets.unpacked(drawn.x, model.text)
        return converter.convert(
            model.module, x, config, origin, progress or show, class_names=class_names, output=output, **_frames(stream)
        )


def _provenance(model: Model, **more: Any) -> Provenance:
    """What a program should remember of its model, and ``more``, which may say otherwise."""
    from ecmt_deploy.models import literal

    known = {"class_names": model.class_names, "class_ids": model.class_ids} | more
    return Provenance(
        tool_version=version("ecmt-deploy"),
        model=model.name,
        model_args={key: literal(value) for key, value in model.model_args.items()},
        weights_sha256=model.weights_sha256,
        weights_key=model.weights_key,
        preprocessing=model.preprocessing,
        preprocessing_origin=model.preprocessing_origin if model.text is None else None,
        text=model.text,
        **known,
    )


def output_names(
    model: Model, data: str, found: tuple[str, ...] | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """What the outputs of a model stand for, and what datasets call that, where its calibration data has the classes ``found``.

    Names that come with pretrained weights hold. For weights of a file they are a guess from the architecture's name, refuted
    by data with other classes, as many as there are outputs. A model without names has those of such data.
    """
    names, ids = model.class_names, model.class_ids
    if model.text is not None or model.n_outputs is None:  # labels of sentences are in no order
        return names, ids
    if found and len(found) == model.n_outputs:
        if names is None or (model.weights_key is not None and None in datasets.match(found, names, ids)):
            return found, None
    elif found and names is None:
        _logger.warning(
            "%s: has %d classes, %s %d outputs, which stay without names; other data will need --labels position",
            data, len(found), model.name, model.n_outputs,
        )  # fmt: skip
    return names, ids
