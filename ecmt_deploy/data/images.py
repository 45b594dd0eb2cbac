"""Images to model inputs by timm's evaluation transform, and sources whose samples are images."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from ecmt_deploy.data.source import Source
from ecmt_deploy.errors import DataError, reading
from ecmt_deploy.program.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})

_MODES = {1: "L", 3: "RGB"}
_MEND = "save it again, as PNG or JPEG"


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


def read_image(where: str, image: Image | BinaryIO | str | Path, preprocessing: Preprocessing) -> np.ndarray:
    """One image, decoded or in a file, as a model sees it.

    Parameters
    ----------
    where
        What to call it in errors.

    Returns
    -------
    np.ndarray
        float32 (C, H, W).

    Raises
    ------
    DataError
        As :func:`load_images`.
    """
    from PIL import Image

    if not isinstance(image, Image.Image):
        image = decoded(where, image)
    if image.mode.startswith(("I", "F")):
        raise DataError(f"{where}: pixels have more than 8 bits (mode {image.mode}); save the image with 8 bits")
    with reading(DataError, f"{where}: not a readable image", _MEND):
        return _transform(preprocessing)(image.convert(color_mode(preprocessing))).numpy()


def decoded(where: str, image: BinaryIO | str | Path) -> Image:
    """An image file's picture, whatever its mode, without its file.

    Raises
    ------
    DataError
        If the file is missing, unreadable or no image.
    """
    from PIL import Image

    if isinstance(image, str | Path) and not Path(image).is_file():
        raise DataError(f"{where}: no such image file")
    with reading(DataError, f"{where}: not a readable image", _MEND), Image.open(image) as opened:
        if opened.format == "EPS":  # Pillow would have Ghostscript run it
            raise DataError(f"{where}: a PostScript file, whatever its name; save it as PNG or JPEG")
        # Pillow warns of such an image and refuses only larger ones; filters of warnings are not for threads
        if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError(f"{opened.width} x {opened.height} pixels are unreasonably many")
        opened.load()
        return opened


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
    from torchvision.transforms import CenterCrop

    fields = msgspec.structs.asdict(preprocessing)
    order = fields.pop("channel_order")
    mode, _, floor = preprocessing.crop_mode.partition("_")
    made = create_transform(is_training=False, **fields | {"crop_mode": mode})
    if floor:
        crop = partial(_crop_floor, size=preprocessing.input_size[1:])
        made.transforms = [crop if isinstance(step, CenterCrop) else step for step in made.transforms]
    if order == "BGR":
        made.transforms.insert(-1, _flipped)  # before it is normalised
    return made


def _flipped(pixels: Tensor) -> Tensor:
    """Pixels (C, H, W) with their channels in reverse."""
    return pixels.flip(0)


def _crop_floor(image: Image, size: tuple[int, int]) -> Image:
    """The middle (H, W) of an image, from the pixel to the left or above where it is between two; black beyond the image."""
    height, width = size
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


class ImageSource(Source):
    """Samples that are images, each decoded when it is read. Subclasses say where they are."""

    decodes = True

    def __init__(self, name: str, split: str, class_names: tuple[str, ...] | None, preprocessing: Preprocessing) -> None:
        super().__init__(name, split, class_names, preprocessing.input_size)
        self._preprocessing = preprocessing

    def images(self, indices: Iterable[int]) -> Iterator[tuple[str, Image | BinaryIO | Path]]:
        """What to call each of these samples in errors, and the image: decoded, an open file, or a path."""
        raise NotImplementedError

    def read(self, indices: np.ndarray) -> np.ndarray:
        return next(self.parts([indices]))

    def parts(self, chunks: Sequence[np.ndarray]) -> Generator[np.ndarray, None, None]:
        images = self.images(index for chunk in chunks for index in chunk.tolist())  # a stream is read once for all chunks
        for chunk in chunks:
            x = np.empty((len(chunk), *self.shape), np.float32)
            for i, (where, image) in enumerate(islice(images, len(chunk))):
                x[i] = read_image(where, image, self._preprocessing)
            yield x

    def raw(self, index: int) -> bytes:
        where, image = next(self.images([index]))
        with reading(DataError, f"{where}: cannot be read", "make it readable"):
            if isinstance(image, Path):
                return image.read_bytes()
            return image.tobytes() if hasattr(image, "tobytes") else image.read()
