"""The verbs for things with names: models, datasets and files, as the command line asks for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from ecmt_deploy import data as datasets
from ecmt_deploy.config import Preset
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import DataError
from ecmt_deploy.evaluation.jobs import evaluation_data
from ecmt_deploy.files import require_out, sha256, write_atomically
from ecmt_deploy.program import Program, Provenance, read, write
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.progress import progress
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.traces import Trace
from ecmt_deploy.simulation.tracing import trace
from ecmt_deploy.untrusted.text import to_csv

if TYPE_CHECKING:
    from ecmt_deploy.models import Model

_logger = logging.getLogger(__name__)
#: samples read at once for a trace
TRACE_BATCH = 16


def convert_named(
    model: str,
    data: str,
    out: Path,
    config: Preset,
    weights: Path | None = None,
    model_args: Mapping[str, Any] | None = None,
    calibration_samples: int = 64,
    weights_key: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
) -> SpikingModel:
    """Convert a model by name and write the program to ``out``; nothing is written where anything fails.

    ``weights_key`` and ``preprocessing`` are those of :func:`ecmt_deploy.models.load`.

    Raises
    ------
    EcmtError
        with one line that says what is wrong.
    """
    from ecmt_deploy import models  # timm takes seconds to load, and conversion alone needs it

    require_out(out, ".nir")
    loaded = models.load(model, weights, model_args, weights_key, preprocessing)
    drawn = datasets.calibration(
        data, preprocessing=loaded.preprocessing, n_samples=calibration_samples, n_classes=loaded.n_outputs
    )
    class_names, class_ids = _output_names(loaded, data, drawn.class_names)
    provenance = Provenance(
        tool_version=version("ecmt-deploy"),
        model=model,
        model_args={key: models.literal(value) for key, value in loaded.model_args.items()},
        weights_sha256=loaded.weights_sha256,
        weights_key=loaded.weights_key,
        calibration=drawn.record,
        preprocessing=loaded.preprocessing,
        preprocessing_origin=loaded.preprocessing_origin,
        class_names=class_names,
        class_ids=class_ids,
    )
    with progress(f"convert {model}: calibrate", len(drawn.x)) as bar:
        x = torch.from_numpy(drawn.x)

        def show(stage: str, samples: int) -> None:
            bar(samples, "" if stage == "calibrate" else f"convert {model}: {stage}")

        spiking = convert(loaded.module, x, config, provenance, show)
    spiking.save(out)
    return spiking


def _output_names(
    model: Model, data: str, found: tuple[str, ...] | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """What the outputs of a model stand for, and what datasets call that, where its calibration data has the classes ``found``.

    Names that come with pretrained weights hold. For weights of a file they are a guess from the architecture's name, refuted
    by data with other classes, as many as there are outputs. A model without names has those of such data.
    """
    names, ids = model.class_names, model.class_ids
    if found and len(found) == model.n_outputs:
        if names is None or (model.weights_key is not None and None in datasets.match(found, names, ids)):
            return found, None
    elif found and names is None:
        _logger.warning(
            "%s: has %d classes, %s %d outputs, which stay without names; other data will need --labels position",
            data, len(found), model.name, model.n_outputs,
        )  # fmt: skip
    return names, ids


def quantize_file(path: Path, out: Path, hardware: str | None = None, timesteps: int | None = None) -> Program:
    """Write the integer program of a float program to ``out``."""
    require_out(out, ".nir", reads=[path])
    made = quantize(read(path), hardware, timesteps)
    write(made, out)
    return made


def trace_file(
    path: Path,
    data: str,
    timesteps: int | None = None,
    limit: int | None = None,
    out: Path | None = None,
    labels: datasets.Labels = "name",
) -> Trace:
    """Trace a program on samples of a dataset; ``out`` takes the trace: ``.json``, or its table as ``.csv``."""
    suffix = None if out is None else require_out(out, ".json", ".csv")
    model = load(path)
    dataset = evaluation_data(model.program, data, limit, labels)
    with progress(f"trace {path.name}", len(dataset)) as bar:
        batches = (torch.from_numpy(x) for x, _ in bar.reading(dataset.batches(TRACE_BATCH)))
        measured = trace(model, batches, timesteps, bar)
    measured = msgspec.structs.replace(measured, program_sha256=sha256(path), data=data)
    if out is not None:
        from ecmt_deploy.report.data import trace as as_table

        as_json = msgspec.json.format(msgspec.json.encode(measured), indent=1)
        write_atomically(out, to_csv(*as_table(measured)) if suffix == ".csv" else as_json)
    return measured


def classify_files(
    path: Path, images: Sequence[Path], timesteps: int | None = None, top: int = 5
) -> list[list[list[tuple[str, float]]]]:
    """Classify image files.

    Returns
    -------
    for every image, for every step, the ``top`` classes as (name, probability), most probable first
    """
    model = load(path)
    preprocessing = require_preprocessing(model.program)
    x = torch.from_numpy(datasets.load_images(images, preprocessing))
    readouts = model(x, timesteps)
    names = model.program.provenance.class_names
    probabilities = torch.softmax(readouts, dim=-1)
    best = probabilities.topk(min(top, probabilities.shape[-1]), dim=-1)
    return [
        [
            [(names[k] if names else str(k), p) for p, k in zip(values, classes, strict=True)]
            for values, classes in zip(best.values[:, i].tolist(), best.indices[:, i].tolist(), strict=True)
        ]
        for i in range(len(images))
    ]


def require_preprocessing(program: Program) -> Preprocessing:
    """The preprocessing a program was converted with; one converted from arrays in Python need not have any."""
    if program.provenance.preprocessing is None:
        raise DataError(datasets.WITHOUT_PREPROCESSING)
    return program.provenance.preprocessing
