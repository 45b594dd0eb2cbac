"""What the clips that the package makes itself show: grounds, and scenes on them.

A scene is a function of a frame's number. It gives that frame's picture, float64 (C, H, W) with black at 0 and white at 255,
before the sensor's noise, and the class that it shows, if it is known. ``speed`` is in percent of the width a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecmt_deploy.data.dataset import shuffled
from ecmt_deploy.data.digits import FULL_SCALE, load, split_digits
from ecmt_deploy.data.images import decoded

Scene = Callable[[int], tuple[np.ndarray, "int | None"]]

PHOTOGRAPHS = ("china", "flower")
"""Of scikit-learn."""
DIGIT_FRAMES = 16
"""Frames that a digit is shown before the next one is."""
_DIGIT_REACH = 0.6
"""Pixels of 8 that a digit moves from the middle, each way: as far as the bundled model saw digits moved in training."""
_DIGIT_GROUND = 32 / 255
"""Brightest a ground is behind digits, of white: beyond it the bundled model mistakes many."""
_OBJECT = 0.25
"""Diameter of the object over the shorter edge of the picture."""


def still(ground: np.ndarray) -> Scene:
    """The same picture for ever."""
    return lambda number: (ground, None)


def pan(wide: np.ndarray, width: int, speed: float) -> Scene:
    """A view of this width that glides along a wider picture, and back."""
    room = wide.shape[2] - width

    def scene(number: int) -> tuple[np.ndarray, int | None]:
        return _window(wide, 0.0, _there_and_back(number * speed * width / 100, room), wide.shape[1], width), None

    return scene


def object_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Of the picture that :func:`moving_object` cuts its disc out of: larger than it, as the disc moves by parts of a pixel."""
    edge = int(np.ceil(_diameter(shape))) + 3
    return shape[0], edge, edge


def moving_object(ground: np.ndarray, patch: np.ndarray, speed: float) -> Scene:
    """A disc cut out of ``patch`` that crosses a still ground, and bounces at its edges."""
    _, height, width = ground.shape
    diameter, edge = _diameter(ground.shape), patch.shape[1] - 2
    rows, columns = np.arange(height)[:, None], np.arange(width)

    def scene(number: int) -> tuple[np.ndarray, int | None]:
        way = number * speed * width / 100
        # 3 across to 4 along, so that it goes by many ways
        y, x = _there_and_back(0.6 * way, height - diameter), _there_and_back(0.8 * way, width - diameter)
        distance = np.hypot(rows + 0.5 - (y + diameter / 2), columns + 0.5 - (x + diameter / 2))
        share = np.clip(diameter / 2 + 0.5 - distance, 0.0, 1.0)
        picture = ground.copy()
        area = np.s_[:, int(y) : int(y) + edge, int(x) : int(x) + edge]
        covered = _window(patch, 1 - y % 1, 1 - x % 1, edge, edge)[:, : height - int(y), : width - int(x)]
        picture[area] += share[area[1:]] * (covered - picture[area])
        return picture, None

    return scene


def cut(before: Scene, after: Scene, at: int) -> Scene:
    """One scene, and from frame ``at`` on another."""
    return lambda number: before(number) if number < at else after(number)


def moving_digits(shape: tuple[int, int, int], seed: int, speed: float) -> Scene:
    """Digits of scikit-learn's test split one after another, each filling the picture, moving a little over a still ground."""
    from scipy.ndimage import map_coordinates

    stored, labels = load()
    images = stored.astype(np.float64)
    _, test = split_digits()
    order = test[shuffled(len(test), seed)]
    ground = texture(shape, seed) * _DIGIT_GROUND
    centres = [(np.arange(n) + 0.5) * 8 / n - 0.5 for n in shape[1:]]

    def scene(number: int) -> tuple[np.ndarray, int | None]:
        which = int(order[number // DIGIT_FRAMES % len(order)])
        way = number * speed * 8 / 100
        shifts = [_there_and_back(_DIGIT_REACH + part * way, 2 * _DIGIT_REACH) - _DIGIT_REACH for part in (0.6, 0.8)]
        places = np.meshgrid(*(centre - shift for centre, shift in zip(centres, shifts, strict=True)), indexing="ij")
        digit = map_coordinates(images[which].reshape(8, 8), places, order=1, mode="constant") * 255 / FULL_SCALE
        return np.maximum(ground, digit), int(labels[which])

    return scene


def photograph(name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """One of :data:`PHOTOGRAPHS`, or an image file: scaled to fill the shape, and its middle cut out.

    Returns
    -------
    np.ndarray
        float64 (C, H, W); one channel is grey, others are red, green and blue in turn.

    Raises
    ------
    DataError
        If a file cannot be read as an image.
    """
    from PIL import Image, ImageOps

    if name in PHOTOGRAPHS:
        from sklearn.datasets import load_sample_image

        image = Image.fromarray(load_sample_image(f"{name}.jpg"))
    else:
        image = decoded(name, Path(name).expanduser())
    channels, height, width = shape
    fitted = ImageOps.fit(image.convert("L" if channels == 1 else "RGB"), (width, height), Image.Resampling.BICUBIC)
    planes = np.atleast_3d(np.asarray(fitted, np.float64)).transpose(2, 0, 1)
    return planes[np.arange(channels) % len(planes)]


def texture(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Clouds of four sizes, from black to white: float64 (C, H, W), each channel its own."""
    from PIL import Image

    random = np.random.RandomState(seed)
    channels, height, width = shape

    def layer(cells: int) -> np.ndarray:
        grid = random.uniform(size=(cells, cells)).astype(np.float32)
        return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC), np.float64)

    planes = np.stack([sum(layer(cells) / cells**0.5 for cells in (4, 8, 16, 32)) for _ in range(channels)])
    low, high = planes.min(), planes.max()
    return (planes - low) * (255 / max(high - low, 1e-9))


def _diameter(shape: tuple[int, ...]) -> float:
    """Of the object, in pixels."""
    return max(1.0, _OBJECT * min(shape[1:]))


def _there_and_back(way: float, room: float) -> float:
    """Where something is that has gone so far between 0 and ``room``, turning round at both."""
    return 0.0 if room <= 0 else float(room - abs(way % (2 * room) - room))


def _window(picture: np.ndarray, y: float, x: float, height: int, width: int) -> np.ndarray:
    """A part of a picture from a point between pixels on, its pixels mixed of their neighbours."""
    for axis, start, length in ((1, y, height), (2, x, width)):
        first, share = int(start), start % 1
        part = np.take(picture, range(first, first + length), axis)
        if share:
            part = part + share * (np.take(picture, range(first + 1, first + 1 + length), axis) - part)
        picture = part
    return picture
