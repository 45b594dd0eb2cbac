"""What people pass, turned into what the library works with: programs, chips, counts, samples, labels.

Every public verb comes through here. Tensors are told by what they can do, so that nothing is imported for them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ecmt_deploy.chips import Hardware, hardware
from ecmt_deploy.config import require_timesteps
from ecmt_deploy.errors import ConfigError, DataError, EcmtError, RunError, plural, said
from ecmt_deploy.program import Program, read, write
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.arrays import as_array as as_array
from ecmt_deploy.program.arrays import is_array, named_samples
from ecmt_deploy.program.inputs import Inputs

#: the path of a program's file, a ``Program``, or what carries one as ``program``: a ``SpikingModel``, a ``Run``
ProgramLike: TypeAlias = Any
#: the shape of one sample, or the inputs of a program, which know their names and ranges
Like: TypeAlias = tuple[int, ...] | Inputs
#: a chip, its name, or the path of its ``.toml`` file
ChipLike: TypeAlias = Hardware | str | PathLike[str]

#: single samples that are put together
BATCH = 16


class Batch(NamedTuple):
    """Samples (b, *shape), float32 or float64 and finite, and their labels (b,), int64, where there are any."""

    x: np.ndarray
    y: np.ndarray | None


def as_program(source: ProgramLike) -> Program:
    """The program in ``source``.

    Raises
    ------
    ProgramError
        if its file is missing, damaged or breaks a rule of the dialect.
    ConfigError
        if there is none in it.
    """
    if isinstance(source, Program):
        return source
    if isinstance(source, str | PathLike):
        return read(source)
    program = getattr(source, "program", None)
    if isinstance(program, Program):
        return program
    found = type(source).__name__
    if hasattr(source, "activity"):
        raise ConfigError(f"this {found} does not know its program; pass the program itself")
    if hasattr(source, "state_dict"):
        raise ConfigError(f"{found} is no program yet; ecmt_deploy.convert(model, calibration=samples) makes one of it")
    raise ConfigError(f"{found} is no program; pass a path, a SpikingModel, a Program or a Run")


@contextmanager
def program_file(source: ProgramLike) -> Iterator[Path]:
    """The path of a file of the program: its own, or one that is there for as long as the context.

    Raises
    ------
    ConfigError
        if there is no program in ``source``.
    """
    if isinstance(source, str | PathLike):
        yield Path(source)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "program.nir"
        write(as_program(source), path)
        yield path


#: the chip of that name, or in that file; a chip as it is
as_chip = hardware


def listed(given: Any) -> list[Any]:
    """What is one or several of something as a list."""
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str | PathLike) else [given]


def as_activity(source: Any) -> Activity:
    """The counts in ``source``: an ``Activity``, or what carries one as ``activity``: a ``Run``, an ``Evaluation``.

    Raises
    ------
    RunError
        if there are none in it.
    """
    activity = source if isinstance(source, Activity) else getattr(source, "activity", None)
    if not isinstance(activity, Activity):
        raise RunError(f"{type(source).__name__} has no counts; pass a Run, an Evaluation or an Activity")
    return activity


def as_steps(timesteps: Any, program: Program) -> int:
    """A number of steps T; for ``None`` the one the program was converted for.

    Raises
    ------
    ConfigError
        if it is no whole number, or below 1.
    """
    if timesteps is None:
        return program.timesteps
    require_timesteps(timesteps)
    return operator.index(timesteps)


def as_samples(data: Any, like: Like) -> np.ndarray:
    """All samples of ``data`` as one array (N, *shape). Errors as of :func:`batches`."""
    parts = [batch.x for batch in batches(data, like)] or [np.zeros((0, *_shape(like)), np.float32)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def labelled(data: Any, like: Like, classes: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield samples and labels in batches of ``size``, of which the last may be smaller, however ``data`` is divided.

    Raises
    ------
    DataError
        as of :func:`batches`, and if labels are missing or outside of 0 .. classes - 1.
    """
    x, y = np.zeros((0, *_shape(like)), np.float32), np.zeros(0, np.int64)
    for more in batches(data, like):
        if more.y is None:
            raise DataError("the samples have no labels; pass pairs (x, y), as a DataLoader gives them")
        if more.y.size and (more.y.min() < 0 or more.y.max() >= classes):
            raise DataError(f"labels are {more.y.min()} to {more.y.max()}; the program has classes 0 to {classes - 1}")
        x, y = (np.concatenate([x, more.x]), np.concatenate([y, more.y])) if len(x) else (more.x, more.y)
        for _ in range(len(x) // size):
            yield x[:size], y[:size]
            x, y = x[size:], y[size:]
    if len(x):
        yield x, y


def batches(data: Any, like: Like | None = None) -> Iterator[Batch]:
    """Yield the batches of what people call data.

    Parameters
    ----------
    data : an array or tensor (N, *shape) of any library on any device; a pair of such and labels (N,); a mapping with one
        floating array; an iterable of any of these, such as a list or a ``DataLoader``; or a dataset, of torch or of
        :mod:`ecmt_deploy.data`. Where the shape is known, single samples and iterables of them, too. Where the inputs have
        names, mappings of one array for each, integers where they hold tokens or a mask, and samples that are packed already
    like : the shape of one sample, or the inputs of a program

    Raises
    ------
    DataError
        if it is anything else, not of floating point, not finite, of another shape, or out of the range of its input.
    """
    single: list[Batch] = []
    shape = None if like is None else _shape(like)
    for item, is_sample in pieces(data):
        if isinstance(like, Inputs) and like.named:
            given, labels, alone = named_samples(item, is_sample, like)
            x = _floats(given)
        else:
            given, labels = _parts(item)
            x = _floats(given)
            alone = is_sample or x.shape == shape
        if alone:
            x, labels = x[None], None if labels is None else [labels]
        if x.ndim < 2 if shape is None else x.ndim == 0 or x.shape[1:] != shape:
            expected = "samples, one after the other on the first axis" if shape is None else f"the program's {in_words(shape)}"
            raise DataError(f"input of shape {x.shape}; expected {expected}")
        batch = Batch(x, None if labels is None else _labels(labels, len(x)))
        if single and (not alone or len(single) == BATCH):
            yield _joined(single)
            single = []
        if alone:
            single.append(batch)
        else:
            yield batch
    if single:
        yield _joined(single)


def in_words(shape: tuple[int, ...]) -> str:
    """What samples of a shape are called, with it: ``images (N, 3, 32, 32)``, ``vectors (N, 16)``."""
    what = {0: "numbers", 1: "vectors", 2: "sequences", 3: "images"}.get(len(shape), "samples")
    return f"{what} ({', '.join(['N', *map(str, shape)])}{'' if shape else ','})"


def _shape(like: Like) -> tuple[int, ...]:
    return like.shape if isinstance(like, Inputs) else like


def pieces(data: Any) -> Iterator[tuple[Any, bool]]:
    """What there is in data, piece by piece, and whether each is known to be a single sample."""
    if isinstance(data, str | bytes | PathLike):
        raise DataError(f"{str(data)!r} is a name; pass samples, such as the dataset that ecmt_deploy.data.open gives")
    samples = False
    found: Iterable[Any]
    if callable(getattr(data, "batches", None)):  # a dataset of ecmt_deploy.data
        found = data.batches(BATCH)
    elif is_array(data) or isinstance(data, Mapping) or _is_pair(data):
        found = [data]
    elif not isinstance(data, list | tuple) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # torch's Dataset
        found, samples = (data[i] for i in range(len(data))), True
    elif isinstance(data, Iterable):
        found = data
    else:
        raise DataError(f"{type(data).__name__} holds no samples; pass an array or tensor, a dataset, or batches of such")
    try:
        for piece in found:
            yield piece, samples
    except EcmtError:
        raise
    except Exception as error:  # whatever the code raises that reads a person's data
        raise DataError(f"the samples cannot be read: {type(error).__name__}: {said(error)}") from error


def _parts(item: Any) -> tuple[Any, Any]:
    """Samples and labels (``None`` where there are none) of one piece of data."""
    if isinstance(item, Mapping):
        arrays = {key: as_array(value) for key, value in item.items() if is_array(value) or isinstance(value, int)}
        floats = [key for key, value in arrays.items() if value.dtype.kind == "f"]
        integers = [key for key, value in arrays.items() if value.dtype.kind in "iu" and value.ndim < 2]
        if len(floats) != 1 or len(integers) > 1:
            raise DataError(f"which of {', '.join(map(repr, item))} are the samples, and which the labels? pass pairs (x, y)")
        return arrays[floats[0]], arrays[integers[0]] if integers else None
    if not isinstance(item, list | tuple) or not item:
        return item, None
    x, y = item[0], item[1] if len(item) > 1 else None
    if y is not None and getattr(x, "shape", ()) == getattr(y, "shape", None) != ():
        raise DataError(f"a {type(item).__name__} of several arrays of shape {tuple(x.shape)}; pass pairs (x, y), or x alone")
    return x, y


def _is_pair(data: Any) -> bool:
    """Whether these are samples and their labels, and not two batches."""
    if not isinstance(data, list | tuple) or len(data) != 2 or not (is_array(data[0]) or isinstance(data[0], Mapping)):
        return False
    labels = as_array(data[1]) if is_array(data[1]) or isinstance(data[1], list | tuple) else np.zeros(0)
    first = next((v for v in data[0].values() if is_array(v)), None) if isinstance(data[0], Mapping) else data[0]
    return labels.dtype.kind in "iu" and first is not None and labels.shape == as_array(first).shape[:1]


def _floats(value: Any) -> np.ndarray:
    """Samples as finite float32 or float64, in C order and writable, which torch takes as they are."""
    array = as_array(value)
    if array.dtype.kind != "f":
        found = array.dtype if is_array(value) else type(value).__name__
        raise DataError(f"the samples are {found}; expected arrays of floating point, normalised as the model takes them")
    array = np.require(array, np.float64 if array.dtype.itemsize > 4 else np.float32, ["C", "W"])
    if not np.isfinite(array).all():
        raise DataError("the samples hold NaN or infinity; expected finite, normalised ones")
    return array


def _labels(value: Any, count: int) -> np.ndarray:
    labels = as_array(value)
    if labels.dtype.kind not in "iu" or labels.size != count or labels.ndim > 2:
        raise DataError(
            f"labels are {labels.dtype} of shape {labels.shape} for {plural(count, 'sample')}; expected one integer for each"
        )
    return labels.reshape(count).astype(np.int64)


def _joined(samples: list[Batch]) -> Batch:
    shapes = sorted({sample.x.shape[1:] for sample in samples})
    if len(shapes) > 1:
        raise DataError(f"samples of shapes {', '.join(map(str, shapes))}; expected one shape")
    if any(sample.y is None for sample in samples):
        return Batch(np.concatenate([sample.x for sample in samples]), None)
    return Batch(*(np.concatenate(column) for column in zip(*samples, strict=True)))
