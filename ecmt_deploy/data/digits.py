"""``digits``: the 1797 handwritten digits of 8 x 8 pixels that scikit-learn carries (UCI Optical Recognition)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ecmt_deploy.data.dataset import shuffled
from ecmt_deploy.data.source import ArraySource, Split
from ecmt_deploy.errors import DataError
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
    _, labels = load()
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
    images, labels = load()
    train, test = split_digits()
    chosen = train if split == "train" else test
    return ArraySource("digits", split, images[chosen], labels[chosen], CLASS_NAMES, preprocessing, FULL_SCALE)


def load() -> tuple[np.ndarray, np.ndarray]:
    """All digits as they are stored: float32 (1797, 1, 8, 8) of 0..16, and labels, int64 (1797,).

    They are read from the file that scikit-learn carries, as to import its own reader takes longer than a small evaluation.

    Raises
    ------
    DataError
        If the scikit-learn that is installed carries no such file.
    """
    package = find_spec("sklearn")
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0], "datasets", "data", "digits.csv.gz") if folders else None
    if path is None or not path.is_file():
        raise DataError(f"digits: scikit-learn's {path or 'digits.csv.gz'} is missing; install scikit-learn 1.5 or later anew")
    table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
