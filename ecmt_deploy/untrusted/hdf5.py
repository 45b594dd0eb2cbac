"""HDF5 files from outside, as plain arrays. A file is hostile until read: nothing in it is followed, executed or believed.

The HDF5 library comes back neither from every damaged file nor alive, so it works in a process of its own
(:mod:`~ecmt_deploy.untrusted.apart`). That process hands over names, texts and the places of arrays; the caller reads the
arrays from the file itself, straight into their memory, so that weights pass through no pipe. h5py's low-level
interface is used: a program of ViT-Large has thousands of small datasets, and the objects of the high-level one take longer
than the weights.
"""

from __future__ import annotations

import os
from functools import partial
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5s, h5t, h5z

from ecmt_deploy.untrusted.apart import apart
from ecmt_deploy.untrusted.handover import Receiver, Sender, WorkError

#: gzip cannot expand more than this; a dataset that claims more is damaged
MAX_EXPANSION = 1100
#: a file that unpacks to more than this, and to more than 200 times its size, is a bomb
BOMB_BYTES, BOMB_RATIO = 1 << 30, 200
#: rows of a dataset are sent in parts of about this size
SLAB_BYTES = 16 << 20
_DEPTH = 8

#: a group is a dictionary; a dataset of numbers is an array in native byte order, one of text an array of ``str`` objects
Tree = dict[str, Any]


class _Group(msgspec.Struct, array_like=True, tag="g"):
    path: list[str]


class _Text(msgspec.Struct, array_like=True, tag="t"):
    path: list[str]
    shape: tuple[int, ...]
    values: list[str]


class _Numbers(msgspec.Struct, array_like=True, tag="n"):
    """``offset`` is where the values lie in the file; ``None``: they are sent."""

    path: list[str]
    shape: tuple[int, ...]
    dtype: str
    offset: int | None


_Entry = _Group | _Text | _Numbers


def read_tree(path: Path) -> Tree:
    """Everything that the file at ``path`` holds; attributes are left out.

    Raises
    ------
    WorkError
        if the file leads out of itself, holds something twice, or stores it in a way that is not read: where, what was found
        and what was expected; or what the HDF5 library says of a damaged one, or that it does not come back.
    OSError
        if the file cannot be opened.
    """
    if not path.is_file():  # a pipe would be waited for
        raise WorkError("it is no regular file")
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        with apart(partial(_walk, path=path, opened=os.fstat(file.fileno()))) as answer:
            entries = msgspec.msgpack.decode(answer.take(), type=list[_Entry])
            root: Tree = {}
            for entry in entries:
                *parents, name = entry.path
                group = root
                for parent in parents:
                    group = group[parent]
                group[name] = _value(entry, file, size, answer)
            return root


def _value(entry: _Entry, file: FileIO, size: int, answer: Receiver) -> Any:
    if isinstance(entry, _Group):
        return {}
    if isinstance(entry, _Text):
        return np.array(entry.values, object).reshape(entry.shape)
    count, dtype = prod(entry.shape), np.dtype(entry.dtype)
    if entry.offset is None:
        array = np.empty(count, dtype)
        answer.take_into(array.view(np.uint8).data)
    elif 0 <= entry.offset <= size - count * dtype.itemsize:
        file.seek(entry.offset)
        array = np.fromfile(file, dtype, count)
        if len(array) < count:
            raise WorkError("it ended while it was read")
    else:
        raise WorkError("values beyond its end")
    if array.dtype.kind == "b":
        return (array.view(np.uint8) != 0).reshape(entry.shape)  # whatever the bytes are
    return array.astype(dtype.newbyteorder("="), copy=False).reshape(entry.shape)


def _walk(sender: Sender, path: Path, opened: os.stat_result) -> None:
    _Walk(sender, path, opened).run()


class _Walk:
    """One pass over a file, in the process apart."""

    def __init__(self, sender: Sender, path: Path, opened: os.stat_result) -> None:
        self.sender, self.path, self.opened = sender, path, opened
        self.size = self.budget = opened.st_size
        self.unpacked = 0
        self.entries: list[_Entry] = []
        self.unsent: list[tuple[h5d.DatasetID, tuple[int, ...], np.dtype]] = []
        self.seen: set[int] = set()

    def run(self) -> None:
        """Send the entries, then the values that the caller cannot read by itself."""
        with h5py.File(self.path, "r") as file:
            if not os.path.samestat(os.stat(self.path), self.opened):
                raise WorkError("was replaced while it was read; read it again")
            root = h5g.open(file.id, b"/")
            self.seen.add(h5o.get_info(root).addr)
            self.group(root, [])
            self.sender.send(msgspec.msgpack.encode(self.entries))
            for dataset, shape, dtype in self.unsent:
                self.values(dataset, shape, dtype)

    def group(self, group: h5g.GroupID, path: list[str]) -> None:
        """What hard links lead to; other links are not followed."""
        if len(path) > _DEPTH:
            raise WorkError(f"{'/'.join(path)}: groups are nested {len(path)} deep, expected at most {_DEPTH}")
        for key in list(group):
            self.sender.alive()
            inside = [*path, key.decode()]
            where = "/".join(inside)
            link = group.links.get_info(key)
            if link.type != h5l.TYPE_HARD:
                word = "an external" if link.type == h5l.TYPE_EXTERNAL else "a soft"
                raise WorkError(f"{where} is {word} link, expected the thing itself; links are not followed")
            if link.u in self.seen:  # the address of what it leads to
                raise WorkError(f"{where} stores the same bytes again; a file holds every value once")
            self.seen.add(link.u)
            found = h5o.open(group, key)
            if isinstance(found, h5g.GroupID):
                self.entries.append(_Group(inside))
                self.group(found, inside)
            elif isinstance(found, h5d.DatasetID):
                self.dataset(found, inside, where)
            else:
                raise WorkError(f"{where} is a {type(found).__name__}, expected a group or a dataset")

    def dataset(self, found: h5d.DatasetID, path: list[str], where: str) -> None:
        """A dataset that holds what it declares, inside this file."""
        properties = found.get_create_plist()
        if properties.get_external_count() or properties.get_layout() == h5d.VIRTUAL:
            raise WorkError(f"{where} lies outside the file, expected its values; external storage is not read")
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        plain = all(code in (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE) for code in filters)
        space = found.get_space()
        if not plain or space.get_simple_extent_type() == h5s.NULL:
            raise WorkError(f"{where} is stored in a way that is not read; expected plain or gzip values")
        stored, shape, dtype = found.get_storage_size(), space.get_simple_extent_dims(), found.dtype
        bytes_ = prod(shape) * dtype.itemsize
        if bytes_ > stored * (MAX_EXPANSION if filters else 1) or stored > self.size:
            raise WorkError(f"{where} declares shape {shape} but holds {stored} bytes; the file is damaged")
        self.unpacked += bytes_
        if self.unpacked > max(BOMB_BYTES, BOMB_RATIO * self.size):
            raise WorkError(f"{where} unpacks from {stored} to {bytes_} bytes; write the file without compression")
        self.spend(stored, where)
        if text := h5py.check_string_dtype(dtype):
            values = np.empty(shape, dtype)
            if values.size:
                found.read(h5s.ALL, h5s.ALL, values)
            texts = [value.decode(text.encoding) for value in values.ravel()]
            self.spend(sum(map(len, texts)), where)
            self.entries.append(_Text(path, shape, texts))
        elif dtype.kind in "iufb" and dtype.itemsize <= 8:
            as_they_are = properties.get_layout() == h5d.CONTIGUOUS and found.get_type() == h5t.py_create(dtype)
            offset = found.get_offset() if as_they_are and bytes_ else None
            if offset is None and bytes_:
                self.unsent.append((found, shape, dtype))
            self.entries.append(_Numbers(path, shape, dtype.str, offset))
        else:
            raise WorkError(f"{where} has dtype {dtype}, expected numbers or text")

    def spend(self, stored: int, where: str) -> None:
        """Count bytes of the file that are read."""
        self.budget -= stored
        if self.budget < 0:
            raise WorkError(f"{where} stores the same bytes again; a file holds every value once")

    def values(self, dataset: h5d.DatasetID, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Send values some rows at a time, whole chunks of them."""
        if not shape:
            array = np.empty(shape, dtype)
            dataset.read(h5s.ALL, h5s.ALL, array)
            self.sender.send(array.tobytes())
            return
        properties = dataset.get_create_plist()
        step = properties.get_chunk()[0] if properties.get_layout() == h5d.CHUNKED else 1
        rows = max(SLAB_BYTES // (prod(shape[1:]) * dtype.itemsize * step), 1) * step
        space = dataset.get_space()
        for start in range(0, shape[0], rows):
            self.sender.alive()
            array = np.empty((min(rows, shape[0] - start), *shape[1:]), dtype)
            space.select_hyperslab((start, *[0] * (len(shape) - 1)), array.shape)
            dataset.read(h5s.create_simple(array.shape), space, array)
            self.sender.send(array.reshape(-1).view(np.uint8).data)
