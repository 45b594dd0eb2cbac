"""How images become model inputs: a frozen record that travels with a program as JSON.

This module imports neither torch nor timm, so a program's provenance can be read anywhere.
"""

from __future__ import annotations

import math

import msgspec

from ecmt_deploy.errors import DataError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
CROP_MODES = ("center", "squash", "border")


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

    def __post_init__(self) -> None:
        if any(n < 1 for n in self.input_size):
            raise DataError(f"preprocessing: input_size must be positive, found {self.input_size}")
        channels = self.input_size[0]
        for field in ("mean", "std"):
            values = getattr(self, field)
            if len(values) != channels:
                raise DataError(
                    f"preprocessing: {field} has {len(values)} values for {channels} channel(s); give one per channel"
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
