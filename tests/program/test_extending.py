"""docs/ops.md followed to the letter in a copy of the project: a function and a neuron are one file and one torch op each, and
whatever they do not state is named where it is asked."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installed import ROOT, copy_of_the_project
from tests.support.pages import follow
from tests.support.targets import installed as targets_installed
from tests.support.targets import needs_chip

FUNCTION = """
import numpy as np, torch
from torch import nn
import ecmt_deploy as ecmt
from docs.generate import fixed_functions, format_vector

assert "softsign" in format_vector.functions()
assert fixed_functions.error("softsign")[0] <= 2**-14
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 9), nn.Softsign(), nn.Linear(9, 3)).eval()
x = torch.randn(8, 6)
for preset in ("accurate", "paper"):
    snn = ecmt.convert(model, x, ecmt.ConvertConfig(preset=preset))
    assert snn.program.nodes["1"].function == "softsign"
    run = ecmt.simulate(snn, x.numpy(), "reference", 8)
    for name in TARGETS:
        assert ecmt.simulate(snn, x.numpy(), name, 8).activity == run.activity, name
    fixed = ecmt.simulate(ecmt.quantize(snn), x.numpy(), "reference", 8, "fixed")
    assert np.abs(fixed.outputs[-1] - run.outputs[-1]).max() < 0.1
    if preset == "accurate":
        assert np.abs(run.outputs[-1] - model(x).detach().numpy()).max() < 0.1
    energy = ecmt.energy(run, "horowitz45")
    (row,) = [row for row in energy.rows if row.node == "1"]
    assert row.components_pj["ecm"].value > 0 and not [key for key in energy.unpriced if "softsign" in key]
assert nn.functional.softsign.__module__.startswith("torch")
print("works in", ecmt.__file__)
"""

NEURON = """
import re
import numpy as np, torch
import ecmt_deploy as ecmt
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConversionError, EcmtError
from ecmt_deploy.program import Provenance, ops, read, verify, write
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.program.ops.lif import LeakyIntegrateAndFire
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.probes import parse_probes

def program(neuron):
    r = np.random.default_rng(0)
    nodes = {
        "input": ops.Input(input_type={"input": np.array([5, 4])}), "encode": ops.LastAxisLinear(r.normal(size=(6, 4))),
        "hold": ops.Hold(), "lif": neuron, "turn": ops.Permute(np.array([1, 0])),
        "head": ops.LastAxisLinear(r.normal(size=(3, 5))),
        "readout": ops.Readout("rate"), "output": ops.Output(output_type={"output": np.array([6, 3])}),
    }
    names = list(nodes)
    return verify(nodes, list(zip(names, names[1:])), Provenance(tool_version="test", ranges=dict.fromkeys(nodes, 4.0)))

made = program(LeakyIntegrateAndFire(0.7, 0.9))
write(made, "lif.nir")
made = read("lif.nir")
x = np.random.default_rng(1).normal(size=(4, 5, 4))
expected = ecmt.simulate(made, x, "reference", 6, probes=["lif:spikes", "lif:membrane"])
found = ecmt.simulate(made, x, "torch", 6)
assert expected.activity["lif"].spikes > 50 and expected.activity["head"].synops == 3 * expected.activity["lif"].spikes
assert expected.activity["head"].macs == 0 and expected.activity["lif"].macs == 0
assert expected.activity.differences(found.activity) == []
np.testing.assert_allclose(found.outputs, expected.outputs, atol=1e-12)
model = SpikingModel(made).double()
model.memory_bytes = 1  # a step and a sample at a time
outputs, pieces = model.count(torch.from_numpy(x), 6)
assert pieces.differences(expected.activity) == []
np.testing.assert_allclose(outputs.numpy(), expected.outputs, atol=1e-12)
assert impossible(made, expected.activity) is None
placed = ecmt.place(made, "loihi1")  # spikes are binary there: a neuron is a neuron
unit = next(unit for unit in placed.units if "lif" in unit.nodes)
assert unit.use["state_memory_bytes"].used > 0
assert not [o for o in placed.obstacles if o.node == "lif"]
energy = ecmt.energy(expected, "loihi1")
row = next(row for row in energy.rows if row.node == "lif")
assert "neuron" in row.components_pj and "neuron_updates_active" not in row.unpriced
said = []
for ask in (lambda: quantize(made), lambda: SpikingModel(made).analog(torch.zeros(1, 5, 4))):
    try:
        ask()
    except EcmtError as error:
        said.append(str(error))
print(*said, sep="\\n")

# what an op does not state is named, with who asks; nothing is guessed
stated = ("role", "fields", "needs_code", "kernel", "spikes_per_element", "message_bits", "range", "infer", "state",
          "work")
for trait in stated:
    body = {k: v for k, v in vars(LeakyIntegrateAndFire).items() if k != trait and not k.startswith("__dataclass")}
    odd = type("Odd", (ops.Op,), {**body, "__annotations__": {}})
    odd.__init__ = LeakyIntegrateAndFire.__init__
    ops.OPS["Odd"] = odd
    try:
        done = program(odd(0.7, 0.9))
        run = ecmt.simulate(done, x, "reference", 2)
        for chip in ("loihi1", "loihi2", "truenorth"):
            ecmt.place(done, chip)
            ecmt.energy(run, chip)
        parse_probes(done, ["lif:state"])
    except EcmtError as error:
        assert re.search(rf"\\S+ asks Odd for its trait {trait} \\(", str(error)), (trait, error)
        assert "\\n" not in str(error)
    else:
        raise AssertionError(f"without {trait} nobody complains")
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    copy_of_the_project(root)
    assert follow(ROOT / "docs" / "ops.md", root) == [
        "ecmt_deploy/program/functions/softsign.py", "ecmt_deploy/engine/functions.py", "ecmt_deploy/program/ops/lif.py",
        "ecmt_deploy/engine/lif.py",
    ]  # fmt: skip
    return root


def run(code: str, root: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


#: the campaigns draw from what is registered: invariants, NumPy against torch, and the stated error in integers
CAMPAIGNS = """
import pytest, sys
files = ["tests/program/test_invariants.py", "tests/quantization/test_fixed.py", "tests/program/test_registry.py"]
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "softsign", *files]))
"""


def test_a_function_is_one_file_and_one_torch_op(extended):
    """And the tests take it as it is: in the same process, which has what they import."""
    others = [name for name in targets_installed() if name != "reference" and not needs_chip(name)]
    said = run(FUNCTION.replace("TARGETS", repr(others)) + CAMPAIGNS, extended)
    assert said.startswith(f"works in {extended / 'ecmt_deploy' / '__init__.py'}\n")
    assert re.search(r"^[1-9]\d* passed, \d+ deselected", said, re.MULTILINE), said


def test_a_neuron_is_one_file_and_one_torch_op(extended):
    integer, analog = run(NEURON, extended).splitlines()
    assert "LeakyIntegrateAndFire has no integer form: its leak needs a format of its own" in integer
    assert "asks LeakyIntegrateAndFire for its trait initial (membrane before the first step)" in analog
