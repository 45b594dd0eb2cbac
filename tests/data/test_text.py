"""Text data: files of every form, what is hostile in them, and sentences to tokens as the model's own tokenizer does it."""

from __future__ import annotations

import csv
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecmt_deploy import data
from ecmt_deploy.data.text import read_texts
from ecmt_deploy.data.tokenizing import lengths, tokenized
from ecmt_deploy.errors import DataError
from ecmt_deploy.program.text import TextPreprocessing
from tests.support.sentences import sentences, tokenizer

TOKENIZER = tokenizer()


def preprocessing(length=12, pair=False, **fields):
    content = json.dumps(json.loads(TOKENIZER.backend_tokenizer.to_str()))
    inputs = ("attention_mask", "input_ids", *(["token_type_ids"] if pair else []))
    return TextPreprocessing(content, length, inputs, **fields)


def refused(expected, read):
    with pytest.raises(DataError, match=expected) as error:
        read()
    assert "\n" not in str(error.value)


# --- files ---------------------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(lambda text: text.strip())
rows = st.one_of(
    st.lists(st.fixed_dictionaries({"text": words, "label": st.integers(0, 9)}), min_size=1, max_size=5),
    st.lists(st.fixed_dictionaries({"text": words, "text_pair": words}), min_size=1, max_size=5),
    st.lists(st.fixed_dictionaries({"text": words}), min_size=1, max_size=5),
)


@settings(max_examples=30)
@given(rows)
def test_what_is_written_in_any_form_is_read(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("text")
    expected = [(row["text"], row["text_pair"]) if "text_pair" in row else row["text"] for row in rows]
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        with (folder / f"t{suffix}").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    (folder / "t.jsonl").write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
    for suffix in (".csv", ".tsv", ".jsonl"):
        found = read_texts("text:t", folder / f"t{suffix}")
        assert found.sentences == expected
        assert found.labels == ([row["label"] for row in rows] if "label" in rows[0] else None)


def test_plain_lines_are_sentences_without_labels(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\ufeffone, two\r\n\nthree\n", encoding="utf-8")
    assert read_texts("text:x", path).sentences == ["one, two", "three"]
    source = data.open(f"text:{path}", preprocessing=preprocessing())
    assert (len(source), source.split) == (2, "all")
    refused("no labels", lambda: data.evaluation(f"text:{path}", preprocessing=preprocessing()))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", b"", "columns of no name"),
        ("t.csv", b"sentence,label\na,1\n", "columns sentence, label"),
        ("t.csv", b"text,text\na,b\n", "columns text, text"),
        ("t.csv", b"text,label\n", "holds no sentence"),
        ("t.csv", b"text,label\na,1\nb\n", "row 3 has 1 cells"),
        ("t.csv", b"text,label\na,1\nb,cat\n", "expected a number, as before"),
        ("t.csv", b"text,label\na,\n", "label is ''"),
        ("t.csv", b'text,label\n"a,1\n', "not a readable text file"),
        ("t.csv", b"text,label\na," + b"9" * 5000 + b"\n", "not a readable text file"),
        ("t.csv", b"text,label\na,99999999999\n", "label is 99999999999"),
        ("t.csv", b"text\n" + b"x" * 150_000, "not a readable text file"),
        ("t.tsv", b"text\n\xff\xfe\n", "not a readable text file"),
        ("t.jsonl", b"[1]\n", "not a readable text file"),
        ("t.jsonl", b'{"text": 3}\n', "text is int"),
        ("t.jsonl", b'{"text": "a", "label": true}\n', "label is True"),
        ("t.jsonl", b'{"text": "a", "label": -1}\n', "label is -1"),
        ("t.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}\n', "row 2 differs"),
        ("t.jsonl", b'{"text": "a"}\n{"text": "b", "text_pair": "c"}\n', "row 2 differs"),
        ("t.jsonl", b'{"text": "a", "label": 1}\n{"text": "b", "label": "cat"}\n', "row 2 differs"),
        ("t.jsonl", b"[" * 100_000, "not a readable text file"),
        ("t.txt", b"x" * 150_000, "expected 1 to 100000 characters"),
        ("t.txt", b"\n\n", "holds no sentence"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_damaged_files_are_one_line(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    refused(expected, lambda: data.open(f"text:{tmp_path / name}", preprocessing=preprocessing()))


def test_text_and_images_are_told_apart(tmp_path):
    (tmp_path / "t.txt").write_text("a cat\n")
    refused("takes text; give text:FILE", lambda: data.open(f"folder:{tmp_path}", preprocessing=preprocessing()))
    refused("takes images", lambda: data.open(f"text:{tmp_path}/t.txt", preprocessing=None))
    refused("no such file", lambda: data.open("text:nothing", preprocessing=preprocessing()))
    refused("nothing after the colon", lambda: data.open("text:", preprocessing=preprocessing()))


def test_words_for_labels_find_outputs_by_name_alone(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label\na dog,low\nthe cat,high\na dog,low\n")
    spec, text = f"text:{path}", preprocessing()
    found = data.evaluation(spec, preprocessing=text, n_classes=3, class_names=("mid", "high", "low"))
    assert found.labels.tolist() == [2, 1, 2]
    refused("words have no order", lambda: data.evaluation(spec, preprocessing=text, n_classes=2))
    refused("words have no order", lambda: data.evaluation(spec, preprocessing=text, n_classes=3))
    assert data.evaluation(spec, preprocessing=text, n_classes=2, labels="position").labels.tolist() == [1, 0, 1]


# --- tokens --------------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(3, 16), st.booleans(), st.booleans())
def test_tokens_are_those_of_the_models_own_tokenizer(seed, length, pair, left):
    given_sentences = sentences(6, seed)
    items = list(zip(given_sentences, sentences(6, seed + 1), strict=True)) if pair else given_sentences
    text = preprocessing(max(length, 5), pair, pad_left=left)
    TOKENIZER.padding_side = "left" if left else "right"
    # transformers cuts the longest of a pair first, as the library does
    theirs = TOKENIZER(
        [a for a, _ in items] if pair else items, [b for _, b in items] if pair else None,
        padding="max_length", truncation=True, max_length=text.length, return_tensors="np",
    )  # fmt: skip
    ours = tokenized(items, text)
    assert list(ours) == list(text.inputs)
    for name in text.inputs:
        np.testing.assert_array_equal(ours[name], theirs[name])
    samples = data.packed(items, text)
    assert (samples.dtype, samples.shape[1:]) == (np.float32, text.input_size)
    for name, array in data.unpacked(samples, text).items():
        np.testing.assert_array_equal(array, ours[name])


def test_a_length_is_that_of_the_longest_sentence_or_what_is_given(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("text,text_pair\nthe cat,a dog\nthe old man likes some bread,the cat\n")
    spec, most = f"text:{path}", preprocessing(32)
    fitted = data.fitted_text(spec, most, True, False)
    assert (fitted.length, fitted.inputs) == (11, ("attention_mask", "input_ids", "token_type_ids"))
    assert lengths(read_texts(spec, path).sentences, fitted).tolist() == [7, 11]
    assert data.fitted_text(spec, most, False, True) == most
    assert data.fitted_text(spec, preprocessing(6), False, False).length == 6
    data.open(spec, preprocessing=preprocessing(6))
    assert "2 of 2 sentences are longer than 6 tokens" in caplog.text


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": "1.0", "model": {"type": "Evil"}}', "x" * 100])
def test_a_damaged_tokenizer_is_one_line(content):
    refused("tokenizer", lambda: tokenized(["a"], TextPreprocessing(content, 4, ("input_ids",))))


@pytest.mark.parametrize(
    "fields", [{"length": 0}, {"length": 2**20}, {"inputs": ("attention_mask",)}, {"pad_id": -1}, {"tokenizer": "é"},
               {"inputs": ("input_ids", "attention_mask")}, {"inputs": ("input_ids", "pixels")}]
)  # fmt: skip
def test_fields_that_make_no_sense_are_refused(fields):
    with pytest.raises(DataError, match="text: "):
        msgspec.structs.replace(preprocessing(), **fields)
