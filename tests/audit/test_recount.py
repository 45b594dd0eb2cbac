"""The audit: every count of a run, recounted from the program's file by a reader and arithmetic of its own."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from ecmt_deploy import convert
from ecmt_deploy import program as programs
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.quantization import quantize
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.testing.cases import CASES, case
from tests.support import trained
from tests.support.recount import File, differences, read, recount, total

#: steps for each preset; a graded event says it all at once, and corrects it in more
STEPS = {"paper": 4, "accurate": 4, "graded": 2}
SAMPLES = 3


def counted(program, x, timesteps):
    """The activity of the reference."""
    return simulate(program, x, "reference", timesteps, precision="fixed" if program.integer else "float").activity


def disagreement(program, path: Path, x, timesteps) -> list[str]:
    """In what the reference and the recount of the file differ, over all steps and at every step."""
    programs.write(program, path)
    activity, steps = counted(program, x, timesteps), recount(read(path), x, timesteps)
    found = differences(activity, total(steps))
    for t, (theirs, mine) in enumerate(zip(activity.steps, steps, strict=True), 1):
        found += [f"t = {t}: {line}" for line in differences(theirs, mine)]
    return found


def test_nothing_of_the_product_is_imported():
    """In a process of its own, the recount brings nothing of what executes programs, nor nir and torch."""
    code = (
        "import sys, tests.support.recount\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('ecmt_deploy', 'targets', 'nir', 'torch', 'lava')])"
    )
    root = Path(__file__).parents[2]
    shown = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("preset", STEPS)
def test_every_count_of_the_bundled_model(preset, tmp_path):
    program = programs.read(trained.program_file(preset))
    assert disagreement(program, tmp_path / "p.nir", trained.samples(SAMPLES), STEPS[preset]) == []


@pytest.mark.parametrize("preset", STEPS)
def test_every_count_of_the_bundled_model_in_integers(preset, tmp_path):
    program = quantize(programs.read(trained.program_file(preset)), None, STEPS[preset])
    assert disagreement(program, tmp_path / "p.nir", trained.samples(SAMPLES), STEPS[preset]) == []


#: convolutions, wiring, every function in floating point, both codings, masks; integers whose sums saturate. Of integers the
#: recount knows no masks, and of the functions those of the bundled model; number 22 divides by zero
DRAWN = tuple(
    name for name in CASES if name.startswith(("every node", "random ")) and "integer" not in name and name != "random 22"
)
INTEGERS = ("random integer 0", "random integer 7")


@pytest.mark.parametrize("name", [*DRAWN[:32], *INTEGERS])
def test_every_count_of_drawn_programs(name, tmp_path):
    drawn = case(name)
    assert disagreement(drawn.program, tmp_path / "p.nir", drawn.inputs, drawn.timesteps) == []


def convolutional() -> nn.Module:
    """Convolutions with padding, stride and groups, whose true taps differ from place to place."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(8, 4, (1, 3), dilation=(1, 2), padding=(0, 2)), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5),
    )  # fmt: skip


@pytest.mark.parametrize("preset", STEPS)
def test_every_count_of_a_convolutional_program(preset, tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 2, 8, 8)).astype(np.float32)
    made = convert(convolutional().eval(), x, ConvertConfig(preset=preset))
    program = made.program
    assert sum(program.nodes[name].layer == "convolution" for name in program.nodes) == 3
    assert disagreement(program, tmp_path / "p.nir", x[:SAMPLES], STEPS[preset]) == []
    assert disagreement(quantize(program, None, STEPS[preset]), tmp_path / "q.nir", x[:SAMPLES], STEPS[preset]) == []


def test_every_kind_of_count_is_met(tmp_path):
    """What is zero everywhere would be no test."""
    met: Counter[str] = Counter()
    for name in ("every node, rate", "every node, differential", *INTEGERS):
        drawn = case(name)
        programs.write(drawn.program, tmp_path / "p.nir")
        for counts in total(recount(read(tmp_path / "p.nir"), drawn.inputs, drawn.timesteps)).values():
            met += counts
    expected = {
        "spikes", "synops", "macs", "dense_macs", "neuron_updates_active", "neuron_updates_idle", "messages",
        "analog_messages", "saturations",
    }  # fmt: skip
    assert expected <= set(met)
    assert len([name for name in met if name.startswith("ecm_ops.")]) > 10


def test_a_recount_of_another_program_differs(tmp_path):
    """One base of one neuron changed in the file, and its neuron and what follows are told apart."""
    drawn, path = case("random 4"), tmp_path / "p.nir"
    programs.write(drawn.program, path)
    neuron = next(name for name in drawn.program.nodes if name in drawn.program.neurons)
    with h5py.File(path, "r+") as file:
        group = file["node/nodes"][neuron]
        base = group["positive_base" if "positive_base" in group else "base"]
        base[...] = base[()] * 3
    found = differences(
        counted(drawn.program, drawn.inputs, drawn.timesteps), total(recount(read(path), drawn.inputs, drawn.timesteps))
    )
    assert any(line.startswith(f"{neuron}: spikes") for line in found)


def test_the_reader_says_what_the_product_says(tmp_path):
    """Spiking streams and encoding layers, each found twice."""
    for name in ("every node, rate", "every node, differential", "random 11"):
        program = case(name).program
        programs.write(program, tmp_path / "p.nir")
        file: File = read(tmp_path / "p.nir")
        assert set(file.spiking) == set(program.spiking)
        assert set(file.encoding) == set(program.encoding)


def test_steps_of_a_neuron_by_hand():
    """The recount's own arithmetic: one level 0.5 that fires at 0.37, inputs 1, 0, 0."""
    from tests.support.recount.floats import Floats
    from tests.support.recount.reading import Node

    fields = {
        "positive_base": np.array(0.5), "negative_base": np.array(0.5), "levels": np.array(1), "rule": "nearest",
        "fraction": np.array(0.74), "lowest_level": np.array(0), "initial_membrane": np.array(0.0),
    }  # fmt: skip
    engine, node = Floats(), Node("MultiThreshold", fields, ("x",))
    sent = [float(engine.emit("n", node, t, [np.array([x])])[0]) for t, x in enumerate((1.0, 0.0, 0.0), 1)]
    assert sent == [0.5, 0.5, 0.0]
