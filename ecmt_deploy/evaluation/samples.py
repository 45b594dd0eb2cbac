"""What a job runs, and on which samples of a dataset: the same for ``evaluate`` and ``simulate``, whatever computes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np

from ecmt_deploy import data as datasets
from ecmt_deploy.evaluation.shards import Shard
from ecmt_deploy.program import Program


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What ``evaluate`` and ``simulate`` run, and on what.

    Attributes
    ----------
    program : path of the program
    data : dataset; the calibration hold-out of a single split is left out
    timesteps : steps T; by default those the program was converted for
    limit : at most this many samples
    labels : labels find their output by ``name`` or by ``position`` (docs/data.md)
    shard : do only this shard
    out : takes the result
    skip_damaged : leave out images that are damaged, which are counted; otherwise they are an error
    """

    program: Path
    data: str
    timesteps: int | None = None
    limit: int | None = None
    labels: datasets.Labels = "name"
    shard: Shard | None = None
    out: Path | None = None
    skip_damaged: bool = False


def evaluation_data(
    program: Program, data: str, limit: int | None, labels: datasets.Labels = "name", skip_damaged: bool = False
) -> datasets.Dataset:
    """The samples to judge ``program`` on, with labels that count its outputs; damaged ones are left out or an error."""
    provenance = program.provenance
    return datasets.evaluation(
        data,
        preprocessing=provenance.reading,
        exclude=provenance.calibration,
        limit=limit,
        n_classes=program.output_shape[-1],
        class_names=provenance.class_names,
        class_ids=provenance.class_ids,
        labels=labels,
        shape=program.inputs,
        skip_damaged=skip_damaged,
    )


def fingerprint(dataset: datasets.Dataset) -> str:
    """Digest of which samples these are, and of their labels."""
    return hashlib.sha256(np.stack([dataset.indices, dataset.labels]).astype("<i8").tobytes()).hexdigest()
