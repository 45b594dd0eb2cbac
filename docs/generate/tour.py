"""docs/tour.md: what five users type, and what they are shown, as it is.

    python -m docs.generate.tour

Runs every command in a new folder, at 80 columns. A command that fails, or prints more than a screen, ends
it, and the document stays as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from docs.generate.documents import block, put
from ecmt_deploy.models import zoo

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "tour.md"
#: lines of a screen, and its columns
SCREEN, COLUMNS = 40, 80
#: what is in the folder before the first command: somebody's checkpoint, and the examples that are run
_GIVEN = {"mine.safetensors": zoo.weights_path("zoo:vit_digits"), **{p.name: p for p in (ROOT / "examples").glob("*.py")}}
#: how the architecture of the checkpoint is said
_SHAPE = " ".join(f"--model-arg {key}={value}" for key, value in zoo.card("zoo:vit_digits").model_args.items())
_OWN = "--mean 0.305379 --std 0.376246"
#: runs cells of a notebook one after the other, and shows the value of each cell's last line: as text, and as the card, if any
_CELLS = """
import ast, sys
held = {}
for cell in sys.stdin.read().split("\\x1e"):
    lines = ast.parse(cell).body
    last = lines.pop() if isinstance(lines[-1], ast.Expr) else None
    exec(compile(ast.Module(lines, []), "cell", "exec"), held)
    value = None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), held)
    card = value._repr_html_() if hasattr(value, "_repr_html_") and type(value).__module__.startswith("ecmt_deploy.") else ""
    print("" if value is None else repr(value), f"\\x1d{card}" if card else "", sep="", end="\\n\\x1e\\n", flush=True)
"""

#: by user, what is typed: commands of a shell, of the last the cells of a notebook
USERS: Mapping[str, tuple[str, ...]] = {
    "researcher": (
        f"ecmt-deploy check vit_tiny_patch16_224 {_SHAPE} --hardware loihi2",
        f"ecmt-deploy convert vit_tiny_patch16_224 --weights mine.safetensors {_SHAPE} {_OWN} --data digits --out mine.nir",
        "ecmt-deploy evaluate mine.nir --data digits --out eval.json",
        "ecmt-deploy simulate mine.nir --target torch --data digits --limit 32 --out run",
        "ecmt-deploy report run --evaluation eval.json --out report.html",
    ),
    "engineer": (
        "ecmt-deploy convert zoo:vit_digits --data digits --preset graded --out p.nir",
        "ecmt-deploy simulate p.nir --target torch --data digits --limit 32 --out chips",
        "ecmt-deploy energy chips --hardware loihi2 seneca horowitz45",
        "ecmt-deploy inspect p.nir --hardware loihi2",
        "ecmt-deploy hardware --template > mychip.toml",
        "ecmt-deploy energy chips --hardware loihi2 ./mychip.toml",
    ),
    "lava": (
        "ecmt-deploy simulate p.nir --target lava --data digits --limit 2 --out lava"
        " --probe blocks.0.mlp.fc1.neuron --probe blocks.0.mlp.fc1.neuron:membrane",
        'python -c "from pathlib import Path; from ecmt_deploy.runs.directory import load_run; '
        "[print(probe, series.shape, series[0, :, 0]) for probe, series in load_run(Path('lava')).probes().items()]\"",
        "python lava_attention.py",
    ),
    "nir": (
        "ecmt-deploy inspect p.nir --graph p.svg",
        "head -c 130 p.svg",
        "python reader.py p.nir | tail -n 8",
        "python -c \"import nir; nir.read('p.nir')\" 2>&1 | tail -n 3",
        'python -c "import nir, numpy as np; one = np.ones(3);'
        " nir.write('lif.nir', nir.NIRGraph.from_list(nir.Affine(np.eye(3), one), nir.LIF(one, one, one, one)))\"",
        "ecmt-deploy simulate lif.nir --target torch --data digits --out lif; echo exit $?",
    ),
    "notebook": (
        'import ecmt_deploy as ecmt\n\nsnn = ecmt.load("p.nir")\nsnn',
        'run = ecmt.simulate(snn, "digits", "torch", limit=32)\nrun',
        'run.to_frame()[["spikes", "synops", "dense_macs"]].nlargest(5, "synops")',
        'energy = run.energy("loihi2")\nenergy',
        'energy.to_frame().nlargest(5, "priced_pj")[["low_pj", "priced_pj", "high_pj"]].astype(int)',
        "print(ecmt.summary(snn))",
        'ecmt.hardware("loihi2")',
    ),
}


def typed(user: str) -> list[str]:
    """What the document says a user types."""
    if user == "notebook":
        return list(USERS[user])
    return [f"$ {command}" for command in USERS[user]]


def shown(user: str, folder: Path) -> Iterator[tuple[str, str]]:
    """What a user types, and what that prints.

    Raises
    ------
    RuntimeError
        if it fails, or prints more than a screen.
    """
    environment = os.environ | {
        "COLUMNS": str(COLUMNS), "TERM": "dumb", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    if user == "notebook":
        cells = "\x1e".join(USERS[user])
        parts = _run([sys.executable, "-c", _CELLS], folder, environment, cells).split("\n\x1e\n")[:-1]
    else:
        parts = [_run(["bash", "-c", command], folder, environment) for command in USERS[user]]
    for command, printed in zip(typed(user), parts, strict=True):
        if len(printed.splitlines()) > SCREEN:
            raise RuntimeError(f"{command}: prints {len(printed.splitlines())} lines, more than a screen of {SCREEN}")
        yield command, printed


def _run(arguments: list[str], folder: Path, environment: Mapping[str, str], text: str = "") -> str:
    """Output and error output of a command, as a terminal shows them."""
    done = subprocess.run(
        arguments, cwd=folder, env=environment, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[-1]}: exits with {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def transcripts() -> dict[str, list[str]]:
    """The block of every user. Errors as of :func:`shown`."""
    with TemporaryDirectory() as directory:
        for name, source in _GIVEN.items():
            shutil.copyfile(source, Path(directory) / name)
        return {user: transcript(user, Path(directory)) for user in USERS}


def transcript(user: str, folder: Path) -> list[str]:
    """The lines of one user's block: what is typed, and under it what it prints."""
    lines: list[str] = []
    for command, printed in shown(user, folder):
        text, _, card = printed.partition("\x1d")
        kept = [line.rstrip() for line in text.splitlines()]
        if user == "notebook":
            lines += ["```python", *command.splitlines(), "```", "", "```text", *kept, "```", "", *([card, ""] if card else [])]
        else:
            lines += ["```console", command, *kept, "```", ""]
    return lines[:-1]


def commands(user: str) -> list[str]:
    """What the document says that a user types."""
    lines = block(DOCUMENT, user)
    begin = "```python" if user == "notebook" else "```console"
    found = []
    for i, line in enumerate(lines):
        if line == begin:
            end = lines.index("```", i) if user == "notebook" else i + 2
            found.append("\n".join(lines[i + 1 : end]))
    return found


def main() -> None:
    """Run all, then write all."""
    for user, lines in transcripts().items():
        put(DOCUMENT, user, lines)


if __name__ == "__main__":
    main()
