"""Named arrays of :func:`ecmt_deploy.testing.tokens.named_inputs`, as people have them."""

import numpy as np

from ecmt_deploy.testing.tokens import INPUTS, samples


def named(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Ids and masks as int64, traits as float32, (count, ...)."""
    parts = INPUTS.unpack(samples(count, seed))
    return {name: part if INPUTS[name].holds == "values" else part.astype(np.int64) for name, part in parts.items()}
