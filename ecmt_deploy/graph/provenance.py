"""Where a program comes from: kept in the file, as JSON, beside the graph."""

from __future__ import annotations

import msgspec

from ecmt_deploy.preprocessing import Preprocessing

DIALECT_VERSION = 1


class CalibrationSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The samples the neuron bases were measured on.

    Attributes
    ----------
    data : the DATA argument, or ``array`` for samples passed in Python
    split : name of the split they were taken from
    samples : how many
    sha256 : digest of the samples as the model saw them
    holdout : indices into the only split of a dataset that has no training split; evaluation leaves them out
    """

    data: str
    split: str
    samples: int
    sha256: str
    holdout: tuple[int, ...] = ()


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Provenance of a program; unknown things are ``None``, never a guess."""

    tool_version: str
    dialect_version: int = DIALECT_VERSION
    model: str | None = None
    weights_sha256: str | None = None
    calibration: CalibrationSource | None = None
    config: dict[str, str | int | float | bool | None] | None = None
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None
