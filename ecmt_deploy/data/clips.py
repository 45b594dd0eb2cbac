"""Clips by their forms: :func:`open_clip`."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from ecmt_deploy.data.clip import Clip, Frame
from ecmt_deploy.data.frames import FramesClip
from ecmt_deploy.data.made_clips import NAMES, MadeClip
from ecmt_deploy.data.npz import open_npz
from ecmt_deploy.data.select import WITHOUT_PREPROCESSING
from ecmt_deploy.data.source import ArraySource
from ecmt_deploy.data.video import SUFFIXES, VideoClip
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.untrusted.text import require_plain

CLIP_FORMS = f"video:FILE, frames:DIR, npz:FILE, or {', '.join(NAMES)}"


class ArrayClip(Clip):
    """Samples of an array, one after another, as the frames of a clip; the array is in memory."""

    def __init__(self, source: ArraySource, preprocessing: Preprocessing | None, limit: int | None) -> None:
        super().__init__(source.name, source.shape, frames=len(source), limit=limit)
        self._source = source
        self._preprocessing = preprocessing

    def read(self) -> Generator[Frame, None, None]:
        for number, label in enumerate(self._source.labels.tolist()):
            yield Frame(number, self._source.read(np.array([number]))[0], None, label, self._preprocessing)


def open_clip(
    spec: str, preprocessing: Preprocessing | None, limit: int | None = None, *, shape: tuple[int, ...] | None = None
) -> Clip:
    """Open a clip; its frames are read as it is iterated over.

    Parameters
    ----------
    spec
        ``video:FILE``, or the path of a video; ``frames:DIR``; ``npz:FILE``, whose ``x`` has a frame in every row and ``y`` its
        label; or ``made:NAME`` with options, as in ``made:object,noise=1,frames=200``, see
        :class:`ecmt_deploy.data.made_clips.MadeClip`.
    preprocessing
        What the model expects; an ``npz:`` needs none, its samples are model inputs already.
    limit
        Most frames to read; None: all.
    shape
        Of one frame as the model takes it, where there is no ``preprocessing`` to say so.

    Raises
    ------
    DataError
        If the form is unknown, a video cannot be opened, there is no frame, or an option or ``limit`` makes no sense. What is
        wrong with a single frame is raised by iteration, when it is reached.
    """
    require_plain(spec, "CLIP", DataError)  # records of what is made from it keep it
    form, colon, place = spec.partition(":")
    if not colon or form not in ("video", "frames", "npz", "made"):
        if Path(spec).suffix.lower() not in SUFFIXES:
            hint = f" (a directory of images is frames:{spec})" if Path(spec).expanduser().is_dir() else ""
            raise DataError(f"{spec or 'no clip'}: unknown CLIP{hint}; expected {CLIP_FORMS}")
        form, place = "video", spec
    if not place:
        raise DataError(f"{spec}: nothing after the colon; expected {CLIP_FORMS}")
    path = Path(place).expanduser()
    if form == "npz":
        source = open_npz(spec, path, "test", preprocessing.input_size if preprocessing else shape)
        return ArrayClip(source, preprocessing, limit)
    if preprocessing is None:
        raise DataError(f"{spec}: {WITHOUT_PREPROCESSING}, or give normalised arrays as npz:FILE")
    if form == "made":
        return MadeClip(spec, preprocessing, limit)
    return (VideoClip if form == "video" else FramesClip)(spec, path, preprocessing, limit)
