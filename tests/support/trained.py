"""The bundled model as programs, and samples of its data: made once for all tests that ask."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ecmt_deploy import data
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.program import read
from ecmt_deploy.verbs.convert import convert
from tests.support.kept import kept

MODEL, DATA = "zoo:vit_digits", "digits"


@cache
def program_file(preset: str, calibration_samples: int = 64, stream: str | None = None, **config: Any) -> Path:
    """The file of the bundled model in a preset, which holds for all: copy it to change it, or to have others beside it."""

    def make(path: Path) -> None:
        chosen = ConvertConfig(preset=preset, **config)  # type: ignore[arg-type]
        convert(MODEL, DATA, chosen, calibration_samples=calibration_samples, stream=stream, out=path)

    told = [preset, str(calibration_samples), *filter(None, [stream]), *(f"{name}={value}" for name, value in config.items())]
    return kept(f"{'_'.join(told)}.nir", make)


@cache
def samples(count: int) -> np.ndarray:
    """The first test samples of its data, as its programs take them: (count, 1, 8, 8)."""
    preprocessing = read(program_file("paper", 8)).provenance.preprocessing
    ((x, _),) = data.open(DATA, preprocessing=preprocessing).sample(count).batches(count)
    return x
