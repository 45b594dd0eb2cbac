"""``digits``: the 1797 handwritten digits of 8 x 8 pixels that scikit-learn carries (UCI Optical Recognition)."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.data.dataset import shuffled
from ecmt_deploy.data.source import ArraySource, Split
from ecmt_deploy.program.preprocessing import Preprocessing

CLASS_NAMES = tuple("0123456789")
FULL_SCALE = 16.0
SPLIT_SEED = 1998
"""Seed of the split; the bundled model was trained on its train part and is judged on its test part."""
TEST_PER_CLASS = 36


def split_digits() -> tuple[np.ndarray, np.ndarray]:
    """The fixed stratified split.

    Returns
    -------
    train, test
        Indices into ``sklearn.datasets.load_digits()``, int64 (1437,) and (360,), ascending; 36 test samples of
        each class.
    """
    _, labels = _load()
    test = []
    for label in range(len(CLASS_NAMES)):
        members = np.flatnonzero(labels == label)
        test.append(members[shuffled(len(members), SPLIT_SEED + label)[:TEST_PER_CLASS]])
    chosen = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def open_digits(split: Split, preprocessing: Preprocessing) -> ArraySource:
    """One split of the digits, pixels 0..16 scaled to [0, 1] and normalised.

    Raises
    ------
    DataError
        If the model does not take 1 x 8 x 8.
    """
    images, labels = _load()
    train, test = split_digits()
    chosen = train if split == "train" else test
    return ArraySource("digits", split, images[chosen], labels[chosen], CLASS_NAMES, preprocessing, FULL_SCALE)


def _load() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images[:, None].astype(np.float32), digits.target.astype(np.int64)
