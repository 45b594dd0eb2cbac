"""Sentences to model inputs, by the tokenizer that a program holds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from ecmt_deploy.errors import DataError, EcmtError, first_line
from ecmt_deploy.program.text import TextPreprocessing

#: a sentence, or a pair of them
Sentence: TypeAlias = str | tuple[str, str]

MISSING = "reading text needs tokenizers; pip install 'ecmt-deploy[transformers]'"


def tokenized(sentences: Sequence[Sentence], text: TextPreprocessing) -> dict[str, np.ndarray]:
    """Sentences as a model sees them.

    Returns
    -------
    dict
        int64 (len(sentences), text.length) of each of ``text.inputs``.

    Raises
    ------
    DataError
        If the library `tokenizers` is missing, or the program's tokenizer is damaged or does not take them.
    """
    encoded = _encoded(sentences, text, padded=True)
    fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    return {name: np.array([getattr(one, fields[name]) for one in encoded], np.int64) for name in text.inputs}


def packed(sentences: Sequence[Sentence], text: TextPreprocessing) -> np.ndarray:
    """The same as samples of a program, float32 (len(sentences), \\*text.input_size). Errors as of :func:`tokenized`."""
    found = tokenized(sentences, text)
    return np.concatenate([found[name] for name in text.inputs], axis=1).astype(np.float32)


def unpacked(samples: np.ndarray, text: TextPreprocessing) -> dict[str, np.ndarray]:
    """Of packed samples (N, \\*text.input_size) the inputs by name, int64 (N, text.length)."""
    parts = samples.reshape(len(samples), len(text.inputs), text.length).astype(np.int64)
    return {name: np.ascontiguousarray(parts[:, i]) for i, name in enumerate(text.inputs)}


def lengths(sentences: Sequence[Sentence], text: TextPreprocessing) -> np.ndarray:
    """How many tokens each sentence has, int64 (len(sentences),), however long. Errors as of :func:`tokenized`."""
    return np.array([len(one.ids) for one in _encoded(sentences, text, padded=False)], np.int64)


def _encoded(sentences: Sequence[Sentence], text: TextPreprocessing, padded: bool) -> list[Any]:
    tokenizer = _tokenizer(text)
    with damaged_tokenizer(DataError, "the program's tokenizer does not take this text", "convert it again"):
        if padded:
            direction = "left" if text.pad_left else "right"
            tokenizer.enable_truncation(text.length)
            tokenizer.enable_padding(direction=direction, length=text.length, pad_id=text.pad_id)
        else:
            tokenizer.no_truncation()
            tokenizer.no_padding()
        return list(tokenizer.encode_batch(list(sentences)))


@lru_cache(maxsize=4)
def _tokenizer(text: TextPreprocessing) -> Any:
    if not text.tokenizer:
        raise DataError("this record of a program does not carry its tokenizer; take the program's own file")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads and forks of this process do not agree
    try:
        import tokenizers
    except ImportError as error:
        raise DataError(MISSING) from error
    with damaged_tokenizer(DataError, "the program's tokenizer is damaged", "convert it again"):
        return tokenizers.Tokenizer.from_str(text.tokenizer)


@contextmanager
def damaged_tokenizer(error: type[EcmtError], what: str, mend: str) -> Iterator[None]:
    """Use a tokenizer from outside: whatever the library raises becomes ``error``, a panic of its Rust code too."""
    try:
        yield
    except EcmtError:
        raise
    except BaseException as failure:
        if not isinstance(failure, Exception) and type(failure).__name__ != "PanicException":
            raise
        raise error(f"{what} ({first_line(failure)}); {mend}") from failure
