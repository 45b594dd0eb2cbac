"""A preset is one file: it is found by its name, and everything takes its programs without another edit."""

import os
import re
import subprocess
import sys

import pytest
import torch

import ecmt_deploy as ecmt
from ecmt_deploy.config import Preset, find_preset, preset_names
from ecmt_deploy.conversion.converter import convert
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.testing.handmade import images
from ecmt_deploy.testing.transformer import TinyTransformer
from tests.support.installed import ROOT, copy_of_the_project

#: the file of docs/presets.md
PEAK = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "presets.md").read_text(), re.DOTALL)[1]
ENTRY = "[ecmt_deploy.presets]\npeak = my_peak:Peak\n"
#: by name: options and refusals, without torch
FOUND = """
import sys
import ecmt_deploy as ecmt
from ecmt_deploy.config import preset_names
assert preset_names() == ["accurate", "graded", "paper", "peak"], preset_names()
config = ecmt.ConvertConfig(preset="peak", headroom=1.2)
for wrong in ({"headroom": 0.0}, {"budget": 1.0}, {"levels": 0}):
    try:
        ecmt.ConvertConfig(preset="peak", **wrong)
    except ecmt.EcmtError as error:
        print(error)
try:
    ecmt.ConvertConfig(headroom=1.2)
except ecmt.EcmtError as error:
    print(error)
assert "torch" not in sys.modules
"""
#: then convert, save, load, evaluate and simulate
USED = """
from pathlib import Path
import numpy as np
import torch
from ecmt_deploy import convert
from ecmt_deploy.evaluation.samples import evaluation_data
made = convert("zoo:vit_digits", "digits", config, calibration_samples=8, out=Path("p.nir"))
loaded = ecmt.load("p.nir")
kept = loaded.program.provenance.config
assert kept == {"preset": "peak", "timesteps": 4, "levels": None, "budget": None, "mlp_bases": None, "headroom": 1.2}, kept
x, labels = evaluation_data(loaded.program, "digits", 32).arrays()
assert torch.equal(made(torch.from_numpy(x)), loaded(torch.from_numpy(x)))
assert ecmt.evaluate(loaded, [(x, labels)]).accuracy[-1] > 0.8
runs = [ecmt.simulate(loaded, x[:4], target) for target in ("reference", "torch")]
assert runs[0].activity == runs[1].activity
np.testing.assert_allclose(runs[0].outputs, runs[1].outputs, rtol=1e-3, atol=1e-3)
"""
SAID = [
    "headroom is 0.0; choose a positive factor, for example 1.5",
    "preset peak has no budget; choose preset accurate or graded, or leave it out",
    "levels is 0; choose 1 to 32",
    "preset accurate has no headroom; choose preset peak, or leave it out",
]


def outside(folder, module=PEAK, entry=ENTRY):
    """A package that adds a preset."""
    (folder / "my_peak.py").write_text(module)
    (folder / "my_peak-1.0.dist-info").mkdir()
    (folder / "my_peak-1.0.dist-info" / "METADATA").write_text("Name: my-peak\nVersion: 1.0\n")
    (folder / "my_peak-1.0.dist-info" / "entry_points.txt").write_text(entry)


@pytest.mark.parametrize("where", ["in the folder", "in a package of its own"])
def test_a_third_preset_is_one_file(where, tmp_path):
    if where == "in the folder":
        copy_of_the_project(tmp_path)
        (tmp_path / "ecmt_deploy" / "conversion" / "calibration" / "peak.py").write_text(PEAK)
        code = FOUND + USED
    else:
        outside(tmp_path)
        code = FOUND
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    made = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == SAID


def test_a_preset_of_a_package_converts_and_its_programs_are_read(tmp_path, monkeypatch):
    outside(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_peak", raising=False)
    made = convert(TinyTransformer(), torch.from_numpy(images(16, seed=1)), ecmt.ConvertConfig("peak", headroom=1.2))
    made.save(tmp_path / "p.nir")
    loaded, x = ecmt.load(tmp_path / "p.nir"), images(4)
    assert loaded.program.provenance.config["headroom"] == 1.2
    assert torch.equal(made(torch.from_numpy(x)), loaded(torch.from_numpy(x)))
    assert ecmt.simulate(loaded, x, "reference").activity == ecmt.simulate(loaded, x, "torch").activity


def test_a_third_preset_is_known_on_the_command_line(tmp_path):
    outside(tmp_path)
    line = [sys.executable, "-m", "ecmt_deploy", "convert", "zoo:vit_digits", "--data", "digits", "--out", "p.nir"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    line += ["--preset", "peak", "--budget", "1"]
    made = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert made.returncode == 2
    assert "preset peak has no budget; choose preset accurate or graded, or leave it out" in made.stderr


def test_every_preset_loads_without_torch():
    code = "import sys; from ecmt_deploy.config import ConvertConfig, preset_names; [ConvertConfig(p) for p in preset_names()]"
    code += "; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_made_by_name_is_one_of_its_class(name):
    config = ecmt.ConvertConfig(name, timesteps=3, budget=None, mlp_bases=None)
    assert config == find_preset(name)(timesteps=3)
    assert isinstance(config, Preset)
    assert list(config.record())[:5] == ["preset", "timesteps", "levels", "budget", "mlp_bases"]
    with pytest.raises(AttributeError, match="immutable"):
        config.timesteps = 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "fast"}, "preset is 'fast'; choose one of accurate, graded, paper"),
        ({"preset": None}, "preset is None; choose one of accurate, graded, paper"),
        ({"preset": "tools"}, "preset is 'tools'; choose one of accurate, graded, paper"),
        ({"budget": 1.0, "preset": "paper"}, "preset paper has no budget; choose preset accurate or graded, or leave it out"),
        ({"bugdet": 1.0}, "preset accurate has no bugdet; it has timesteps, levels, budget"),
    ],
)
def test_a_wrong_name_or_option_is_refused(options, words):
    with pytest.raises(ConfigError, match=f"^{re.escape(words)}$"):
        ecmt.ConvertConfig(**options)


@pytest.mark.parametrize(
    ("module", "entry", "words"),
    [
        (PEAK, "my_peak:Flat", "preset peak is registered as my_peak:Flat, which cannot be imported: module 'my_peak' has no"),
        ("import nowhere", "my_peak:Peak", "my_peak:Peak, which cannot be imported: No module named 'nowhere'"),
        (PEAK, "my_peak:np", "my_peak:np; expected a subclass of Preset whose name is 'peak'"),
        (PEAK.replace('"peak"', '"flat"'), "my_peak:Peak", "my_peak:Peak; expected a subclass of Preset whose name is 'peak'"),
    ],
)
def test_a_package_that_registers_something_else_is_named(module, entry, words, tmp_path, monkeypatch):
    outside(tmp_path, module, f"[ecmt_deploy.presets]\npeak = {entry}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_peak", raising=False)
    with pytest.raises(ConfigError, match=re.escape(words)):
        ecmt.ConvertConfig("peak")
    assert ecmt.ConvertConfig("paper").name == "paper", "the others are not concerned"


def test_a_name_that_is_taken_is_refused(tmp_path, monkeypatch):
    outside(tmp_path, entry="[ecmt_deploy.presets]\npaper = my_peak:Peak\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"preset paper is registered as .*paper:PRESET and as my_peak:Peak; uninstall"):
        ecmt.ConvertConfig("paper")
