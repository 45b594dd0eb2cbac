"""``video:FILE``: a clip in a video file, decoded by PyAV (extra ``video``). The file is untrusted."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecmt_deploy.data.clip import PictureClip
from ecmt_deploy.errors import DataError, first_line, reading
from ecmt_deploy.program.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

_logger = logging.getLogger(__name__)

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".ogv", ".flv", ".wmv", ".3gp", ".gif"}
)
"""Of files that are videos without ``video:`` before their names."""

_CONTAINERS = "mov,matroska,avi,mpeg,mpegts,ogg,flv,asf,gif,mpegvideo,h264,hevc,mjpeg,ivf,yuv4mpegpipe,mxf,dv"
"""What a file may be, whatever its name: none of them is a playlist, which would have other files read, or addresses."""

_MEND = "save it again, as MP4"


class VideoClip(PictureClip):
    """The first video of a file, frame by frame as it is decoded, upright and with square pixels.

    Where the frame rate varies, frames are taken as they are, and ``Frame.seconds`` says when each is shown.

    Raises
    ------
    DataError
        If PyAV is not installed; if the file is missing, no video, or cannot be read.
    """

    def __init__(self, name: str, path: Path, preprocessing: Preprocessing, limit: int | None = None) -> None:
        with _opened(name, path) as (_, stream):
            self._declared = stream.frames or None
            rate = stream.average_rate
        super().__init__(name, preprocessing, frames=self._declared, fps=float(rate) if rate else None, limit=limit)
        self._path = path

    def pictures(self) -> Generator[tuple[str, float | None, Image], None, None]:
        with _opened(self.name, self._path) as (container, stream):
            decoded = container.decode(stream)
            aspect = stream.sample_aspect_ratio or Fraction(1)
            number, start, last = 0, None, 0.0
            while True:
                wrong = f"{self.name}: cannot be decoded" + (f" from frame {number} on" if number else "")
                mend = f"its first {number} can be, with that limit; or {_MEND}" if number else _MEND
                with reading(DataError, wrong, mend):
                    frame = next(decoded, None)
                    if frame is None:
                        break
                    if frame.is_corrupt:  # what a decoder shows for what is not there
                        raise ValueError("its data end there, or are damaged")
                    image = _upright(frame, aspect)
                    time = frame.time if frame.time is not None or not self.fps else number / self.fps
                start = time if start is None else start
                # frames come in order, though an AVI may give two of them each other's time
                last = last if time is None or start is None else max(last, time - start)
                yield self.name, None if time is None else last, image
                number += 1
        if 0 < number < (self._declared or 0):
            what = "it was cut short, or says itself that frames are left out"
            _logger.warning("%s: %d frames, of %d that the file declares (%s)", self.name, number, self._declared, what)


@contextmanager
def _opened(name: str, path: Path) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and its video stream."""
    try:
        import av
    except ImportError as error:
        raise DataError(
            f"{name}: videos are read with PyAV, which cannot be imported ({first_line(error)}); "
            "pip install 'ecmt-deploy[video]', or give its frames as images: frames:DIR"
        ) from error
    from PIL import Image

    if not path.is_file():  # a pipe would be waited for
        raise DataError(f"{name}: no such file; expected a video, such as an .mp4")
    unreadable = f"{name}: not a readable video"
    with reading(DataError, unreadable, _MEND):
        # as an open file, for a name can be a protocol of FFmpeg's
        file = path.open("rb")
    with file:
        with reading(DataError, unreadable, _MEND):
            container = av.open(file, container_options={"format_whitelist": _CONTAINERS}, metadata_errors="replace")
        with container:
            # a song's cover is a stream of video too
            covers = av.stream.Disposition.attached_pic
            streams = [stream for stream in container.streams.video if not stream.disposition & covers]
            if not streams:
                raise DataError(f"{name}: there is no video in it; expected a file with moving pictures")
            codec = streams[0].codec_context
            if codec is None:  # PyAV would end the process
                raise DataError(f"{name}: its video is of a kind that FFmpeg does not know; {_MEND}")
            with reading(DataError, unreadable, _MEND):
                _check_size(codec.width, codec.height)
            # not given to `av.open`: PyAV before 17.1 would end the process where a damaged file has streams that come late
            codec.options = {"max_pixels": str(Image.MAX_IMAGE_PIXELS or 2**31 - 1)}
            yield container, streams[0]


def _upright(frame: Any, aspect: Fraction) -> Image:
    """The picture as it is to be shown: RGB, its pixels made square, and turned as the file says."""
    from PIL import Image

    width = max(1, round(frame.width * aspect))
    _check_size(width, frame.height)
    image: Image.Image = frame.to_image(width=width)
    turns = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}  # counterclockwise
    turn = turns.get(round(frame.rotation / 90) % 4)
    return image if turn is None else image.transpose(turn)


def _check_size(width: int, height: int) -> None:
    """Refuse what Pillow would refuse."""
    from PIL import Image

    if width * height > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise ValueError(f"{width} x {height} pixels are unreasonably many")
