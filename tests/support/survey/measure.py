"""What one model gives: captured and lowered as it is, compared with itself, and converted small for cosines."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.conversion.calling import called
from ecmt_deploy.conversion.capture import capture
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.conversion.decomposition import decomposed
from ecmt_deploy.conversion.lowering import lower
from ecmt_deploy.conversion.preparing import prepare
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import CaptureError, EcmtError
from ecmt_deploy.program import Provenance
from tests.support.families import centred_cosine, operations, randomise
from tests.support.survey.entries import Entry

#: samples that cosines are over, and that a program is calibrated on
INPUTS, CALIBRATION, STEPS = 12, 12, 16
#: two samples' answers differ at least by so much of the largest, or nothing is compared
LEAST_CHANGE = 1e-2
#: beyond this a difference is no rounding of float32, or of a model that amplifies it
ROUNDING, MOST_IN_DOUBLE = 1e-4, 200_000_000


def full(entry: Entry) -> dict[str, Any]:
    """Capture and lower the model at its own size, and run both on two samples.

    Returns
    -------
    ``operations``, ``nodes``, ``difference`` (largest, relative to the largest output), or ``refused``: operations and reasons;
    and ``seconds``
    """
    begun = time.monotonic()
    model, shape = entry.full()
    model = model.eval() if entry.inputs else _telling(model.eval(), _pictures(shape, 2, 2))
    size = sum(parameter.numel() for parameter in model.parameters())
    made: dict[str, Any] = {"parameters": size}
    try:
        made |= _named(entry, model) if entry.inputs else _plain(model, _pictures(shape, 2, 2), entry.output)
        if not made["difference"] < ROUNDING and entry.inputs is None and size <= MOST_IN_DOUBLE:
            # the model itself amplifies rounding, as its own two precisions show: compared where there is less of it
            made |= _plain(model.double(), _pictures(shape, 2, 2).double(), entry.output) | {"dtype": "float64"}
    except CaptureError as error:
        alike: dict[str, int] = {}
        for one in error.refused:
            said = f"{one.operation}: {one.reason}"
            alike[said] = alike.get(said, 0) + 1
        made["refused"] = alike or {str(error): 1}
    except EcmtError as error:
        made["refused"] = {str(error): 1}
    return made | {"seconds": round(time.monotonic() - begun, 1)}


def _telling(model: nn.Module, x: Tensor) -> nn.Module:
    """The model with random weights that make its answers depend on the input: the matrices as they are initialised, unless two
    samples then have one answer, as where the last layer begins at zero."""
    model = randomise(model, None)
    with torch.no_grad():
        answers = model(x)
    if not isinstance(answers, Tensor) or (answers[0] - answers[1]).abs().max() > LEAST_CHANGE * answers.abs().max():
        return model
    return randomise(model)


def _plain(model: nn.Module, x: Tensor, output: str | None) -> dict[str, Any]:
    calling = called(prepare(model), x, output=output)
    origin = Provenance(tool_version=version("ecmt-deploy"))
    captured = decomposed(capture(calling, x), x.dtype)
    program = lower(captured, "differential", x.dtype, origin, False).program
    return _compared(program, SpikingModel(program).analog(x), calling(x))


def _named(entry: Entry, model: nn.Module) -> dict[str, Any]:
    """Models of tokens and masks go through the door: they are small."""
    spiking = convert(model, entry.inputs(CALIBRATION, 3), ConvertConfig(), output=entry.output)
    x = entry.inputs(INPUTS, 2)
    expected = answer(model, x, entry.output)
    readouts = spiking(x, STEPS)
    return _compared(spiking.program, spiking.analog(x), expected) | _cosines(readouts, expected)


def _compared(program: Any, found: Tensor, expected: Tensor) -> dict[str, Any]:
    difference = float((found - expected).abs().max() / expected.abs().max())
    return {"operations": operations(program), "nodes": len(program.nodes), "difference": difference}


def answer(model: nn.Module, x: Tensor | dict[str, Tensor], output: str | None) -> Tensor:
    """What a model of `transformers` answers: the output that is meant."""
    with torch.no_grad():
        given = model(**x) if isinstance(x, dict) else model(x)
    if isinstance(given, Tensor):
        return given
    return given[output] if output else given["logits"] if "logits" in given else given["last_hidden_state"]


def cosines(entry: Entry) -> dict[str, Any]:
    """Convert the model, smaller where that is said, and compare its readouts with the answers of the model.

    Returns
    -------
    ``cosine_1``, ``cosine_4``, ``cosine_16``, ``smaller`` (by what), or ``failed``; and ``seconds_cosines``
    """
    begun = time.monotonic()
    if entry.small is not None:
        model, shape, said = entry.small()
    else:
        (model, shape), said = entry.full(), ""
    model = randomise(model.eval())
    x, calibration = _pictures(shape, INPUTS, 2), _pictures(shape, CALIBRATION, 3)
    try:
        spiking = convert(model, calibration, ConvertConfig(), output=entry.output)
        with torch.no_grad():
            expected = model(x)
        made = _cosines(spiking(x, STEPS), expected)
    except EcmtError as error:
        made = {"failed": str(error)}
    return made | {"smaller": said, "seconds_cosines": round(time.monotonic() - begun, 1)}


def _cosines(readouts: Tensor, expected: Tensor) -> dict[str, Any]:
    return {f"cosine_{t}": centred_cosine(readouts[t - 1], expected) for t in (1, 4, STEPS)}


def _pictures(shape: tuple[int, ...], count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator)


def finite(record: dict[str, Any]) -> dict[str, Any]:
    """The record as JSON has it: what is no number is nothing."""
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in record.items()}
