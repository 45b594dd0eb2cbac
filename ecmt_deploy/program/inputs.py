"""Named inputs: what a program takes, and how one sample of several inputs is one array.

A sample at run time is one array, so that data sets, batches, jobs and targets need no second mechanism: of a program with one
input it is that input's array, of a program with several a flat vector in which they stand one after the other, in alphabetical
order of their names. Ids are exact in float32 below 2**24.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ecmt_deploy.errors import DataError

#: what an input may hold: floating point numbers; ids from 0 to ``limit`` - 1; zeros and ones
HOLDS = ("values", "tokens", "mask")
#: an input may not have more ids than this: float32 holds every integer up to it
MOST_TOKENS = 2**24


@dataclass(frozen=True)
class NamedInput:
    """One input of a program or model.

    Attributes
    ----------
    name : its name, that of the keyword of the model and of the ``Input`` node
    shape : of one sample, without the batch
    holds : ``"values"``, ``"tokens"`` or ``"mask"``
    limit : of tokens, how many ids there are: 0 to ``limit`` - 1; otherwise 0
    """

    name: str
    shape: tuple[int, ...]
    holds: str = "values"
    limit: int = 0

    @property
    def size(self) -> int:
        """Elements of one sample."""
        return prod(self.shape)

    @property
    def largest(self) -> int | None:
        """The largest integer it may hold; ``None`` where it holds values."""
        return {"values": None, "tokens": self.limit - 1, "mask": 1}[self.holds]

    def require(self, array: np.ndarray) -> None:
        """Refuse an array that is not of this input's range.

        Raises
        ------
        DataError
            naming the input, what it holds and what is expected.
        """
        if self.largest is None or not array.size:
            return
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= self.largest):  # also where one is no number
            found = high if not high <= self.largest else low
            raise DataError(f"{self.name} holds {found:.10g}; expected 0 to {self.largest}")
        if array.dtype.kind == "f" and (array != np.floor(array)).any():
            found = array[array != np.floor(array)].flat[0]
            raise DataError(f"{self.name} holds {found:.6g}; expected integers from 0 to {self.largest}")


@dataclass(frozen=True)
class Inputs:
    """The inputs of a program or model, in alphabetical order of their names.

    Attributes
    ----------
    entries : each input once; they are sorted when the object is made
    """

    entries: tuple[NamedInput, ...]
    _slices: dict[str, slice] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.entries, key=lambda entry: entry.name))
        if not ordered or len({entry.name for entry in ordered}) != len(ordered):
            raise DataError(f"inputs are named {[entry.name for entry in ordered]}; expected names, each once")
        object.__setattr__(self, "entries", ordered)
        end = 0
        for entry in ordered:
            self._slices[entry.name] = slice(end, end := end + entry.size)

    def __iter__(self) -> Iterator[NamedInput]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, name: str) -> NamedInput:
        return next(entry for entry in self.entries if entry.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(entry.name for entry in self.entries)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample as it is run: that of the only input, or (total,)."""
        return self.entries[0].shape if len(self.entries) == 1 else (sum(entry.size for entry in self.entries),)

    @property
    def named(self) -> bool:
        """Whether a sample is more than one array of values, so that people name its parts."""
        return self.integers or len(self.entries) > 1

    @property
    def integers(self) -> bool:
        """Whether any of them holds tokens or a mask."""
        return any(entry.largest is not None for entry in self.entries)

    @property
    def values(self) -> bool:
        """Whether any of them holds values."""
        return any(entry.largest is None for entry in self.entries)

    def pack(self, arrays: Mapping[str, Any]) -> np.ndarray:
        """Samples as one array.

        Parameters
        ----------
        arrays : (N, *shape) of every input by name; more names than the inputs have are an error

        Returns
        -------
        (N, *self.shape) : float32; float64 where an array of values is

        Raises
        ------
        DataError
            naming the input whose array is missing, unknown, of another shape, or out of its range.
        """
        self.require_names(arrays)
        columns = []
        for entry in self.entries:
            array = np.asarray(arrays[entry.name])
            if array.dtype.kind not in "fiub":
                raise DataError(f"{entry.name} has dtype {array.dtype}, expected numbers")
            if array.ndim == 0 or array.shape[1:] != entry.shape:
                raise DataError(f"{entry.name} has shape {array.shape}; expected (N, {', '.join(map(str, entry.shape))})")
            entry.require(array)
            wide = array.dtype == np.float64 and entry.largest is None
            columns.append(array.astype(np.float64 if wide else np.float32))
        lengths = {entry.name: len(array) for entry, array in zip(self.entries, columns, strict=True)}
        if len(set(lengths.values())) != 1:
            raise DataError(f"the inputs have {lengths} samples; expected as many of each")
        if len(columns) == 1:
            return columns[0]
        flat = [array.reshape(len(array), entry.size) for entry, array in zip(self.entries, columns, strict=True)]
        return np.concatenate(flat, axis=1)

    def unpack(self, samples: Any) -> dict[str, Any]:
        """The arrays of :meth:`pack` by name, in the dtype of ``samples``.

        Parameters
        ----------
        samples : (..., *self.shape), an array or a tensor, of any leading axes
        """
        return {entry.name: self.part(samples, entry.name) for entry in self.entries}

    def part(self, samples: Any, name: str) -> Any:
        """What of packed samples (..., *self.shape) is the input ``name``, (..., *its shape)."""
        if len(self.entries) == 1:
            return samples
        return samples[..., self._slices[name]].reshape((*samples.shape[:-1], *self[name].shape))

    def each(self, by_name: Mapping[str, float]) -> np.ndarray:
        """A number of every input, for every element of a packed sample: it broadcasts to :attr:`shape`."""
        if len(self.entries) == 1:
            return np.asarray(by_name[self.entries[0].name])
        return np.repeat([by_name[entry.name] for entry in self.entries], [entry.size for entry in self.entries])

    def require(self, samples: np.ndarray) -> None:
        """Refuse packed samples (N, *self.shape) that hold what an input may not.

        Raises
        ------
        DataError
            naming the input, what it holds and what is expected.
        """
        if self.integers:
            for name, array in self.unpack(samples).items():
                self[name].require(array)

    def require_names(self, names: Iterable[str]) -> None:
        """Refuse names that are not those of the inputs.

        Raises
        ------
        DataError
            naming what is missing or unknown, and what there is.
        """
        given = list(names)
        missing = [name for name in self.names if name not in given]
        unknown = [name for name in given if name not in self.names]
        if missing or unknown:
            what = f"{missing[0]} is missing" if missing else f"there is no input {unknown[0]!r}"
            raise DataError(f"{what}; the program takes {', '.join(self.names)}")

    @property
    def sentence(self) -> str:
        """What a sample is, for errors and people: ``input_ids (16,) tokens 0 to 99, attention_mask (16,) mask``."""
        ranges = {entry.name: f" 0 to {entry.largest}" if entry.holds == "tokens" else "" for entry in self.entries}
        return ", ".join(f"{entry.name} {entry.shape} {entry.holds}{ranges[entry.name]}" for entry in self.entries)
