"""Models of text by name: their tokenizers, their lengths, what is hostile in them, and programs that read sentences."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

import ecmt_deploy as ecmt
from ecmt_deploy import models
from ecmt_deploy.data.tokenizing import packed, tokenized
from ecmt_deploy.errors import ModelError
from tests.support.commands import run
from tests.support.sentences import LONGEST, SPECIAL, bert, saved, sentences, tokenizer


@pytest.fixture
def directory(tmp_path):
    return saved(tmp_path / "bert")


def change(path, **fields):
    """Write fields of a JSON file anew; ``None`` takes one out."""
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def refused(expected, path, **options):
    with pytest.raises(ModelError, match=expected) as error:
        models.load(f"hf:{path}", **options)
    assert "\n" not in str(error.value)


def test_a_directory_gives_model_and_tokenizer(directory):
    loaded = models.load(f"hf:{directory}")
    ids = torch.tensor([[2, 9, 10, 3]])
    with torch.no_grad():
        torch.testing.assert_close(loaded.module(ids).logits, bert()(ids).logits, rtol=1e-5, atol=1e-5)
    assert (loaded.text.length, loaded.text.inputs) == (32, ("attention_mask", "input_ids"))
    assert (loaded.text.pad_id, loaded.text.pad_left) == (SPECIAL.index("[PAD]"), False)
    assert (loaded.preprocessing, loaded.n_outputs, loaded.type_ids) == (None, 3, True)
    assert models.load(f"hf:{directory}", preprocessing={"input_size": 7}).text.length == 7


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_features_may_be_pooled_over_the_tokens_that_are_no_padding(tmp_path, pooling):
    path = saved(tmp_path, bert("BertModel"))
    module = models.load(f"hf:{path}", model_args={"pooling": pooling}).module
    ids, mask = torch.tensor([[2, 9, 10, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        tokens = bert("BertModel")(ids[:, :4]).last_hidden_state
        expected = tokens.mean(1) if pooling == "mean" else tokens[:, 0]
        torch.testing.assert_close(module(ids, mask), expected, rtol=1e-4, atol=1e-5)


def test_a_tokenizer_without_padding_pads_with_its_last_token(tmp_path):
    config = transformers.GPT2Config(
        vocab_size=64, n_embd=24, n_head=2, n_layer=1, n_positions=16, bos_token_id=3, eos_token_id=3
    )
    model = transformers.GPT2ForSequenceClassification(config)
    model.save_pretrained(tmp_path)
    made = tokenizer(pair=False)
    made.pad_token, made.eos_token = None, "[SEP]"
    made.save_pretrained(tmp_path)
    loaded = models.load(f"hf:{tmp_path}")
    assert (loaded.text.pad_id, loaded.module.config.pad_token_id) == (3, 3)
    assert (loaded.text.length, loaded.module.config.use_cache) == (16, False)


def test_what_is_of_images_or_does_not_fit_is_refused(directory):
    refused("more than the 32 tokens", directory, preprocessing={"input_size": 33})
    refused("expected one number of tokens", directory, preprocessing={"input_size": [3, 8, 8]})
    refused("--crop-pct is for images", directory, preprocessing={"crop_pct": 0.9})
    refused("pooling=last; expected mean or first", directory, model_args={"pooling": "last"})
    change(directory / "tokenizer_config.json", padding_side="left", model_max_length=10**30)
    assert models.load(f"hf:{directory}").text.pad_left
    made = tokenizer()
    made.add_tokens([f"more{i}" for i in range(9)])
    made.save_pretrained(directory)
    refused("its tokenizer has .* ids, the model", directory)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": "1.0"}', b"\xff", b'{"model": {"type": "Evil"}}'])
def test_damaged_tokenizers_are_one_line(directory, content):
    (directory / "tokenizer.json").write_bytes(content)
    refused("its tokenizer cannot be read", directory)


def test_code_of_a_tokenizer_is_not_run(directory):
    (directory / "evil.py").write_text("raise SystemExit('code of a model was run')")
    change(
        directory / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]}, tokenizer_class="EvilTokenizer"
    )
    try:
        models.load(f"hf:{directory}")  # as transformers reads tokenizer.json for a class that it does not know, or refuses it
    except ModelError as error:
        assert "\n" not in str(error)


def test_a_tokenizer_that_is_missing_is_one_line(directory):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (directory / file).unlink()
    refused("its tokenizer", directory)


# --- programs ------------------------------------------------------------------------------------------------------------


def test_a_program_reads_sentences_with_nothing_but_its_file(directory, tmp_path, capsys, monkeypatch):
    rows = [f"{sentence},{i % 3}" for i, sentence in enumerate(sentences(16, 0))]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "lines.txt").write_text("\n".join(sentences(2, 9)))

    def command(*arguments):
        status, out, err = run(list(arguments), capsys, monkeypatch, tmp_path)
        assert status == 0, err
        return out

    command("convert", f"hf:{directory}", "--data", "text:t.csv", "--out", "p.nir", "--preset", "graded", "--timesteps", "1")
    shutil.rmtree(directory)
    evaluated = json.loads(command("evaluate", "p.nir", "--data", "text:t.csv", "--json"))
    assert evaluated["n_samples"] == 8  # the other half calibrated
    answers = json.loads(command("classify", "p.nir", "the cat sees bread", "lines.txt", "--json"))
    assert [answer["text"] for answer in answers] == ["the cat sees bread", *sentences(2, 9)]
    assert sum(best["probability"] for best in answers[0]["steps"][0]) == pytest.approx(1)
    simulated = ["--data", "text:t.csv", "--limit", "1", "--target", "reference", "--out", "run"]
    command("simulate", "p.nir", *simulated)
    command("energy", "run", "--hardware", "horowitz45")  # reads the run, and checks it
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())["provenance"]["text"]
    assert (recorded["tokenizer"], recorded["length"]) == ("", ecmt.read(tmp_path / "p.nir").provenance.text.length)
    status, _, err = run(["evaluate", "p.nir", "--data", "text:lines.txt"], capsys, monkeypatch, tmp_path)
    assert (status, err.count("\n")) == (2, 1)
    assert "no labels" in err


def test_samples_of_a_program_are_the_tokens_of_its_tokenizer(directory):
    loaded = models.load(f"hf:{directory}", preprocessing={"input_size": LONGEST})
    spiking = ecmt.convert(loaded.module, tokenized(sentences(12, 0), loaded.text), ecmt.ConvertConfig("graded", timesteps=1))
    arrays = tokenized(sentences(5, 4), loaded.text)
    samples = packed(sentences(5, 4), loaded.text)
    np.testing.assert_array_equal(samples, spiking.program.inputs.pack(arrays))
    with torch.no_grad():
        expected = loaded.module(**{name: torch.from_numpy(array) for name, array in arrays.items()}).logits
    torch.testing.assert_close(spiking.analog(torch.from_numpy(samples)), expected, rtol=1e-4, atol=1e-4)
