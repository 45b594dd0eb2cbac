"""How images become model inputs: a frozen record that travels with a program as JSON.

This module imports neither torch nor timm, so a program's provenance can be read anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ecmt_deploy.errors import DataError, plural

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
#: those with ``_floor`` cut out what is one pixel further to the left or above where the middle is between two pixels
CROP_MODES = ("center", "squash", "border", "center_floor", "squash_floor")

CHANNEL_ORDERS = ("RGB", "BGR")


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Preprocessing of a model, in timm's vocabulary.

    Parameters
    ----------
    input_size
        ``(C, H, W)`` of one input sample: channels and pixels.
    mean, std
        One value per channel, in units of full scale (pixels are first scaled to [0, 1]).
    interpolation
        One of :data:`INTERPOLATIONS`; used when an image is resized.
    crop_pct
        Edge of the crop over edge of the resized image (above 1: padded).
    crop_mode
        One of :data:`CROP_MODES`.
    channel_order
        One of :data:`CHANNEL_ORDERS`: that of the channels of a sample. ``mean`` and ``std`` are in this order.

    Raises
    ------
    DataError
        If a field makes no sense (sizes or ``std`` not positive, not one ``mean`` per channel, ...).
    """

    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    crop_pct: float = 1.0
    crop_mode: str = "center"
    channel_order: str = "RGB"

    def __post_init__(self) -> None:
        if any(n < 1 for n in self.input_size):
            raise DataError(f"preprocessing: input_size must be positive, found {self.input_size}")
        channels = self.input_size[0]
        for field in ("mean", "std"):
            values = getattr(self, field)
            if len(values) != channels:
                raise DataError(
                    f"preprocessing: {field} has {plural(len(values), 'value')} for {channels} channels; give one each"
                )
            if not all(math.isfinite(v) for v in values):
                raise DataError(f"preprocessing: {field} must be finite, found {values}")
        if any(v <= 0 for v in self.std):
            raise DataError(f"preprocessing: std must be positive, found {self.std}")
        if not 0 < self.crop_pct <= 2:
            raise DataError(f"preprocessing: crop_pct must be in (0, 2], found {self.crop_pct}")
        if self.interpolation not in INTERPOLATIONS:
            raise DataError(
                f"preprocessing: unknown interpolation {self.interpolation!r}; choose from {', '.join(INTERPOLATIONS)}"
            )
        if self.crop_mode not in CROP_MODES:
            raise DataError(f"preprocessing: unknown crop_mode {self.crop_mode!r}; choose from {', '.join(CROP_MODES)}")
        if self.channel_order not in CHANNEL_ORDERS:
            raise DataError(f"preprocessing: channel_order is {self.channel_order!r}; choose from {', '.join(CHANNEL_ORDERS)}")

    def normalised(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (.., C, H, W) from 0 to 1, in RGB, as a model sees them, float32."""
        mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        return (self._ordered(pixels) - mean) / std

    def shown(self, x: np.ndarray) -> np.ndarray:
        """What a model sees (.., C, H, W) as pixels from 0 to 1, in RGB: :meth:`normalised` undone."""
        mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        return self._ordered(x * std + mean)

    def _ordered(self, x: np.ndarray) -> np.ndarray:
        return x if self.channel_order == CHANNEL_ORDERS[0] else x[..., ::-1, :, :]


def preprocessing_from(fields: Mapping[str, Any], input_size: Sequence[int] | None = None) -> Preprocessing:
    """A record from fields by name, as timm's ``resolve_data_config`` gives them; one ``mean`` or ``std`` is every channel's.

    Parameters
    ----------
    fields
        Of :class:`Preprocessing`; ``mean`` and ``std`` must be there.
    input_size
        ``(C, H, W)`` of what they are for, where ``fields`` does not say.

    Raises
    ------
    DataError
        If a field is missing, unknown, or makes no sense.
    """
    known = Preprocessing.__struct_fields__
    given = {"input_size": input_size, **fields}
    missing = [field for field in ("input_size", "mean", "std") if given.get(field) is None]
    unknown = [str(field) for field in given if field not in known]
    if missing or unknown:
        what = f"{missing[0]} is missing" if missing else f"unknown field {unknown[0]!r}"
        raise DataError(f"preprocessing: {what}; it has {', '.join(known)}")
    size = tuple(np.ravel(given["input_size"]).tolist())
    if len(size) != 3:
        raise DataError(f"preprocessing: input_size must be (C, H, W), found {given['input_size']}")
    try:
        channels = {field: per_channel(given[field], size[0]) for field in ("mean", "std")}
        return msgspec.convert({**given, "input_size": size, **channels}, Preprocessing)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise DataError(f"preprocessing: {error}") from error


def per_channel(value: Any, channels: int) -> tuple[float, ...]:
    """A number for every channel, or the numbers as they are (:class:`Preprocessing` checks how many)."""
    values = tuple(float(v) for v in np.ravel(value).tolist())
    return values * channels if len(values) == 1 else values


def described(preprocessing: Preprocessing, origin: Mapping[str, str] | None = None) -> str:
    """One line for a person: every field by name, those of one origin together, with where they come from if that is known."""
    parts: dict[str, list[str]] = {}
    for field in preprocessing.__struct_fields__:
        value = getattr(preprocessing, field)
        if field == "channel_order" and value == CHANNEL_ORDERS[0]:
            continue  # as nearly always
        joint = " x " if field == "input_size" else " "
        shown = joint.join(f"{v:.4g}" for v in value) if isinstance(value, tuple) else f"{value}"
        parts.setdefault((origin or {}).get(field, ""), []).append(f"{field} {shown}")
    return "; ".join(", ".join(fields) + (f" ({source})" if source else "") for source, fields in parts.items())
