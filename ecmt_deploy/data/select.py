"""Which samples: opening a split, drawing calibration samples, and keeping evaluation apart from them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, get_args

import numpy as np

from ecmt_deploy.data import timm_names
from ecmt_deploy.data.classes import Labels, matched
from ecmt_deploy.data.damage import sound
from ecmt_deploy.data.dataset import Dataset, shuffled, whole
from ecmt_deploy.data.digits import open_digits
from ecmt_deploy.data.folder import open_folder
from ecmt_deploy.data.idx import open_idx
from ecmt_deploy.data.npz import open_npz
from ecmt_deploy.data.source import Source, Split, check_labels
from ecmt_deploy.data.text import COLUMNS, open_text
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.inputs import MOST_TOKENS, Inputs, NamedInput
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.program.provenance import CalibrationRecord
from ecmt_deploy.program.text import TextPreprocessing
from ecmt_deploy.untrusted.text import require_plain

_logger = logging.getLogger(__name__)

#: why images cannot be read for a program, and what to do
WITHOUT_PREPROCESSING = (
    "the program does not say how images are preprocessed (it was converted from arrays); convert it with "
    "ecmt_deploy.convert(.., preprocessing={'mean': .., 'std': ..})"
)
#: the same, where it was to be given
NOT_GIVEN = (
    "images are read as a model takes them; give preprocessing=ecmt_deploy.models.load(NAME).preprocessing, or "
    "ecmt_deploy.load(FILE).program.provenance.preprocessing of a program"
)
FORMS = "digits, folder:DIR, idx:DIR, npz:FILE, text:FILE, or a timm name such as torch/cifar10[:DIR]"
#: what images go through, or what sentences do
AnyPreprocessing: TypeAlias = Preprocessing | TextPreprocessing


@dataclass(frozen=True)
class Calibration:
    """Samples to tune a program on.

    Attributes
    ----------
    x
        float32 (n, C, H, W), preprocessed, in ascending order of ``record.indices``.
    record
        What goes into the program's provenance.
    class_names
        Names by label, where the dataset knows them.
    """

    x: np.ndarray
    record: CalibrationRecord
    class_names: tuple[str, ...] | None = None


def open(
    spec: str, *, preprocessing: AnyPreprocessing | None = None, split: Split = "test", n_classes: int | None = None
) -> Dataset:
    """Open one split of a dataset, with the labels that it has itself.

    Parameters
    ----------
    spec
        ``digits``, ``folder:DIR``, ``idx:DIR``, ``npz:FILE``, ``text:FILE``, or a name of timm's.
    preprocessing
        What the model expects: ``ecmt_deploy.models.load(NAME).preprocessing``, or of a program
        ``provenance.preprocessing``. An ``npz:`` needs none, its samples are model inputs already.
    split
        ``"train"`` or ``"test"``. A dataset with a single split is opened whole, and says so in ``Dataset.split``.
    n_classes
        The model's outputs, where known: labels beyond them are refused, and folders of ImageNet synsets get the
        labels of the model's label set.

    Raises
    ------
    DataError
        If the form is unknown, or the data is missing, empty, damaged, or of another shape than the model takes.
    """
    dataset = whole(_opened(spec, preprocessing, split, n_classes, without=NOT_GIVEN))
    if n_classes is not None:
        check_labels(spec, dataset.source.labels, n_classes)
    return dataset


def calibration(
    spec: str,
    *,
    preprocessing: AnyPreprocessing,
    n_samples: int,
    seed: int = 0,
    n_classes: int | None = None,
    skip_damaged: bool = False,
) -> Calibration:
    """Draw calibration samples at random without replacement, whatever their class.

    They come from the train split. Where the dataset has a single split they are held out of it: at most half of it
    is drawn, and :func:`evaluation` leaves out what was. Where fewer than ``n_samples`` are there, all of those are
    taken, with a warning. Damaged ones are left out of what is drawn, where ``skip_damaged`` says so.

    Raises
    ------
    DataError
        As :func:`open`; also if ``n_samples`` is below one, or the only split has a single sample.
    """
    if n_samples < 1:
        raise DataError(f"{spec}: calibration needs at least 1 sample, found {n_samples}")
    dataset = open(spec, preprocessing=preprocessing, split="train", n_classes=n_classes)
    single = dataset.split == "all"
    available = len(dataset) // 2 if single else len(dataset)
    if available == 0:
        raise DataError(f"{spec}: 1 sample in all; expected at least 2, one to calibrate and one to evaluate")
    if n_samples > available:
        part = "half of its only split, the rest is for evaluation" if single else "its whole train split"
        _logger.warning("%s: %d calibration samples asked for, taking %d (%s)", spec, n_samples, available, part)
        n_samples = available
    chosen = sound(dataset.take(np.sort(shuffled(len(dataset), seed)[:n_samples])), skip_damaged)
    indices = tuple(chosen.indices.tolist())
    record = CalibrationRecord(spec, dataset.split, seed, indices, indices if single else (), chosen.sha256, chosen.skipped)
    return Calibration(chosen.arrays()[0], record, dataset.class_names)


def evaluation(
    spec: str,
    *,
    preprocessing: AnyPreprocessing | None,
    exclude: CalibrationRecord | Sequence[int] | None = None,
    limit: int | None = None,
    n_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    class_ids: Sequence[str] | None = None,
    labels: Labels = "name",
    shape: tuple[int, ...] | Inputs | None = None,
    skip_damaged: bool = False,
) -> Dataset:
    """The samples to judge a program on: the test split, or a single split less what calibration held out.

    Parameters
    ----------
    preprocessing
        As for :func:`open`.
    exclude
        The program's calibration record. Its hold-out is left out if the dataset has a single split and those samples
        are the recorded ones by content, wherever the data lies now; other data is not touched, with a warning if it
        goes by the same name. Plain indices are left out unconditionally (of a single split only).
    limit
        At most this many, drawn in a fixed random order, see :meth:`Dataset.sample`.
    n_classes, class_names, class_ids, labels
        The program's outputs, where labels are to count them, see :func:`ecmt_deploy.data.classes.matched`.
    shape
        Of one sample as the program takes it, or its inputs, where there is no ``preprocessing`` to say so.
    skip_damaged
        Whether damaged images are left out of these samples, as :func:`ecmt_deploy.data.damage.sound` does, or are an error.

    Raises
    ------
    DataError
        As :func:`open` and ``matched``; also if nothing is left.
    """
    dataset = whole(_opened(spec, preprocessing, "test", n_classes, shape))
    if not dataset.source.labelled:
        raise DataError(f"{spec}: its sentences have no labels; give a .csv, .tsv or .jsonl file with a column label")
    if n_classes is not None:
        dataset = matched(dataset, n_classes, class_names, class_ids, labels)
    if exclude is not None and dataset.split == "all":
        kept = np.setdiff1d(dataset.indices, np.asarray(_left_out(dataset, exclude), dtype=np.int64))
        if kept.size == 0:
            raise DataError(f"{spec}: all of its samples ({len(dataset):,}) were used to calibrate; none is left to evaluate")
        dataset = replace(dataset, indices=kept)
    return sound(dataset.sample(limit), skip_damaged)


def _left_out(dataset: Dataset, exclude: CalibrationRecord | Sequence[int]) -> Sequence[int]:
    """Positions to leave out of a single split: the hold-out, if these are still the samples that it was drawn from."""
    if not isinstance(exclude, CalibrationRecord):
        return exclude
    held_out = exclude.holdout
    if held_out and max(held_out) < len(dataset) and dataset.take(held_out).sha256 == exclude.sha256:
        return held_out
    if exclude.spec == dataset.name and (held_out or exclude.split == "given"):
        changed = f"changed since the program was calibrated on {len(held_out)} of its samples"
        unknown = "which of its samples the program was calibrated on is not known"
        _logger.warning("%s: %s; they are not left out", dataset.name, changed if held_out else unknown)
    return ()


def _like(preprocessing: AnyPreprocessing | None, shape: tuple[int, ...] | Inputs | None) -> tuple[int, ...] | Inputs | None:
    """What the arrays of a file are to be: the program's inputs, or what a preprocessing makes, or what is known besides."""
    if isinstance(shape, Inputs) and shape.named:
        return shape
    if isinstance(preprocessing, TextPreprocessing):
        holds = {name: "mask" if name == "attention_mask" else "tokens" for name in preprocessing.inputs}
        limits = {"mask": 0, "tokens": MOST_TOKENS}
        return Inputs(tuple(NamedInput(n, (preprocessing.length,), h, limits[h]) for n, h in holds.items()))
    return preprocessing.input_size if preprocessing else shape


def _opened(
    spec: str,
    preprocessing: AnyPreprocessing | None,
    split: Split,
    n_classes: int | None,
    shape: tuple[int, ...] | Inputs | None = None,
    without: str = WITHOUT_PREPROCESSING,
) -> Source:
    """The split by the reader of its form."""
    if split not in get_args(Split):
        raise DataError(f"{spec}: unknown split {split!r}; expected train or test")
    require_plain(spec, "DATA", DataError)  # records of what is made from it keep it
    _logger.info("reads data %s (%s)", spec, split)
    form, colon, place = spec.partition(":")
    if colon and form in ("folder", "idx", "npz", "text") and not place:
        raise DataError(f"{spec}: nothing after the colon; expected {form}:PATH")
    form, path = form + colon, Path(place).expanduser()
    if form == "npz:":
        return open_npz(spec, path, split, _like(preprocessing, shape))
    if form == "text:":
        if not isinstance(preprocessing, TextPreprocessing):
            raise DataError(f"{spec}: the model takes images, or nobody says how it reads text; hf: models of text do")
        return open_text(spec, path, preprocessing)
    named = "/" in spec and spec.partition("/")[0].lower() in timm_names.PREFIXES
    if not named and spec != "digits" and form not in ("folder:", "idx:"):
        raise DataError(f"{spec or 'no data'}: unknown DATA{_meant(spec)}; expected {FORMS}")
    if preprocessing is None:
        raise DataError(f"{spec}: {without}, or give normalised arrays as npz:FILE")
    if isinstance(preprocessing, TextPreprocessing):
        raise DataError(f"{spec}: the model takes text; give text:FILE ({', '.join(COLUMNS)})")
    try:
        if form == "folder:":
            return open_folder(spec, path, split, preprocessing, n_classes)
        if form == "idx:":
            return open_idx(spec, path, split, preprocessing)
        return timm_names.open_timm(spec, split, preprocessing) if named else open_digits(split, preprocessing)
    except OSError as error:
        raise DataError(f"{spec}: {error.filename} cannot be read ({error.strerror})") from error


def _meant(spec: str) -> str:
    """A hint at the form of what is there."""
    if Path(spec).expanduser().is_dir():
        return f" (an image directory is folder:{spec})"
    return f" (a NumPy file is npz:{spec})" if spec.endswith(".npz") else ""
