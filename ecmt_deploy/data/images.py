"""Image files to model inputs, by timm's evaluation transform."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ecmt_deploy.errors import DataError, reading
from ecmt_deploy.program.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})

_MODES = {1: "L", 3: "RGB"}


def load_images(paths: Sequence[str | Path], preprocessing: Preprocessing) -> np.ndarray:
    """Read image files as a model sees them; models of one channel get them in grey.

    Returns
    -------
    np.ndarray
        float32 (len(paths), C, H, W).

    Raises
    ------
    DataError
        If there is no path, a file is missing, unreadable or not an 8-bit image, or the model takes neither 1 nor 3
        channels.
    """
    if not paths:
        raise DataError("no image given; expected at least one image file")
    return np.stack([read_image(str(path), path, preprocessing) for path in paths])


def read_image(where: str, file: str | Path | BinaryIO, preprocessing: Preprocessing) -> np.ndarray:
    """One image, float32 (C, H, W); ``where`` names it in errors.

    Raises
    ------
    DataError
        As :func:`load_images`.
    """
    from PIL import Image

    if isinstance(file, str | Path) and not Path(file).is_file():
        raise DataError(f"{where}: no such image file")
    unreadable = reading(DataError, f"{where}: not a readable image", "save it again, as PNG or JPEG")
    with unreadable, Image.open(file) as image:
        if image.format == "EPS":  # Pillow would have Ghostscript run it
            raise DataError(f"{where}: a PostScript file, whatever its name; save it as PNG or JPEG")
        # Pillow warns of such an image and refuses only larger ones; filters of warnings are not for threads
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels are unreasonably many")
        image.load()
        return transform(where, image, preprocessing)


def transform(where: str, image: Image, preprocessing: Preprocessing) -> np.ndarray:
    """A decoded image as a model sees it, float32 (C, H, W).

    Raises
    ------
    DataError
        If it has more than 8 bits per channel, or the model takes neither 1 nor 3 channels.
    """
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{where}: pixels have more than 8 bits (mode {image.mode}); save the image with 8 bits")
    mode = color_mode(preprocessing)
    return _transform(preprocessing)(image.convert(mode)).numpy()


def color_mode(preprocessing: Preprocessing) -> str:
    """Pillow's mode for the model's channels.

    Raises
    ------
    DataError
        If the model takes neither 1 nor 3 channels.
    """
    channels = preprocessing.input_size[0]
    if channels not in _MODES:
        raise DataError(f"images have 1 or 3 channels, but the model takes {channels}; give its data as npz:FILE")
    return _MODES[channels]


@lru_cache(maxsize=8)
def _transform(preprocessing: Preprocessing) -> Callable[[Image], Any]:
    from timm.data import create_transform

    return create_transform(
        input_size=preprocessing.input_size,
        is_training=False,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
        crop_pct=preprocessing.crop_pct,
        crop_mode=preprocessing.crop_mode,
    )
