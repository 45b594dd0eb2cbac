"""``check``: whether a model converts and which chips would take it, without data; and its exit status."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

import ecmt_deploy as ecmt
from ecmt_deploy.cli import main
from ecmt_deploy.errors import ConfigError, DataError, HardwareError, ModelError
from ecmt_deploy.placement import place
from ecmt_deploy.testing.transformer import TinyTransformer
from tests.support import sentences

CHIPS = ("loihi2", "odin", "seneca", "horowitz45")


class Strange(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(6, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.erfinv(self.inner(x)))


@pytest.fixture(scope="module")
def found():
    return ecmt.check(TinyTransformer(), (2, 4, 4), CHIPS)


def test_what_is_counted_is_what_the_program_has(found, all_programs):
    program, counted = all_programs["transformer, accurate"], found.model
    assert found.converts
    assert counted.reason is None
    assert counted.refused == ()
    assert counted.parameters == sum(p.numel() for p in TinyTransformer().parameters())
    assert counted.macs == sum(program.work(name).dense_macs for name in program.nodes)
    assert counted.encoding_macs == sum(program.work(name).dense_macs for name in program.encoding)
    assert counted.neurons == sum(int(np.prod(program.shapes[name])) for name in program.neurons)
    assert counted.neuron_layers == len(program.neurons)
    words = sum(int(np.prod(shape)) for name in program.nodes for shape in program.state(name).values())
    assert {needs.preset: needs.state_bytes for needs in counted.presets}["accurate"] == 4 * words


def test_every_preset_says_what_its_spikes_are(found):
    of = {needs.preset: needs for needs in found.model.presets}
    assert set(of) == {"accurate", "graded", "paper"}
    assert (of["accurate"].coding, of["accurate"].spikes_per_element, of["accurate"].spike_bits) == ("differential", 4, 5)
    assert (of["graded"].spikes_per_element, of["graded"].spike_bits) == (1, 16)
    assert of["paper"].coding == "rate"
    assert all(needs.refused is None for needs in of.values())


def test_chips_are_told_apart_by_what_they_can_do(found):
    of = {chip.hardware: chip for chip in found.chips}
    assert list(of) == list(CHIPS)
    assert of["loihi2"].takes
    assert of["loihi2"].preset == "graded"
    assert of["loihi2"].unshown
    assert of["odin"].takes is False
    assert any("programmable_neurons missing" in sentence for sentence in of["odin"].why)
    assert of["odin"].cores is None
    assert of["horowitz45"].takes is None
    assert found.takers == ("loihi2", "seneca")


def test_a_measured_program_takes_no_more_cores(found, all_programs):
    of = {chip.hardware: chip for chip in found.chips}
    for name in ("transformer, graded", "transformer, accurate"):
        assert place(all_programs[name], "loihi2").cores <= of["loihi2"].cores


def test_a_chip_that_is_too_small_says_so():
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 4096), nn.Linear(4096, 2)

        def forward(self, x):
            return self.second(torch.relu(self.first(x)))

    (chip,) = ecmt.check(Wide().eval(), [8], "reckon").chips
    assert chip.takes is False
    assert chip.why


def test_what_does_not_convert_is_listed_with_its_line():
    found = ecmt.check(Strange().eval(), np.zeros((3, 6)), "loihi2")
    assert not found.converts
    assert found.chips == ()
    (one,) = found.model.refused
    assert one.operation == "erfinv"
    assert one.place.startswith(f"{__file__}, line ")


def test_what_cannot_be_captured_is_a_finding_too():
    class Deciding(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    found = ecmt.check(Deciding().eval(), (4,))
    assert not found.converts
    assert found.model.refused == ()
    assert "decides by the values" in found.model.reason


def test_a_model_of_text_is_checked_on_sentences_of_the_length_that_was_asked_for(tmp_path):
    """Inputs by name; what a module is given by hand, or sentences of a file, count as those of a model by name."""
    name = f"hf:{sentences.saved(tmp_path / 'model')}"
    asked = ecmt.check(name, hardware="seneca", input_size=6)
    assert asked.converts
    assert asked.model.inputs == "attention_mask 6, input_ids 6"
    assert asked.model.operations["embedding"] == 1
    ids = np.array([[2, 5, 6, 3, 0, 0], [2, 5, 6, 7, 8, 3]])
    by_hand = ecmt.check(sentences.bert(), {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}, "seneca")
    assert (by_hand.model.macs, by_hand.model.neurons) == (asked.model.macs, asked.model.neurons)
    assert by_hand.takers == asked.takers == ("seneca",)
    assert ecmt.check(name, hardware="seneca").model.inputs == "attention_mask 32, input_ids 32"  # all positions it has
    (tmp_path / "lines.txt").write_text("the dog\nthe dog sees\n")
    read = ecmt.check(name, hardware="seneca", data=f"text:{tmp_path / 'lines.txt'}")
    assert read.model.inputs == "attention_mask 5, input_ids 5"
    assert read.data.splits[0].samples == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((TinyTransformer(),), ConfigError, "pass the shape of a sample"),
        ((TinyTransformer(), (2, 0, 4)), DataError, "no shape of a sample"),
        ((TinyTransformer(), (3, 4, 4)), DataError, "does not run on"),
        ((TinyTransformer(), np.zeros(4)), DataError, r"expected \(N"),
        ((TinyTransformer(), (2, 4, 4), "loihi9"), HardwareError, "unknown chip"),
        (("zoo:vit_digits", (1, 8, 8)), ConfigError, "knows the shape"),
        (("no_such_model",), ModelError, "no such model"),
        ((3, (4,)), ModelError, "not a module"),
    ],
)
def test_what_cannot_be_checked_is_an_error(arguments, error, message):
    with pytest.raises(error, match=message):
        ecmt.check(*arguments)


def command(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["ecmt-deploy", "check", *words])
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().out


SMALL = ["img_size=16", "patch_size=8", "embed_dim=8", "depth=1", "num_heads=2", "num_classes=3"]


def test_the_answer_comes_first_and_fits_on_one_screen(monkeypatch, capsys):
    status, out = command(monkeypatch, capsys, "vit_tiny_patch16_224", "--model-arg", *SMALL)
    assert status == 0
    assert out.startswith("vit_tiny_patch16_224 converts (random weights: nothing was fetched")
    assert len(out.splitlines()) <= 32


def test_exit_status_one_says_that_something_does_not_do(monkeypatch, capsys):
    status, out = command(monkeypatch, capsys, "zoo:vit_digits", "--hardware", "odin", "--json")
    found = json.loads(out)
    assert status == 1
    assert found["converts"]
    assert [chip["takes"] for chip in found["check"]["chips"]] == [False]


def test_a_model_that_does_not_convert(monkeypatch, capsys):
    monkeypatch.setattr(ecmt, "check", lambda *_, **__: CHECKED)
    status, out = command(monkeypatch, capsys, "some")
    assert status == 1
    assert out.startswith("Strange does not convert: 1 operation cannot be converted\nerfinv in the model itself: is not")


CHECKED = ecmt.check(Strange().eval(), (6,), "loihi2")
