"""What travels between nodes in one step: values, and which of their rows an event has reached."""

from typing import NamedTuple

import numpy as np


class Stream(NamedTuple):
    """One step of one stream of one sample.

    Attributes
    ----------
    value : array of the stream's shape
    changed : bool array of the same shape: elements that an event reached in this step. Decided from events, never from
        values, so that every engine decides alike; whole rows (the last axis), except for spikes and what wiring made of them.
    """

    value: np.ndarray
    changed: np.ndarray


def rows(changed: np.ndarray, axes: tuple[int, ...] = (-1,)) -> np.ndarray:
    """Spread a mask over ``axes`` (the row by default): an element counts as changed where any element there did."""
    if changed.ndim == 0:
        return changed
    return np.broadcast_to(changed.any(axis=axes, keepdims=True), changed.shape)
