"""``text:FILE``: sentences, or pairs of them, with or without labels. The file is untrusted: sizes are checked first."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ecmt_deploy.data.source import Source
from ecmt_deploy.data.tokenizing import Sentence, lengths, packed
from ecmt_deploy.errors import DataError, reading
from ecmt_deploy.program.text import TextPreprocessing

_logger = logging.getLogger(__name__)

#: of a file, of its lines, and of one sentence
MOST_BYTES, MOST_ROWS, MOST_CHARACTERS = 1 << 28, 1 << 22, 100_000
COLUMNS = ("text", "text_pair", "label")
_MEND = "expected .csv, .tsv or .jsonl with columns text, text_pair, label (the last two may be left out), or plain lines"
#: sentences tokenised at once
_AT_ONCE = 256


@dataclass(frozen=True)
class Texts:
    """What a file holds.

    Attributes
    ----------
    sentences : or pairs of them
    labels : one for each, a number or a name; ``None`` where the file has none
    """

    sentences: list[Sentence]
    labels: list[int | str] | None

    @property
    def pairs(self) -> bool:
        """Whether every sample is a pair of sentences."""
        return bool(self.sentences) and isinstance(self.sentences[0], tuple)


class TextSource(Source):
    """Sentences with their labels, tokenised when they are read."""

    def __init__(self, name: str, texts: Texts, text: TextPreprocessing) -> None:
        found = texts.labels
        names = None if found is None or isinstance(found[0], int) else tuple(sorted({str(label) for label in found}))
        super().__init__(name, "all", names, text.input_size)
        self._sentences, self._text = texts.sentences, text
        self.labelled, self.ordered = found is not None, False
        if found is None:
            self.labels = np.zeros(len(texts.sentences), np.int64)
        elif names is None:
            self.labels = np.array(found, np.int64)
        else:
            place = {label: i for i, label in enumerate(names)}
            self.labels = np.array([place[str(label)] for label in found], np.int64)

    def read(self, indices: np.ndarray) -> np.ndarray:
        return packed([self._sentences[i] for i in indices.tolist()], self._text)

    def raw(self, index: int) -> bytes:
        return msgspec.json.encode(self._sentences[index])


def open_text(name: str, path: Path, text: TextPreprocessing) -> TextSource:
    """The sentences of a file, which is a single split.

    Raises
    ------
    DataError
        If the file is missing, damaged, too large, or its rows do not say the same columns.
    """
    source = TextSource(name, read_texts(name, path), text)
    long = sum(int((part > text.length).sum()) for part in _counted(source._sentences, text))
    if long:
        _logger.warning("%s: %d of %d sentences are longer than %d tokens, and cut", name, long, len(source), text.length)
    return source


def fitted_text(spec: str, text: TextPreprocessing, type_ids: bool, keep_length: bool) -> TextPreprocessing:
    """The preprocessing for the sentences of ``text:FILE``: as long as the longest, at most as long as it is already.

    Parameters
    ----------
    spec
        DATA of any form; of any other than ``text:`` the preprocessing stays what it is.
    text
        With the model's largest length.
    type_ids
        Whether the model tells sentences of a pair by ``token_type_ids``.
    keep_length
        Whether the length stays as it is.

    Raises
    ------
    DataError
        As of :func:`open_text`.
    """
    form, _, place = spec.partition(":")
    if form != "text":
        return text  # arrays, which are as long as they are
    found = read_texts(spec, Path(place).expanduser())
    names = (*text.inputs, "token_type_ids") if found.pairs and type_ids else text.inputs
    text = msgspec.structs.replace(text, inputs=names)
    if keep_length:
        return text
    longest = max(int(part.max()) for part in _counted(found.sentences, text))
    return msgspec.structs.replace(text, length=min(text.length, longest))


def _counted(sentences: list[Sentence], text: TextPreprocessing) -> Iterator[np.ndarray]:
    return (lengths(sentences[start : start + _AT_ONCE], text) for start in range(0, len(sentences), _AT_ONCE))


def read_texts(name: str, path: Path) -> Texts:
    """What a file holds. Errors as of :func:`open_text`."""
    if not path.is_file():
        raise DataError(f"{name}: no such file; {_MEND}")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{name}: {path.stat().st_size} bytes; expected at most {MOST_BYTES}; divide the file")
    kind = path.suffix.lower()
    sentences: list[Sentence] = []
    labels: list[int | str] = []
    with reading(DataError, f"{name}: not a readable text file", _MEND), path.open(encoding="utf-8-sig", newline="") as file:
        if kind in (".csv", ".tsv"):
            rows = _table(name, file, "\t" if kind == ".tsv" else ",")
        elif kind in (".jsonl", ".ndjson"):
            rows = ((i, msgspec.json.decode(line, type=dict[str, Any])) for i, line in enumerate(file, 1) if line.strip())
        else:
            rows = ((i, {"text": line.rstrip("\r\n")}) for i, line in enumerate(file, 1) if line.strip())
        for number, row in rows:
            if number > MOST_ROWS:
                raise DataError(f"{name}: more than {MOST_ROWS} rows; divide the file")
            sentence, label = _row(f"{name}: row {number}", row)
            like = sentence if not sentences else sentences[0], labels[0] if labels else None if sentences else label
            if (type(sentence), type(label)) != tuple(map(type, like)):
                raise DataError(f"{name}: row {number} differs in what it has from the first, {list(row)}; {_MEND}")
            sentences.append(sentence)
            labels += [] if label is None else [label]
    if not sentences:
        raise DataError(f"{name}: holds no sentence; {_MEND}")
    return Texts(sentences, labels or None)


def _table(name: str, file: Any, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of a table with a heading, by column; numbers of labels become integers."""
    rows = csv.reader(file, delimiter=delimiter, strict=True)
    heading = [column.strip() for column in next(rows, [])]
    if "text" not in heading or len(set(heading)) != len(heading):
        raise DataError(f"{name}: its first line has columns {', '.join(heading)[:200] or 'of no name'}; {_MEND}")
    numbers = None
    for number, cells in enumerate(rows, 2):
        if not cells:
            continue
        if len(cells) != len(heading):
            raise DataError(
                f"{name}: row {number} has {len(cells)} cells, the heading {len(heading)}; quote cells that hold {delimiter!r}"
            )
        row: dict[str, Any] = {key: cell for key, cell in zip(heading, cells, strict=True) if key in COLUMNS}
        if "label" in row:
            if numbers is None:
                numbers = row["label"].strip().isdecimal()
            if numbers and not row["label"].strip().isdecimal():
                raise DataError(f"{name}: row {number} has label {row['label'][:40]!r}; expected a number, as before")
            row["label"] = int(row["label"]) if numbers else row["label"].strip()
        yield number, row


def _row(where: str, row: Mapping[str, Any]) -> tuple[Sentence, int | str | None]:
    """The sentence or pair of a row, and its label."""
    text, pair, label = (row.get(column) for column in COLUMNS)
    for column, value in (("text", text), *([("text_pair", pair)] if pair is not None else [])):
        if not isinstance(value, str) or not 0 < len(value) <= MOST_CHARACTERS:
            found = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
            raise DataError(f"{where}: {column} is {found}; expected 1 to {MOST_CHARACTERS} characters of text")
    if label is not None and (isinstance(label, bool) or not isinstance(label, int | str) or label == ""):
        raise DataError(f"{where}: label is {label!r}; expected a number or a name")
    if isinstance(label, int) and not 0 <= label < 2**31:
        raise DataError(f"{where}: label is {label}; expected 0 or more")
    return (str(text) if pair is None else (str(text), str(pair))), label
