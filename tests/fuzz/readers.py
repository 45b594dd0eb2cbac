"""Reading what was damaged as the project does, and using what was taken: a program runs, a chip prices, a run is reported."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np


def read_program(case: Path, corpus: Path) -> None:
    """A program: read, placed, and run for one step on the reference."""
    from ecmt_deploy.program import read
    from ecmt_deploy.report import tables
    from ecmt_deploy.simulation.run import simulate

    program = read(case / "p.nir")
    tables.program(program, None)
    tables.provenance(program)
    if prod(program.input_shape) < 1 << 20:
        x = np.random.default_rng(0).normal(size=(1, *program.input_shape))
        simulate(program, x, "reference", 1, "fixed" if program.integer else "float")


def read_run(case: Path, corpus: Path) -> None:
    """A run: its outputs, and all that a report is made of."""
    from ecmt_deploy.report.collect import report_on
    from ecmt_deploy.runs.directory import load_run

    load_run(case).outputs()
    report_on(case, ["loihi2"], trace=case / "trace.json")


def read_parts(case: Path, corpus: Path) -> None:
    """Parts of an evaluation: added."""
    from ecmt_deploy.runs.merge import merge

    merge([case], case / "merged.json")


def read_sweep(case: Path, corpus: Path) -> None:
    """A sweep that goes on: which of its runs are there, and comparing them."""
    from ecmt_deploy.report.collect import compare_runs
    from ecmt_deploy.runs.sweep import Sweep, plan

    data = "npz:data.npz"  # the worker is in the corpus
    planned = plan(Sweep([corpus / "program.nir"], ["loihi2"], [1, 2], case, data, target="reference"))
    made = [run.path for run in planned if run.made]
    if made:
        compare_runs(made, ["loihi2"])


def read_chip(case: Path, corpus: Path) -> None:
    """A chip: shown, and a run priced on it."""
    from ecmt_deploy import energy
    from ecmt_deploy.chips import hardware
    from ecmt_deploy.report import tables

    tables.chip(hardware(str(case / "chip.toml")))
    energy(corpus / "run", [str(case / "chip.toml")])


def read_npz(case: Path, corpus: Path) -> None:
    """Samples and labels."""
    _arrays(f"npz:{case / 'a.npz'}", (2, 4, 4))


def read_idx(case: Path, corpus: Path) -> None:
    """Images and labels in MNIST's format."""
    _arrays(f"idx:{case}", (1, 6, 6))


def _arrays(spec: str, shape: tuple[int, int, int]) -> None:
    from ecmt_deploy import data
    from ecmt_deploy.program.preprocessing import Preprocessing

    channels = (0.5,) * shape[0]
    taken = Preprocessing(shape, channels, channels)
    for split in ("train", "test"):
        data.open(spec, preprocessing=taken, split=split, n_classes=10).arrays()  # type: ignore[arg-type]


def read_images(case: Path, corpus: Path) -> None:
    """Pictures."""
    from ecmt_deploy.data import load_images
    from ecmt_deploy.program.preprocessing import Preprocessing

    load_images(list(case.iterdir()), Preprocessing((3, 16, 16), (0.5,) * 3, (0.5,) * 3))


def read_weights(case: Path, corpus: Path) -> None:
    """Weights, fitted to their model."""
    from torch import nn

    from ecmt_deploy.models.weights import choose, collections_in, fit, misfits

    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    for path in case.iterdir():
        fit(module, choose(path, collections_in(path), None, misfits(module, None)), None, str(path))


#: by format: what reads it, and whether that needs torch
READERS: dict[str, tuple[Callable[[Path, Path], None], bool]] = {
    "program": (read_program, False),
    "run": (read_run, False),
    "parts": (read_parts, False),
    "chip": (read_chip, False),
    "npz": (read_npz, False),
    "idx": (read_idx, False),
    "sweep": (read_sweep, True),
    "images": (read_images, True),
    "weights": (read_weights, True),
}


def groups() -> list[list[str]]:
    """Formats that one process reads: those without torch, which it would make slow, and the others."""
    ordered = sorted(READERS, key=lambda name: READERS[name][1])
    return [list(names) for _, names in itertools.groupby(ordered, key=lambda name: READERS[name][1])]
