"""Whether an image file is there to its end, told from a few bytes of it."""

from __future__ import annotations

import os
from pathlib import Path

#: bytes at the end of a JPEG among which its end is marked: cameras and editors write more behind it
_TAIL = 1 << 16


def looks_whole(path: Path) -> bool:
    """Whether size, beginning and end of an image file are those of a whole one; ``False`` where that is not known."""
    try:
        with path.open("rb") as file:
            head, size = file.read(16), os.fstat(file.fileno()).st_size
            file.seek(max(size - _TAIL, 0))
            tail = file.read() if head.startswith(b"\xff\xd8") else b""
            file.seek(max(size - 12, 0))
            end = file.read()
    except OSError:
        return False
    if head.startswith(b"\xff\xd8"):  # JPEG
        return b"\xff\xd9" in tail
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return end[4:8] == b"IEND"
    if head.startswith(b"GIF8"):
        return end.rstrip(b"\0").endswith(b";")
    if head.startswith(b"RIFF"):  # WebP
        return int.from_bytes(head[4:8], "little") + 8 <= size
    if head.startswith(b"BM"):
        return int.from_bytes(head[2:6], "little") <= size
    return False
