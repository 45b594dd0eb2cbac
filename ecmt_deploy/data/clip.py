"""Frames in a row, :class:`Clip`, the same for every form: each is read when it is asked for, and none is kept."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from ecmt_deploy.data.images import color_mode, read_image
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

THUMBNAIL = 96
"""Pixels of the longer edge of a thumbnail, at most."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame, ready for a model.

    Attributes
    ----------
    number
        Its place in the clip, from 0 on.
    pixels
        float32, of the shape of the model's input, preprocessed as a still image is.
    seconds
        When it is shown, from the first frame on; None where the clip does not say.
    label
        The class it shows; None where that is not known.
    preprocessing
        What ``pixels`` went through; None where they came as they are.
    """

    number: int
    pixels: np.ndarray
    seconds: float | None = None
    label: int | None = None
    preprocessing: Preprocessing | None = None

    @cached_property
    def thumbnail(self) -> np.ndarray | None:
        """What the model sees, for people: uint8 (h, w, 3), no larger than :data:`THUMBNAIL`; None without preprocessing.

        Models of other than three channels have it in grey.
        """
        if self.preprocessing is None:
            return None
        from PIL import Image

        planes = self.preprocessing.shown(self.pixels)
        if len(planes) != 3:
            planes = np.repeat(planes.mean(axis=0, keepdims=True), 3, axis=0)
        image = Image.fromarray(np.rint(planes * 255).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        return np.array(image)


class Clip:
    """Frames in a row. Every iteration starts at the first frame and holds one at a time. Subclasses say where they are.

    Attributes
    ----------
    name
        The form as the user wrote it, e.g. ``video:street.mp4``.
    shape
        Of a frame's ``pixels``.
    frames
        How many there are, as far as that is known before they are read: of a video, what its file declares, or None.
        Good for a progress line; nothing is to be allocated by it.
    fps
        Frames per second; the mean where they vary. None where it is not known.
    limit
        Most frames that an iteration gives; None: all.
    class_names
        Names by label, where frames have labels and these have names.

    Raises
    ------
    DataError
        If ``limit`` is below one.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        frames: int | None = None,
        fps: float | None = None,
        limit: int | None = None,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        _check_limit(name, limit)
        self.name = name
        self.shape = shape
        self.frames = frames if frames is None or limit is None else min(frames, limit)
        self.fps = fps
        self.limit = limit
        self.class_names = class_names

    def __iter__(self) -> Generator[Frame, None, None]:
        """Frames from the first on; what they are read from is closed when the iteration ends, however it does.

        Raises
        ------
        DataError
            If a frame cannot be read or has another size than those before it, where it is reached; if there is none at all.
        """
        number = None
        with closing(self.read()) as frames:
            for frame in islice(frames, self.limit):
                number = frame.number
                yield frame
        if number is None:
            raise DataError(f"{self.name}: an empty clip; expected at least one frame")

    def read(self) -> Generator[Frame, None, None]:
        """Every frame there is, whatever the limit."""
        raise NotImplementedError

    def array(self, limit: int | None = None) -> np.ndarray:
        """The first ``limit`` frames at once, for calibration: float32 (F, ..), F at least 1; all where that is None.

        Raises
        ------
        DataError
            As iteration does; also if ``limit`` is below one.
        """
        _check_limit(self.name, limit)
        with closing(iter(self)) as frames:
            return np.fromiter((frame.pixels for frame in islice(frames, limit)), np.dtype((np.float32, self.shape)))


class PictureClip(Clip):
    """A clip of decoded pictures, which go through the preprocessing of still images.

    Raises
    ------
    DataError
        As :class:`Clip`; also if the model takes neither 1 nor 3 channels.
    """

    def __init__(
        self,
        name: str,
        preprocessing: Preprocessing,
        *,
        frames: int | None = None,
        fps: float | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(name, preprocessing.input_size, frames=frames, fps=fps, limit=limit)
        color_mode(preprocessing)
        self._preprocessing = preprocessing

    def pictures(self) -> Generator[tuple[str, float | None, Image], None, None]:
        """What to call each picture in errors, when it is shown, in seconds, and the picture."""
        raise NotImplementedError

    def read(self) -> Generator[Frame, None, None]:
        size = None
        with closing(self.pictures()) as pictures:
            for number, (where, seconds, image) in enumerate(pictures):
                if image.size != (size := size or image.size):
                    raise DataError(
                        f"{where}: frame {number} is {_times(image.size)} pixels, those before it are {_times(size)}; "
                        "expected one size within a clip: cut the clip there"
                    )
                yield Frame(number, read_image(where, image, self._preprocessing), seconds, None, self._preprocessing)


def _times(size: Iterable[int]) -> str:
    return " x ".join(map(str, size))


def _check_limit(name: str, limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise DataError(f"{name}: limit must be at least 1 frame, found {limit}")
