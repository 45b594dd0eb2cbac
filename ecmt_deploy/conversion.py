"""The converter: a module and calibration samples in, a verified spiking program out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from importlib.metadata import version

import msgspec
import nir
import numpy as np
import torch
from torch import Tensor, nn

from ecmt_deploy import weights
from ecmt_deploy.calibrate import Statistics, calibrate
from ecmt_deploy.capture import capture
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import DataError
from ecmt_deploy.graph import CalibrationRecord, Program, Provenance, verify
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.lower import Lowered, lower
from ecmt_deploy.selfcheck import self_check

log = logging.getLogger(__name__)

#: called with a stage (``capture``, ``check``, ``calibrate``) and how many samples it has seen
Progress = Callable[[str, int], None]
BATCH = 16


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
        if the calibration samples are empty, constant or not finite.
    CaptureError
        if the model has operations outside the table; all of them are listed.
    ConversionError
        if the analog program does not reproduce the model.
    """
    config = config or ConvertConfig()
    report = progress or (lambda stage, samples: None)
    batches = _batches(calibration)
    recipe = config.recipe
    base = provenance or Provenance(tool_version=version("ecmt-deploy"))
    base = msgspec.structs.replace(
        base,
        config=msgspec.to_builtins(config),
        weights_sha256=base.weights_sha256 or weights.sha256(model),
        calibration=base.calibration or _given(batches),
    )
    report("capture", 0)
    captured = capture(model, batches[0])
    lowered, exact = (
        lower(captured, recipe.coding, dtype, base, recipe.analog_readout_layer) for dtype in (batches[0].dtype, torch.float64)
    )
    report("check", 0)
    self_check(model, captured, lowered, exact, _different_samples(batches))
    statistics = calibrate(lowered, batches, lambda samples: report("calibrate", samples))
    return SpikingModel(_with_bases(lowered, statistics, config))


def _with_bases(lowered: Lowered, statistics: dict[str, Statistics], config: ConvertConfig) -> Program:
    """The program with measured bases in its neurons."""
    recipe, program = config.recipe, lowered.program
    nodes: dict[str, nir.NIRNode] = dict(program.nodes)
    for name, seen in statistics.items():
        place = _percentile_bases if recipe.bases == "percentile" else _maximum_bases
        p, m = place(name, seen, config.levels)
        dtype = program.dtype
        nodes[name] = n.MultiThreshold(p.astype(dtype), m.astype(dtype), config.levels, recipe.rule, recipe.fraction)
    edges = [(source, name) for name, sources in program.operands.items() for source in set(sources)]
    return verify(nodes, edges, program.provenance)


def _percentile_bases(name: str, seen: Statistics, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """The paper's: the smallest level is the 99th percentile, and the 1st for the negative side.

    A side that the data never uses takes the other side's base: its neurons may still have to correct an overshoot.
    """
    low, high = seen.percentiles
    p, m = max(high, 0.0), max(-low, 0.0)
    fallback = max(p, m) or _largest(name, seen)
    return np.asarray(p or fallback), np.asarray(m or fallback)


def _maximum_bases(name: str, seen: Statistics, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """From the largest level down: level n - 1 is the largest magnitude seen, per channel where there are channels.

    A channel that was silent takes the largest of the others: nothing is known of it, so it must not be cut off.
    """
    largest = np.where(seen.largest > 0, seen.largest, _largest(name, seen))
    base = largest / 2.0 ** (levels - 1)
    return base, base.copy()


def _largest(name: str, seen: Statistics) -> float:
    largest = float(seen.largest.max())
    if largest > 0:
        return largest
    log.warning("neuron %s saw nothing but zeros in the calibration data; its largest level is set to 1", name)
    return 1.0


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
    first = batches[0].flatten()[0]
    if all(bool((batch == first).all()) for batch in batches):
        raise DataError(f"the calibration data is the constant {float(first):g} everywhere; pass real samples, normalised")
    return batches


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
        digest.update(batch.detach().cpu().contiguous().numpy().tobytes())
    indices = tuple(range(sum(map(len, batches))))
    return CalibrationRecord("array", "given", None, indices, (), digest.hexdigest())
