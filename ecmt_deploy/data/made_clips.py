"""``made:NAME``: clips that the package makes itself, the same for the same seed, of the model's size and channels."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ecmt_deploy.data import scenes
from ecmt_deploy.data.clip import Clip, Frame
from ecmt_deploy.data.digits import CLASS_NAMES
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing

_GROUNDS = (*scenes.PHOTOGRAPHS, "texture")


@dataclass(frozen=True)
class Options:
    """What may follow a made clip's name, after commas.

    Attributes
    ----------
    frames
        How many.
    seed
        Of noise, textures, and the order of digits.
    noise
        Of the sensor: standard deviation in grey levels of 255, drawn anew for every pixel of every frame.
    speed
        Of what moves, in percent of the width a frame.
    ground
        ``china`` or ``flower``, photographs of scikit-learn; ``texture``; or an image file.
    """

    frames: int = 64
    seed: int = 0
    noise: float = 0.0
    speed: float = 1.0
    ground: str = "china"


_BOUNDS: Mapping[str, float] = {"frames": 2**31 - 1, "seed": 2**32 - 1, "noise": 255, "speed": 100}

#: by name, what is usual there; and which options it does without
_CLIPS: Mapping[str, tuple[Options, tuple[str, ...]]] = {
    "still": (Options(noise=1.0), ("speed",)),
    "object": (Options(), ()),
    "pan": (Options(), ()),
    "cut": (Options(), ()),
    "digits": (Options(noise=2.0), ("ground",)),
}

NAMES = tuple(f"made:{name}" for name in _CLIPS)


class MadeClip(Clip):
    """A clip made frame by frame; a frame is the same whichever are asked for before it.

    ======== ===============================================================================================
    still    a picture that does not change, with the noise of a sensor
    object   a disc that moves over a still ground
    pan      a view that glides along a wider picture
    cut      an object over a ground, and from the middle of the clip on another object over another ground
    digits   scikit-learn's digits, one after another, moving a little over a still, noisy ground; with labels
    ======== ===============================================================================================

    Pictures are made in the model's size, with whole grey levels of 0 to 255, and normalised; nothing is resized or cropped.

    Raises
    ------
    DataError
        If there is no such clip or option, or an option's value makes no sense.
    """

    def __init__(self, name: str, preprocessing: Preprocessing, limit: int | None = None) -> None:
        clip, *given = name.removeprefix("made:").split(",")
        if clip not in _CLIPS:
            raise DataError(f"{name}: no such clip; there are {', '.join(NAMES)}")
        self._options = _options(name, clip, given)
        shape = preprocessing.input_size
        names = CLASS_NAMES if clip == "digits" else None
        super().__init__(name, shape, frames=self._options.frames, limit=limit, class_names=names)
        self._scene = _scene(clip, shape, self._options)
        self._preprocessing = preprocessing

    def read(self) -> Generator[Frame, None, None]:
        for number in range(self._options.frames):
            picture, label = self._scene(number)
            # RandomState, whose numbers are the same in every NumPy
            noise = np.random.RandomState([self._options.seed, number]).standard_normal(self.shape) * self._options.noise
            levels = np.clip(np.rint(picture) + np.rint(noise), 0, 255).astype(np.float32)
            yield Frame(number, self._preprocessing.normalised(levels / np.float32(255)), None, label, self._preprocessing)


def _scene(clip: str, shape: tuple[int, int, int], options: Options) -> scenes.Scene:
    channels, height, width = shape
    if clip == "digits":
        return scenes.moving_digits(shape, options.seed, options.speed)
    if clip == "pan":
        return scenes.pan(_ground(options.ground, (channels, height, 2 * width), options.seed), width, options.speed)
    names = options.ground, "china" if options.ground == "flower" else "flower"
    ground, other = (_ground(name, shape, options.seed) for name in names)
    if clip == "still":
        return scenes.still(ground)
    patch, other_patch = (_ground(name, scenes.object_shape(shape), options.seed) for name in names)
    first = scenes.moving_object(ground, other_patch, options.speed)
    if clip == "object":
        return first
    return scenes.cut(first, scenes.moving_object(other, patch, options.speed), options.frames // 2)


def _ground(name: str, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    return scenes.texture(shape, seed) if name == "texture" else scenes.photograph(name, shape)


def _options(name: str, clip: str, given: list[str]) -> Options:
    """The options of a clip, of words such as ``noise=1``."""
    usual, without = _CLIPS[clip]
    known = [field.name for field in fields(Options) if field.name not in without]
    values = {key: getattr(usual, key) for key in known}
    seen = set()
    for word in given:
        key, _, value = (part.strip() for part in word.partition("="))
        if key not in known:
            raise DataError(f"{name}: unknown option {key!r}; made:{clip} has {', '.join(known)}, as in made:{clip},frames=100")
        if key in seen:
            raise DataError(f"{name}: {key} is given twice; give it once")
        seen.add(key)
        values[key] = _value(name, key, value)
    return Options(**values)


def _value(name: str, key: str, value: str) -> int | float | str:
    """An option's value, if it makes sense."""
    if key == "ground":
        if value not in _GROUNDS and not Path(value).expanduser().is_file():
            raise DataError(f"{name}: no ground {value!r}; there are {', '.join(_GROUNDS)}, or give an image file")
        return value
    whole = key in ("frames", "seed")
    least = 1 if key == "frames" else 0
    try:
        number: int | float = int(value) if whole else float(value)
    except ValueError:
        number = math.nan
    if not least <= number <= _BOUNDS[key]:
        kind = "a whole number" if whole else "a number"
        raise DataError(f"{name}: {key} is {value!r}; expected {kind} from {least} to {_BOUNDS[key]:.0f}")
    return number
