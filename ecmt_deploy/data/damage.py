"""Damaged images: found before anything is computed, named, and left out where that is asked for."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ecmt_deploy.data.dataset import Dataset
from ecmt_deploy.errors import DataError, listed, plural

_logger = logging.getLogger(__name__)


def sound(dataset: Dataset, skip: bool) -> Dataset:
    """The samples that can be read.

    Parameters
    ----------
    dataset : the samples that are meant
    skip : decode each image once, and leave out those that are damaged: ``skipped`` of the result says how many. Otherwise ends
        and sizes of image files are looked at, which finds truncated and empty ones in microseconds each, and nothing is
        left out; what looks damaged is decoded before it is called so

    Raises
    ------
    DataError
        if samples are damaged, naming some, and ``skip`` is not set; or if all are.
    """
    found = dataset.source.damaged(dataset.indices, skip)
    if not found:
        return dataset
    many = plural(len(found), "damaged image")
    named = listed(list(found.values()), 3)
    if len(found) == len(dataset):
        raise DataError(f"{dataset.name}: every sample of {len(dataset)} is damaged: {named}")
    if not skip:
        raise DataError(f"{dataset.name}: {many}, found before anything is computed: {named}; --skip-damaged leaves out such")
    _logger.warning("%s: %s left out of %s: %s", dataset.name, many, plural(len(dataset), "sample"), named)
    kept = ~np.isin(dataset.indices, np.fromiter(found, np.int64, len(found)))
    return replace(dataset, indices=dataset.indices[kept], skipped=len(found))
