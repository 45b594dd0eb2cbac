"""The table of functions has readers in several places; none lacks an entry, and the recipe for a new one names them all."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ecmt_deploy.errors import ConversionError, TargetError
from ecmt_deploy.program import fixed_rules
from ecmt_deploy.program.functions import FUNCTIONS, Function, number
from ecmt_deploy.quantization import functions as makers
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.target import available, find
from tests.support.functions import lacking, readers
from tests.support.installed import ROOT, copy_of_the_project

#: a step of the recipe: a file, the table in it (or none, for the end of the file), and what is entered there
STEP = re.compile(r"```(?:python|toml)\n# (\S+?)(?:, in (\S+))?\n(.*?)```", re.DOTALL)


def test_no_reader_lacks_a_function():
    assert not lacking(), "; ".join(lacking())


@pytest.mark.parametrize("place", readers())
def test_no_reader_knows_what_is_no_function(place):
    kinds = {"add", "hold", "mean", "product_readout", "readout", "scale"} if "prices" in place else set()
    assert set(readers()[place]) - kinds <= set(FUNCTIONS)


def test_what_is_missing_is_said_place_by_place(monkeypatch):
    monkeypatch.setitem(FUNCTIONS, "ghost", Function("boo", parameters=(number("volume"),)))
    assert lacking() == [f"ghost is missing from {place}" for place in readers()]
    monkeypatch.setitem(fixed_rules.WITHOUT_INTEGER, "ghost", "it has no body")
    assert not any("integer" in line.lower() or "quantization" in line for line in lacking())


@pytest.mark.parametrize("reason", ["it is beyond words", None])
def test_a_function_without_an_integer_form_is_refused_by_name(reason, all_programs, monkeypatch):
    monkeypatch.delitem(makers._MAKERS, "gelu")
    if reason:
        monkeypatch.setitem(fixed_rules.WITHOUT_INTEGER, "gelu", reason)
    with pytest.raises(ConversionError) as caught:
        quantize(all_programs["transformer, accurate"])
    said = str(caught.value)
    assert re.match(r"node \S+: function gelu has no integer form: ", said)
    assert (reason or "nobody has written it") in said
    assert "\n" not in said


# --- the recipe of docs/support.md, followed to the letter in a copy of the project ------------------------------------

TRY = """
import numpy as np, torch
from torch import nn
import ecmt_deploy as ecmt
from tests.support import fixed_functions, format_vector
from tests.support.functions import lacking

assert not lacking(), lacking()
assert "softplus" in format_vector.functions()
assert fixed_functions.error("softplus")[0] <= 2**-14
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 9), nn.Softplus(beta=0.5), nn.Linear(9, 3)).eval()
x = torch.randn(8, 6)
snn = ecmt.convert(model, x)
assert any(getattr(node, "function", "") == "softplus" for node in snn.program.nodes.values())
run = ecmt.simulate(snn, x.numpy(), "reference", 4)
assert np.abs(run.outputs[-1] - model(x).detach().numpy()).max() < 0.1
for name in TARGETS:
    assert ecmt.simulate(snn, x.numpy(), name, 4).activity == run.activity, name
fixed = ecmt.simulate(ecmt.quantize(snn), x.numpy(), "reference", 4, "fixed")
assert np.abs(fixed.outputs[-1] - run.outputs[-1]).max() < 0.05
energy = ecmt.energy(run.activity, snn.program, ecmt.hardware("horowitz45"))
assert not [key for key in energy.unpriced if "softplus" in key]
print("works in", ecmt.__file__)
"""


def recipe() -> list[tuple[str, str | None, str]]:
    text = (ROOT / "docs" / "support.md").read_text()
    return [match.groups() for match in STEP.finditer(text[text.index("## Adding a function") :])]


def follow(root: Path) -> None:
    """Enter what the recipe says where it says."""
    for name, table, entry in recipe():
        path = root / name
        text = path.read_text()
        if table is None:
            text = f"{text.rstrip()}\n\n\n{entry}"
        else:
            (opening,) = re.findall(rf"^{re.escape(table)}\b.*\{{\n|^{re.escape(table)}\n", text, re.MULTILINE)
            text = text.replace(opening, opening + entry)
        path.write_text(text)


def is_installed(target: str) -> bool:
    try:
        return bool(find(target))
    except TargetError:
        return False


def test_the_recipe_for_a_function_works_as_it_stands(tmp_path):
    copy_of_the_project(tmp_path)
    follow(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    others = [name for name in available() if name != "reference" and is_installed(name)]
    code = TRY.replace("TARGETS", repr(others))
    made = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert made.stdout == f"works in {tmp_path / 'ecmt_deploy' / '__init__.py'}\n", made.stderr


def test_every_reader_is_in_the_recipe():
    named = {name for name, _, _ in recipe()}
    text = (ROOT / "docs" / "support.md").read_text()
    for place in readers():
        path = place.rpartition(" in ")[2]
        assert path in named or f"`{path.removeprefix('ecmt_deploy/')}`" in text, place
