"""Looking at data before hours of work: every sample read once, what is damaged, of an odd size, or of no class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any, get_args

import msgspec
import numpy as np

from ecmt_deploy.data.classes import match
from ecmt_deploy.data.images import ImageSource, decoded, read_image
from ecmt_deploy.data.reading import read_ahead, usual_workers
from ecmt_deploy.data.select import AnyPreprocessing, open
from ecmt_deploy.data.source import Source, Split
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.shown import Brief

#: samples that a process reads before it hands over what it saw
CHUNK = 64
#: a picture is odd whose longer edge is so many times the shorter one: of its middle square little is left
LONG = 4.0
#: where so large a share of the pictures has one size, those of another are odd
ALIKE = 0.9
#: what pictures go through where there is no model
ANY = Preprocessing((3, 224, 224), (0.5,) * 3, (0.5,) * 3)


class Odd(msgspec.Struct, frozen=True):
    """A sample and what is wrong, or odd, about it: ``where`` it is (a file, or its place in the data), and ``why``."""

    where: str
    why: str


class SplitLook(Brief, msgspec.Struct, frozen=True):
    """What is in one split of a dataset.

    Attributes
    ----------
    split : ``train``, ``test``, or ``all`` where there is one
    samples : how many there are
    damaged : those that cannot be read
    odd : pictures of an odd size: smaller than what the model takes, much longer than wide, or of another size than nearly all
    sizes : smallest, median and largest (width, height) of the pictures, by area; ``None`` where samples are no pictures
    classes : samples by class, by name where classes have names
    empty : classes without a sample in this split
    """

    split: str
    samples: int
    damaged: tuple[Odd, ...]
    odd: tuple[Odd, ...]
    sizes: tuple[tuple[int, int], ...] | None
    classes: dict[str, int]
    empty: tuple[str, ...]


class _Sizes(Source):
    """The same samples, of which only width and height are read, (-1, -1) for one that cannot be; in parallel where that is
    worth it."""

    def __init__(self, source: ImageSource, preprocessing: Preprocessing) -> None:
        super().__init__(source.name, source.split, source.class_names, (2,))
        self.labels, self.decodes = source.labels, source.decodes
        self._source, self._preprocessing = source, preprocessing

    def read(self, indices: np.ndarray) -> np.ndarray:
        found, done = np.full((len(indices), 2), -1, np.int64), 0
        while done < len(indices):  # reading goes on behind a sample that ends it
            images = self._source.images(indices[done:].tolist())
            try:
                for where, image in images:
                    size = _size(where, image, self._preprocessing)
                    found[done] = (-1, -1) if isinstance(size, Odd) else size
                    done += 1
                break
            except DataError:
                done += 1
        return found


def look_at(source: ImageSource, index: int, preprocessing: Preprocessing) -> tuple[int, int] | Odd:
    """Width and height of a picture, read as a model would have it; or why it cannot be."""
    try:
        return _size(*next(source.images([index])), preprocessing)
    except DataError as error:
        return Odd(f"{source.name}[{index}]", str(error))


def _size(where: str, image: Any, preprocessing: Preprocessing) -> tuple[int, int] | Odd:
    try:
        picture = image if hasattr(image, "mode") else decoded(where, image)
        read_image(where, picture, preprocessing)
    except DataError as error:
        return Odd(where, str(error).removeprefix(f"{where}: "))
    return picture.width, picture.height


def look(source: Source, preprocessing: AnyPreprocessing, fixed_size: bool, workers: int | None = None) -> SplitLook:
    """Read every sample of a split once.

    Parameters
    ----------
    source : the split
    preprocessing : what its pictures would go through
    fixed_size : whether ``preprocessing`` is a model's own, so that smaller pictures are odd
    workers : processes that read, 0 for none; ``None`` for a number that suits data and machine

    Raises
    ------
    DataError
        if a process that reads dies.
    """
    names = source.class_names
    counts = Counter(source.labels.tolist())
    called = {label: names[label] if names and 0 <= label < len(names) else f"{label}" for label in counts}
    classes = {called[label]: counts[label] for label in sorted(counts)}
    empty = tuple(name for label, name in enumerate(names or ()) if name and label not in counts)
    damaged, odd, sizes = [], [], None
    if isinstance(source, ImageSource) and isinstance(preprocessing, Preprocessing):
        found = _sizes(source, preprocessing, workers)
        sound = (found > 0).all(axis=1)
        for index in np.flatnonzero(~sound).tolist():
            again = look_at(source, index, preprocessing)
            damaged.append(again if isinstance(again, Odd) else Odd(f"{source.name}[{index}]", "could be read the second time"))
        odd = _odd(source, found, sound, preprocessing.input_size[1:] if fixed_size else None)
        sizes = _range(found[sound])
    return SplitLook(source.split, len(source), tuple(damaged), tuple(odd), sizes, classes, empty)


def _sizes(source: ImageSource, preprocessing: Preprocessing, workers: int | None) -> np.ndarray:
    """Width and height of every picture, int64 (n, 2)."""
    reader, indices = _Sizes(source, preprocessing), np.arange(len(source), dtype=np.int64)
    size = CHUNK if source.decodes else max(len(indices), 1)  # a stream is read from its beginning for every chunk
    chunks = [indices[i : i + size] for i in range(0, len(indices), size)]
    if workers is None:
        workers = usual_workers(reader, len(chunks), 16 * CHUNK)
    with closing(read_ahead(reader, chunks, workers, False)) as parts:
        return np.concatenate([np.zeros((0, 2), np.int64), *parts])


def _odd(source: ImageSource, found: np.ndarray, sound: np.ndarray, takes: Sequence[int] | None) -> list[Odd]:
    """Pictures of an odd size."""
    said: dict[int, str] = {}
    usual, times = Counter(map(tuple, found[sound].tolist())).most_common(1)[0] if sound.any() else ((0, 0), 0)
    alike = times >= ALIKE * sound.sum()
    for index in np.flatnonzero(sound).tolist():
        width, height = found[index].tolist()
        if takes is not None and (height < takes[0] or width < takes[1]):
            said[index] = f"{width} x {height} pixels, which is smaller than the {takes[1]} x {takes[0]} that the model takes"
        elif max(width, height) >= LONG * min(width, height):
            said[index] = f"{width} x {height} pixels, of which a crop leaves little"
        elif alike and (width, height) != usual:
            said[index] = f"{width} x {height} pixels, where nearly all have {usual[0]} x {usual[1]}"
    if takes is not None and sum("smaller" in why for why in said.values()) == sound.sum() > 1:  # said once
        what = f"all pictures are smaller than the {takes[1]} x {takes[0]} that the model takes"
        return [Odd(source.name, f"{what}; most have {usual[0]} x {usual[1]}")]
    return [Odd(_where(source, index), why) for index, why in said.items()]


def _where(source: ImageSource, index: int) -> str:
    """What to call a sample: its file, where it is one that can be reached."""
    return next(source.images([index]))[0] if source.decodes else f"{source.name}[{index}]"


def _range(sizes: np.ndarray) -> tuple[tuple[int, int], ...]:
    if not len(sizes):
        return ()
    order = np.argsort(sizes.prod(axis=1), kind="stable")
    smallest, median, largest = (tuple(sizes[order[i]].tolist()) for i in (0, len(order) // 2, -1))
    return smallest, median, largest


class DataLook(Brief, msgspec.Struct, frozen=True):
    """What is in a dataset.

    Attributes
    ----------
    name : the DATA form as the user wrote it
    splits : what is in each of its splits
    unmatched : classes that are those of no output of the model, or of several; empty where either has no names
    matched : how many classes are those of one output each; ``None`` where either has no names
    """

    name: str
    splits: tuple[SplitLook, ...]
    unmatched: tuple[str, ...] = ()
    matched: int | None = None

    @property
    def damaged(self) -> int:
        """Samples that cannot be read."""
        return sum(len(split.damaged) for split in self.splits)

    @property
    def sound(self) -> bool:
        """Whether every sample can be read and every class is that of an output; odd sizes are no fault."""
        return not self.damaged and not self.unmatched


def look_through(
    name: str,
    preprocessing: AnyPreprocessing | None,
    class_names: Sequence[str] | None = None,
    class_ids: Sequence[str] | None = None,
    workers: int | None = None,
) -> DataLook:
    """Read every sample of a dataset once.

    Parameters
    ----------
    name : the DATA form
    preprocessing : the model's; ``None`` for no model, when pictures of any size are taken, in colour
    class_names, class_ids : what the model's outputs stand for, and what datasets call that where it is something else
    workers : processes that read, 0 for none; ``None`` for a number that suits data and machine

    Raises
    ------
    DataError
        if the form is unknown, or there is no such data, or its labels cannot be told.
    """
    if preprocessing is None and name.partition(":")[0] in ("digits", "idx"):
        raise DataError(f"{name}: its arrays are read as a model takes them; name the model too")
    splits: dict[str, SplitLook] = {}
    found: tuple[str, ...] | None = None
    plain = None if name.startswith("npz:") else ANY  # arrays are inputs already
    for split in get_args(Split):
        source = open(name, preprocessing=preprocessing or plain, split=split).source
        if source.split not in splits:
            splits[source.split] = look(source, preprocessing or ANY, preprocessing is not None, workers)
            found = found or source.class_names
    if not found or not class_names:
        return DataLook(name, tuple(splits.values()))
    present = {name for split in splits.values() for name, samples in split.classes.items() if samples}
    places = dict(zip(found, match(found, class_names, class_ids), strict=True))
    times = Counter(places[name] for name in present)
    wrong = tuple(name for name in found if name in present and (places[name] is None or times[places[name]] > 1))
    return DataLook(name, tuple(splits.values()), wrong, len(present) - len(wrong))
