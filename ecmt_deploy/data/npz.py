"""``npz:FILE``: arrays that are model inputs already. The file is untrusted: no pickle, and sizes are checked first."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from ecmt_deploy.data.source import ArraySource, Split, check_labels, check_shape
from ecmt_deploy.errors import DataError, plural, reading
from ecmt_deploy.program.inputs import Inputs

_BOMB_RATIO = 200
_BOMB_FLOOR_BYTES = 1 << 30
"""An array that unpacks to more than this and to more than 200 times what it takes on disk is refused unread."""
_MEND = "write it with numpy.savez"


def open_npz(name: str, path: Path, split: Split, like: tuple[int, ...] | Inputs | None) -> ArraySource:
    """Read ``x`` and ``y`` (``x_train`` and ``y_train`` for the train split, if the file has them).

    Of a model with named inputs: an array of each by its name, and ``y`` or ``labels``; or ``x``, packed.

    Parameters
    ----------
    like
        Shape of one sample as the model takes it, or its inputs, where that is known.

    Returns
    -------
    ArraySource
        Its split is ``"all"`` where the file has no ``x_train``.

    Raises
    ------
    DataError
        If the file is missing, damaged, holds pickled objects, arrays of the wrong dtype, shape or length, NaN or
        infinity, or is a decompression bomb.
    """
    inputs = like if isinstance(like, Inputs) and like.named else None
    shape = like.shape if isinstance(like, Inputs) else like
    if not path.is_file():
        held = f"x {_expected(shape)} float32" if inputs is None else inputs.sentence
        raise DataError(f"{name}: no such file; expected an .npz with {held} and y (N,) int64")
    with reading(DataError, f"{name}: not a readable .npz file", _MEND), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        parts = inputs.names if inputs is not None and not {"x", "x_train"} & members.keys() else ("x",)
        has_train = all(f"{part}_train" in members for part in parts)
        suffix = "_train" if split == "train" and has_train else ""
        labelled = "labels" if parts != ("x",) and f"y{suffix}" not in members else "y"
        arrays = {part: _read(name, archive, members, f"{part}{suffix}") for part in parts}
        y = _read(name, archive, members, f"{labelled}{suffix}")
    x = arrays["x"] if inputs is None or parts == ("x",) else _packed(name, arrays, inputs)
    if x.dtype != np.float32 or (x.ndim < 2 if shape is None else x.ndim != len(shape) + 1):
        raise DataError(
            f"{name}: x{suffix} is {x.dtype} of shape {x.shape}; expected normalised float32 of shape {_expected(shape)}"
        )
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise DataError(f"{name}: y{suffix} is {y.dtype} of shape {y.shape}; expected int64 of shape (N,)")
    if shape is not None:
        check_shape(name, x.shape[1:], shape)
    bad = np.flatnonzero(~np.isfinite(x).all(axis=tuple(range(1, x.ndim))))
    if bad.size:
        raise DataError(f"{name}: x{suffix} holds NaN or infinity in {plural(bad.size, 'sample')}, first at {bad[0]}")
    if inputs is not None:
        _packed(name, inputs.unpack(x), inputs)
    labels = y.astype(np.int64)
    check_labels(name, labels)
    return ArraySource(name, split if has_train else "all", x, labels)


def _packed(name: str, arrays: dict[str, np.ndarray], inputs: Inputs) -> np.ndarray:
    """Named arrays as packed samples, their ranges checked."""
    try:
        return inputs.pack(arrays).astype(np.float32, copy=False)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _expected(shape: tuple[int, ...] | None) -> str:
    return f"(N, {', '.join(map(str, shape)) if shape else 'C, H, W'})"


def _read(name: str, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], key: str) -> np.ndarray:
    """One array, if it is as large as a file of its size can be."""
    info = members.get(key)
    if info is None:
        raise DataError(f"{name}: no array {key!r}; found {', '.join(sorted(members)) or 'none'}")
    if info.file_size > max(_BOMB_FLOOR_BYTES, _BOMB_RATIO * info.compress_size):
        raise DataError(f"{name}: {key} unpacks from {info.compress_size} to {info.file_size} bytes; {_MEND}")
    with reading(DataError, f"{name}: {key} is not a NumPy array of numbers", _MEND), archive.open(info) as stream:
        return _read_npy(stream, info.file_size)


def _read_npy(stream: IO[bytes], size: int) -> np.ndarray:
    """An array in NumPy's format, in native byte order, of a stream of ``size`` bytes; nothing is allocated that is not there.

    Raises
    ------
    ValueError
        if it holds objects, or another number of bytes than it declares; and whatever NumPy raises.
    """
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are refused")
    declared, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if declared != there:
        raise ValueError(f"it declares shape {shape} {dtype} = {declared} bytes, but {there} are there")
    array = np.frombuffer(stream.read(declared), dtype).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)
