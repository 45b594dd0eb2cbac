"""``frames:DIR``: a clip whose frames are the image files of one directory."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from ecmt_deploy.data.clip import PictureClip
from ecmt_deploy.data.folder import natural
from ecmt_deploy.data.images import EXTENSIONS, decoded
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image


class FramesClip(PictureClip):
    """Image files in natural order: ``frame2`` before ``frame10``. Hidden files (``._frame2.png``) are none of them.

    Raises
    ------
    DataError
        If there is no such directory, it cannot be read, or holds no image.
    """

    def __init__(self, name: str, directory: Path, preprocessing: Preprocessing, limit: int | None = None) -> None:
        if not directory.is_dir():
            raise DataError(f"{name}: no such directory; expected one of image files, a file for each frame")
        try:
            with os.scandir(directory) as entries:
                files = sorted(entry.name for entry in entries if _is_frame(entry))
        except OSError as error:
            raise DataError(f"{name}: {error.filename} cannot be read ({error.strerror}); make it readable") from error
        if not files:
            raise DataError(
                f"{name}: no images in {directory}; expected a file for each frame ({', '.join(sorted(EXTENSIONS))})"
            )
        super().__init__(name, preprocessing, frames=len(files), limit=limit)
        self._files = [directory / file for file in sorted(files, key=natural)]

    def pictures(self) -> Generator[tuple[str, float | None, Image], None, None]:
        return ((str(path), None, decoded(str(path), path)) for path in self._files)


def _is_frame(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and Path(entry.name).suffix.lower() in EXTENSIONS and entry.is_file()
