"""Damage to what an HDF5 file holds: members, links, storage, types, shapes and values."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from tests.fuzz.pieces import FLOATS, NUMBERS, WORDS, mutate_json

_TEXT = h5py.string_dtype()
_TYPES = ["<f2", "<f4", "<f8", ">f8", "<i1", "<i8", ">i4", "<u4", "?", "<c8", "S3", "V4", "reference", "enum", "ragged"]
_STORAGE = [
    {"compression": 4}, {"compression": "lzf"}, {"fletcher32": True}, {"shuffle": True}, {"chunks": True}, {"scaleoffset": 2},
]  # fmt: skip


def mutate_hdf5(rng: Random, path: Path, outside: str) -> None:
    """One to three changes to the file at ``path``; ``outside`` is a file that nothing may be led to read."""
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            members: list[str] = []
            file.visit(members.append)
            if members:
                # a change that does not fit what is there changes nothing
                with contextlib.suppress(ValueError, TypeError, KeyError, RuntimeError, OSError, AttributeError, OverflowError):
                    _Change(rng, file, members, outside).make()


class _Change:
    """A change to a member, ``name``, of an open file."""

    def __init__(self, rng: Random, file: h5py.File, members: list[str], outside: str) -> None:
        self.rng, self.file, self.members, self.outside = rng, file, members, outside
        self.name = rng.choice(members)
        self.parent, _, self.last = self.name.rpartition("/")

    def make(self) -> None:
        few = [self.delete, self.rename, self.link, self.swap, self.swap, self.add, self.other_kind]
        self.rng.choice([*[self.values] * 6, *[self.shape] * 3, *[self.dtype] * 2, *[self.storage] * 2, *few])()

    def array(self, name: str | None = None) -> np.ndarray:
        """What is there, text as ``str``."""
        dataset = self.file[name or self.name]
        if dataset.size > 1 << 20:
            raise ValueError("too large")
        found = np.array(dataset[()])
        if found.dtype != object:
            return found
        return np.array([value.decode() for value in found.ravel()], object).reshape(found.shape)

    def put(self, value: Any, name: str | None = None, **options: Any) -> None:
        """Something else in its place."""
        if (name or self.name) in self.file:
            del self.file[name or self.name]
        if isinstance(value, np.ndarray) and value.dtype == object:
            options["dtype"] = _TEXT
        self.file.create_dataset(name or self.name, data=value, **options)

    def values(self) -> None:
        """One value or all."""
        array = self.array()
        flat = array.reshape(-1)
        if self.last == "ecmt_deploy":
            self.put(mutate_json(self.rng, array.item().encode()).decode())
            return
        if array.dtype == object:
            others = [
                text
                for name in self.members
                if name.endswith(("type", "operands", "edges", "coding"))
                for text in self.texts(name)
            ]
            choice = self.rng.choice(self.rng.choice([WORDS, others or WORDS]))
        elif array.dtype.kind == "f":
            choice = self.rng.choice(FLOATS)
        else:
            limits = np.iinfo(array.dtype)
            choice = self.rng.choice([n for n in NUMBERS if limits.min <= n <= limits.max])
        flat[self.rng.randrange(flat.size) if self.rng.random() < 0.6 else slice(None)] = choice
        self.put(flat.reshape(array.shape))

    def texts(self, name: str) -> list[str]:
        item = self.file.get(name)
        return list(self.array(name).ravel()) if isinstance(item, h5py.Dataset) and item.dtype == object else []

    def dtype(self) -> None:
        array = self.array()
        match self.rng.choice(_TYPES):
            case "reference":
                self.put(self.file.ref, dtype=h5py.ref_dtype)
            case "enum":
                self.put(np.zeros(array.shape, "i1"), dtype=h5py.enum_dtype({"a": 0, "b": 7}, basetype="i1"))
            case "ragged":
                self.put([np.arange(3)], dtype=h5py.vlen_dtype(np.int32))
            case other:
                self.put((np.zeros(array.shape) if array.dtype == object else array).astype(other))

    def shape(self) -> None:
        array = self.array()
        shapes = [array[None], array.ravel(), array.T, array.reshape(-1)[:0], np.repeat(array.reshape(1, -1), 3, axis=0)]
        self.put(self.rng.choice([*shapes, np.resize(array, self.rng.choice([1, 2, 3, 7, 1000]))]))

    def storage(self) -> None:
        """In another place, or in another way."""
        array = self.array()
        match self.rng.randrange(5):
            case 0:
                shape = tuple(self.rng.choice([1, 1 << 10, 1 << 20, 1 << 32]) for _ in range(self.rng.randint(1, 3)))
                del self.file[self.name]
                self.file.create_dataset(self.name, shape, array.dtype, chunks=tuple(min(n, 64) for n in shape))
            case 1:
                del self.file[self.name]
                external = [(self.outside, 0, h5py.h5f.UNLIMITED)]
                self.file.create_dataset(self.name, array.shape, array.dtype, external=external)
            case 2:
                layout = h5py.VirtualLayout(array.shape, array.dtype)
                layout[...] = h5py.VirtualSource(self.outside, "x", array.shape)
                del self.file[self.name]
                self.file.create_virtual_dataset(self.name, layout)
            case _:
                self.put(array, **self.rng.choice(_STORAGE))

    def delete(self) -> None:
        del self.file[self.name]

    def rename(self) -> None:
        """The name of a member; of a node, often wherever the file has it."""
        new = self.rng.choice([*WORDS, "weight", "bias", "axis", "input", "spare"]).replace("/", "")
        self.file.move(self.name, f"{self.parent}/{new}")
        if self.parent.endswith("nodes") and self.rng.random() < 0.7:
            for name in self.members:
                if name.endswith(("/edges", "/operands")) and name in self.file:
                    array = self.array(name)
                    array[array == self.last] = new
                    self.put(array, name)

    def link(self) -> None:
        soft = h5py.SoftLink(f"/{self.rng.choice(self.members)}")
        outside = [h5py.ExternalLink(self.outside, "/x"), h5py.ExternalLink("/etc/passwd", "/")]
        target = self.rng.choice([soft, *outside, self.file[self.rng.choice(self.members)], self.file["/"]])
        name = self.name if self.rng.random() < 0.7 else f"{self.parent}/another"
        if name in self.file:
            del self.file[name]
        self.file[name] = target

    def swap(self) -> None:
        """A copy of a member, mostly one of the same meaning, in place of another."""
        alike = [name for name in self.members if name.rpartition("/")[2] == self.last]
        source = self.rng.choice(alike if self.rng.random() < 0.8 else self.members)
        if source != self.name and not f"{self.name}/".startswith(f"{source}/") and not source.startswith(f"{self.name}/"):
            del self.file[self.name]
            self.file.copy(source, self.name)

    def add(self) -> None:
        """What is not expected."""
        key = self.rng.choice(["axis", "eps", "weight", "x", "type", "/".join("x" * self.rng.randint(2, 12)), *WORDS])
        numbers = [self.rng.choice(FLOATS), self.rng.choice(NUMBERS) % 2**63]
        where = self.name if isinstance(self.file[self.name], h5py.Group) else self.parent
        self.put(self.rng.choice([*numbers, np.ones((2, 3)), self.rng.choice(WORDS), b"\xff\xfe"]), f"{where}/{key}")
        self.file[self.name].attrs["note"] = "x" * self.rng.choice([1, 60_000])

    def other_kind(self) -> None:
        """A group in place of a dataset, or the other way."""
        was_group = isinstance(self.file[self.name], h5py.Group)
        del self.file[self.name]
        if was_group:
            self.file[self.name] = 1.0
        else:
            self.file.create_group(self.name)
