"""Images to model inputs by timm's evaluation transform, and sources whose samples are images."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from ecmt_deploy.data.source import Source
from ecmt_deploy.data.whole_files import looks_whole
from ecmt_deploy.errors import DataError, reading
from ecmt_deploy.program.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})

_MODES = {1: "L", 3: "RGB"}
_MEND = "save it again, as PNG or JPEG"


def load_images(paths: Sequence[str | Path], preprocessing: Preprocessing) -> np.ndarray:
    """Read image files as a model sees them, turned upright as they say; models of one channel get them in grey.

    Returns
    -------
    np.ndarray
        float32 (len(paths), C, H, W).

    Raises
    ------
    DataError
        If there is no path, a file is missing, unreadable or of pixels of more than 16 bits, or the model takes neither 1 nor
        3 channels.
    """
    if not paths:
        raise DataError("no image given; expected at least one image file")
    images = (decoded(str(path), path, upright=True) for path in paths)
    return np.stack([read_image(str(path), image, preprocessing) for path, image in zip(paths, images, strict=True)])


def read_image(where: str, image: Image | BinaryIO | str | Path, preprocessing: Preprocessing) -> np.ndarray:
    """One image, decoded or in a file, as a model sees it: black is 0 and white 1 before normalisation, of 8 bits or 16.

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
    with reading(DataError, f"{where}: not a readable image", _MEND):
        if image.mode.startswith(("I", "F")):  # grey with more than 8 bits, which Pillow would cut off
            plain = Image.fromarray(np.asarray(image, np.float32) / _white(where, image))
        else:
            plain = image.convert(color_mode(preprocessing))
        return _transform(preprocessing)(plain).numpy()


def _white(where: str, image: Image) -> int:
    """The value of white where pixels have more than 8 bits."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):  # of 16 bits, held in 32
        return 65535
    raise DataError(f"{where}: nobody knows which value is white (mode {image.mode}); save the image with 8 or 16 bits")


def decoded(where: str, image: BinaryIO | str | Path, upright: bool = False) -> Image:
    """An image file's picture, whatever its mode, without its file; upright as its EXIF data say, where that is asked for.

    Raises
    ------
    DataError
        If the file is missing, unreadable or no image.
    """
    from PIL import Image, ImageOps

    if isinstance(image, str | Path) and not Path(image).is_file():
        raise DataError(f"{where}: no such image file")
    with reading(DataError, f"{where}: not a readable image", _MEND), Image.open(image) as opened:
        if opened.format == "EPS":  # Pillow would have Ghostscript run it
            raise DataError(f"{where}: a PostScript file, whatever its name; save it as PNG or JPEG")
        # Pillow warns of such an image and refuses only larger ones; filters of warnings are not for threads
        if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError(f"{opened.width} x {opened.height} pixels are unreasonably many")
        opened.load()
        turned = ImageOps.exif_transpose(opened) if upright else opened
        turned.format = opened.format
        return turned


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
    from torchvision.transforms import CenterCrop, ToTensor

    fields = msgspec.structs.asdict(preprocessing)
    order = fields.pop("channel_order")
    mode, _, floor = preprocessing.crop_mode.partition("_")
    made = create_transform(is_training=False, **fields | {"crop_mode": mode})
    place = next(i for i, step in enumerate(made.transforms) if isinstance(step, ToTensor)) + 1
    made.transforms.insert(place, partial(_levels, channels=preprocessing.input_size[0]))
    if floor:
        crop = partial(_crop_floor, size=preprocessing.input_size[1:])
        made.transforms = [crop if isinstance(step, CenterCrop) else step for step in made.transforms]
    if order == "BGR":
        made.transforms.insert(-1, _flipped)  # before it is normalised
    return made


def _flipped(pixels: Tensor) -> Tensor:
    """Pixels (C, H, W) with their channels in reverse."""
    return pixels.flip(0)


def _levels(x: Any, channels: int) -> Any:
    """Levels (channels, H, W) between black and white: pixels in floats overshoot where images are resized, and are grey."""
    return x.clamp(0, 1).expand(channels, -1, -1)


def _crop_floor(image: Image, size: tuple[int, int]) -> Image:
    """The middle (H, W) of an image, from the pixel to the left or above where it is between two; black beyond the image."""
    height, width = size
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


class ImageSource(Source):
    """Samples that are images, each decoded when it is read. Subclasses say where they are, and whether each is a file."""

    decodes = True
    files = False

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

    def damaged(self, indices: np.ndarray, thorough: bool) -> dict[int, str]:
        if thorough and not self.decodes:  # a stream is read once, in order
            raise DataError(f"{self.name}: is a stream, of which no sample can be left out; leave out --skip-damaged")
        if not (thorough or self.files):
            return {}
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "ecmt-check") as pool:
            found = pool.map(partial(self._damage, thorough=thorough), indices.tolist())
            return {index: why for index, why in zip(indices.tolist(), found, strict=True) if why is not None}

    def _damage(self, index: int, thorough: bool) -> str | None:
        """Why an image cannot be read; ``None`` where it can."""
        try:
            where, image = next(self.images([index]))
            if hasattr(image, "convert") or (not thorough and looks_whole(Path(str(image)))):
                return None  # decoded already, or whole as far as is cheap to tell
            decoded(where, image)
        except DataError as error:
            return str(error)
        return None

    def raw(self, index: int) -> bytes:
        where, image = next(self.images([index]))
        with reading(DataError, f"{where}: cannot be read", "make it readable"):
            if isinstance(image, Path):
                return image.read_bytes()
            return image.tobytes() if hasattr(image, "tobytes") else image.read()
