"""What a verb does not need is not imported: a person waits for it at every call."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ecmt_deploy.cli.app import app
from ecmt_deploy.data.digits import load

#: modules that are slow to import, by what they are for
MODELS = {"timm", "torchvision", "torch._dynamo"}
TORCH = {"torch", *MODELS}
OTHERS = {"sklearn", "pandas", "av", "transformers"}
PAGES = {"matplotlib", "jinja2"}
SAYS = """
import atexit, sys
from ecmt_deploy.cli import main
atexit.register(lambda: print("imported", *sorted(sys.modules), file=sys.stderr))
sys.argv[0] = "ecmt-deploy"
main()
"""
ONE = ["--data", "digits", "--limit", "1", "--timesteps", "1"]
#: what people call, and what it must do without
CALLS = [
    (["--help"], {*TORCH, *OTHERS, *PAGES, "numpy", "h5py", "nir", "scipy"}),
    (["--version"], {*TORCH, *OTHERS, *PAGES, "numpy", "h5py", "nir", "scipy"}),
    (["hardware"], {*TORCH, *OTHERS, *PAGES, "scipy"}),
    (["hardware", "loihi2"], {*TORCH, *OTHERS, *PAGES, "scipy"}),
    (["inspect", "p.nir", "--hardware", "loihi2"], {*TORCH, *OTHERS, *PAGES, "scipy"}),
    (["energy", "run", "--hardware", "loihi2"], {*TORCH, *OTHERS, *PAGES, "scipy"}),
    (["report", "run", "--hardware", "loihi2", "--out", "report.html"], {*TORCH, *OTHERS}),
    (["merge", "1", "2", "--out", "both"], {*TORCH, *OTHERS, *PAGES}),
    (["quantize", "p.nir", "--out", "q.nir"], {*TORCH, *OTHERS, *PAGES}),
    (["simulate", "p.nir", "--target", "reference", *ONE, "--out", "run-reference"], {*TORCH, *OTHERS, *PAGES}),
    (["simulate", "p.nir", "--target", "torch", *ONE, "--out", "run-torch"], {*MODELS, *OTHERS, *PAGES, "scipy"}),
    (["evaluate", "p.nir", *ONE], {*MODELS, *OTHERS, *PAGES, "scipy"}),
    (["trace", "p.nir", *ONE], {*MODELS, *OTHERS, *PAGES}),
    (["classify", "p.nir", "0.png"], {"sklearn", "pandas", "av", "transformers", *PAGES}),
    (["check", "zoo:vit_digits"], {*OTHERS, *PAGES, "scipy"}),
    (["convert", "zoo:vit_digits", "--data", "digits", "--calibration-samples", "8", "--out", "c.nir"], {*OTHERS, *PAGES}),
    (["sweep", "p.nir", "--hardware", "loihi2", *ONE, "--out", "sweep"], {*MODELS, "sklearn", "pandas", "av", "transformers"}),
]
#: converts a model, or runs one many times
LONG = {"check", "convert", "sweep"}
#: runs all of the others; and one that needs a program of differential coding, and the torch engine by default
EVERYTHING = {"demo", "stream"}


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """What the calls read: a program, a run, shards of one, a picture."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("imports")
    (folder / "p.nir").write_bytes(digits.read_bytes())
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "0.png")
    for arguments in (["--out", "run"], *(["--shard", f"{i}/2", "--out", str(i)] for i in (1, 2))):
        one = ["simulate", "p.nir", "--target", "reference", "--data", "digits", "--limit", "2", "--timesteps", "1", *arguments]
        assert call(one, folder).returncode == 0
    return folder


def call(arguments: list[str], folder) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SAYS, *arguments], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "without"),
    [pytest.param(*each, id=" ".join(each[0][:2]), marks=[pytest.mark.slow] * (each[0][0] in LONG)) for each in CALLS],
)
def test_a_verb_imports_what_it_needs(folder, arguments, without):
    done = call(arguments, folder)
    assert done.returncode == 0, done.stderr
    (imported,) = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("imported ")]
    assert "ecmt_deploy" in imported
    assert without & set(imported) == set()


def test_every_verb_is_asked():
    asked = {arguments[0] for arguments, _ in CALLS} | EVERYTHING
    assert {name for name in app if not name.startswith("-")} == {name for name in asked if not name.startswith("-")}


def test_digits_are_those_of_scikit_learn():
    images, labels = load_digits(return_X_y=True)
    found, said = load()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.reshape(-1, 64), images)
    np.testing.assert_array_equal(said, labels)
