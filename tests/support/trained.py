"""The bundled model in every preset, and samples of its data: made once for all tests that ask."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from ecmt_deploy import data
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.program import read
from ecmt_deploy.verbs.convert import convert

MODEL, DATA = "zoo:vit_digits", "digits"


@cache
def program_file(preset: str, calibration_samples: int = 64) -> Path:
    """The file of the bundled model in a preset."""
    path = Path(mkdtemp(prefix="ecmt_trained_")) / f"{preset}.nir"
    convert(MODEL, DATA, ConvertConfig(preset=preset), calibration_samples=calibration_samples, out=path)  # type: ignore[arg-type]
    return path


@cache
def samples(count: int) -> np.ndarray:
    """The first test samples of its data, as its programs take them: (count, 1, 8, 8)."""
    preprocessing = read(program_file("paper")).provenance.preprocessing
    ((x, _),) = data.open(DATA, preprocessing=preprocessing).sample(count).batches(count)
    return x
