"""Which output of a program each class of a dataset is, told by name: positions differ between datasets."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ecmt_deploy.data.dataset import Dataset
from ecmt_deploy.data.source import check_labels
from ecmt_deploy.errors import DataError, listed, plural

if TYPE_CHECKING:
    from timm.data import ImageNetInfo

Labels = Literal["name", "position"]
"""How labels find their output: by the names of the classes, or label i is output i."""

SYNSET = re.compile(r"n\d{8}")


def matched(
    dataset: Dataset,
    n_classes: int,
    class_names: Sequence[str] | None = None,
    class_ids: Sequence[str] | None = None,
    labels: Labels = "name",
) -> Dataset:
    """The same samples, with labels that count the program's outputs.

    A dataset without class names counts them already. One with names is matched by name, where the program has names too,
    and may have samples of some of its classes only. Where the program has none, label i is taken for output i if there are
    as many classes as outputs.

    Parameters
    ----------
    n_classes
        Outputs of the program.
    class_names
        What they stand for, in words for people, where that is known.
    class_ids
        What datasets call the same classes, where that is something else (ImageNet's synsets).
    labels
        How labels find their output: by ``"name"``, or ``"position"``: label i is output i.

    Raises
    ------
    DataError
        If classes of samples are not the program's, or two of them are the same one, or nobody can tell; naming both lists.
        If a label is beyond the outputs.
    """
    if labels not in get_args(Labels):
        raise DataError(f"labels {labels!r}: expected name or position (label i is output i)")
    found = dataset.class_names if labels == "name" else None
    if found is not None and class_names is None and not dataset.source.ordered:
        raise DataError(
            f"{dataset.name}: nobody knows which outputs its labels are ({listed(found)}): the program has no names, and words "
            "have no order; give numbers, or say --labels position if they count the outputs in alphabetical order"
        )
    if found is None or class_names is None:
        check_labels(dataset.name, dataset.source.labels, n_classes)
        if found is not None and len(found) != n_classes:
            raise DataError(
                f"{dataset.name}: nobody knows which outputs its {plural(len(found), 'class')} are ({listed(found)}): the"
                f" program has {plural(n_classes, 'output')} without names; convert it with data of all its classes, or say"
                " --labels position if label i is output i"
            )
        return dataset
    check_labels(dataset.name, dataset.source.labels)
    names = {label: name for label, name in enumerate(found) if name}
    places = dict(enumerate(match(found, class_names, class_ids)))
    present = {names.get(label, f"label {label}"): places.get(label) for label in np.unique(dataset.source.labels).tolist()}
    strange = [name for name, output in present.items() if output is None]
    times = Counter(present.values())
    twins = [name for name, output in present.items() if times[output] > 1]
    if strange or twins:
        wrong = "no single class of the program is called" if strange else "these would be one class of the program:"
        raise DataError(
            f"{dataset.name}: {wrong} {listed(strange or twins)} (data: {listed(list(present))}; program: "
            f"{listed(class_names)}); give classes the program's names, or say --labels position if label i is output i"
        )
    return replace(dataset, relabelling=tuple(-1 if output is None else output for output in places.values()))


def match(found: Sequence[str], names: Sequence[str], ids: Sequence[str] | None = None) -> list[int | None]:
    """Position among ``names`` of each of ``found``; None where there is none, or more than one.

    Names and ids count as they are, then whatever their case, spaces, hyphens and underscores are, then each of several
    synonyms ("tench, Tinca tinca") for itself. The first of these that knows a name decides.
    """
    if tuple(found) == tuple(names):  # even where a name is there twice, as "crane" is in ImageNet
        return list(range(len(names)))
    ids = ids or (_imagenet_ids(names) if any(map(SYNSET.fullmatch, found)) else None) or ()
    tables: tuple[dict[str, set[int]], ...] = (defaultdict(set), defaultdict(set), defaultdict(set))
    for i, known in [*enumerate(names), *enumerate(ids)]:
        for table, spellings in zip(tables, _spellings(known), strict=True):
            for spelling in spellings:
                table[spelling].add(i)

    def position(name: str) -> int | None:
        for table, spellings in zip(tables, _spellings(name), strict=True):
            if hits := set().union(*(table.get(spelling, ()) for spelling in spellings)):
                return hits.pop() if len(hits) == 1 else None
        return None

    return [position(name) if name else None for name in found]


def _spellings(name: str) -> tuple[list[str], list[str], list[str]]:
    """A name as it is, as it may be written otherwise, and its synonyms: what decides first comes first."""
    return [name], [_plain(name)], [_plain(part) for part in name.split(",")]


def _plain(name: str) -> str:
    """A name without what people write differently: case, the form of accents, and what stands between words."""
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", unicodedata.normalize("NFKC", name).casefold().strip())


def imagenet(n_classes: int) -> ImageNetInfo | None:
    """ImageNet's label set of so many classes, where there is one."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": n_classes})
    return ImageNetInfo(subset) if subset else None


def _imagenet_ids(names: Sequence[str]) -> list[str] | None:
    """Synsets of one of ImageNet's label sets, for programs that hold its descriptions alone (before dialect version 4)."""
    info = imagenet(len(names))
    return info.label_names() if info and info.label_descriptions() == list(names) else None
