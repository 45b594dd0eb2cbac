"""The paper's own table: accuracy, events and energy of EVA-g and ViT-S, B and L on ImageNet, T = 1 to 8, for every preset.

    python -m benchmarks.imagenet --data folder:IMAGENET --device cuda --out imagenet/
    torchrun --nproc-per-node 8 -m benchmarks.imagenet --data folder:IMAGENET --device cuda --out imagenet/

Needed: ImageNet in train/ and val/, a folder a class (calibration draws from the former), the pretrained weights, which timm
fetches once, and a GPU: EVA-g has a billion parameters. Each model is converted once a preset and run for
the most steps asked for; the row of T has the readout and the events of its first T steps. What is done stays in ``--out``: an
interrupted run resumes, and torchrun divides every evaluation. Results: ``table.md``, ``table.tex`` and ``table.json``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import ecmt_deploy as ecmt
from ecmt_deploy.errors import EcmtError, ElsewhereError
from ecmt_deploy.estimation.paper import papers_pj
from ecmt_deploy.evaluation.jobs import EvaluateJob, evaluate_file
from ecmt_deploy.evaluation.score import Evaluation
from ecmt_deploy.evaluation.torchrun import process_group, refuse, this_process
from ecmt_deploy.files import read_json, write_atomically
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity, summed
from ecmt_deploy.report import units
from ecmt_deploy.report.papers import latex, markdown, papers
from ecmt_deploy.report.tables.plain import PlainTable

#: the paper's models, as timm has them
MODELS = (
    "eva_giant_patch14_224.clip_ft_in1k", "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "vit_base_patch16_224.augreg_in21k_ft_in1k", "vit_large_patch16_224.augreg_in21k_ft_in1k",
)  # fmt: skip
PRESETS = ("paper", "accurate", "graded")


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model by one preset after T steps.

    Attributes
    ----------
    accuracy, analog_accuracy : shares of the samples right, of the spiking program and of the network
    events_per_mac : encoding layers left out; ``None`` without MACs
    energy_ratio : view (a), the papers': over the network's MACs at 4.6 pJ
    seconds_per_sample : of an evaluation of all steps, summed over processes; ``None`` where nothing was left to compute
    """

    model: str
    preset: str
    timesteps: int
    samples: int
    accuracy: float
    analog_accuracy: float | None
    events_per_mac: float | None
    energy_ratio: float | None
    seconds_per_sample: float | None


def rows_of(model: str, preset: str, found: Evaluation, program: Program, seconds: float | None) -> list[Row]:
    """A row for every number of steps, from one evaluation of the most."""
    rows = []
    for t, right in enumerate(found.accuracy, start=1):
        activity = Activity(found.n_samples, t, summed(found.activity.steps[:t]))
        spiking, ann = papers_pj(activity, program)
        events = activity.events_per_mac(program.encoding)
        ratio = spiking / ann if ann else None
        rows.append(Row(model, preset, t, found.n_samples, right, found.analog_accuracy, events, ratio, seconds))
    return rows


def table(rows: Sequence[Row]) -> PlainTable:
    """All rows, a section for each model and preset; ``?`` is unknown."""
    made = PlainTable(
        "ImageNet, accuracy with its 95 % interval, events per MAC and energy in the papers' estimate", "model", "preset", "T",
        "accuracy %", "network %", "events/MAC", "energy ratio", "s/sample",
        caption="energy ratio: 0.9 pJ an event, 4.6 pJ a graded one or a MAC, over 4.6 pJ a MAC of the network, encoding "
        "layers left out   s/sample: of all steps, on this machine", wide=(0, 1),
    )  # fmt: skip
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and (before.model, before.preset) != (row.model, row.preset):
            made.add_row()
        ratio, seconds = (None if n is None else units.figures(n) for n in (row.energy_ratio, row.seconds_per_sample))
        network = None if row.analog_accuracy is None else units.accuracy(row.analog_accuracy, row.samples)
        known = (network, units.per_mac(row.events_per_mac), ratio, seconds)
        accuracy = units.accuracy(row.accuracy, row.samples)
        made.add_row(row.model, row.preset, str(row.timesteps), accuracy, *(cell or "?" for cell in known))
    return made


def converted(model: str, preset: str, path: Path, asked: argparse.Namespace) -> None:
    """Convert on the first process, while the others wait; what is there is kept."""

    def make() -> None:
        if this_process().rank == 0 and not path.exists():
            ecmt.convert(
                model, asked.data, ecmt.ConvertConfig(preset=preset), calibration_samples=asked.calibration_samples,
                model_args=dict(pair.split("=", 1) for pair in asked.model_arg), out=path,
            )  # fmt: skip

    with process_group() as process:
        process.together(make)


def measured(model: str, preset: str, asked: argparse.Namespace) -> list[Row]:
    """The rows of a model by a preset: from their file, or computed and kept there."""
    folder = asked.out / f"{model}-{preset}"
    folder.mkdir(parents=True, exist_ok=True)
    kept, path = folder / "rows.json", folder / "program.nir"
    with process_group() as process:
        if process.gather(kept.exists())[0]:
            return read_json(kept, list[Row], "remove it, and the rows are computed again")
    converted(model, preset, path, asked)
    counted: list[str] = []
    job = EvaluateJob(
        program=path, data=asked.data, timesteps=asked.timesteps, limit=asked.limit, batch_size=asked.batch_size,
        checkpoint=folder / "checkpoint", execution=ecmt.Execution(asked.device), workers=asked.workers,
    )  # fmt: skip
    begun = time.monotonic()
    found = evaluate_file(job, counted.append)
    spent = (time.monotonic() - begun) * this_process().size
    rows = rows_of(model, preset, found, ecmt.read(path), None if counted else spent / found.n_samples)
    if this_process().rank == 0:
        write_atomically(kept, msgspec.json.format(msgspec.json.encode(rows), indent=1))
    return rows


def require_same(asked: argparse.Namespace) -> None:
    """Refuse a directory that another command began, whose rows would be of something else."""
    path, options = asked.out / "asked.json", ("data", "timesteps", "limit", "calibration_samples", "model_arg")
    record = {name: getattr(asked, name) for name in options}
    with process_group() as process:
        begun = process.gather(path.exists())[0]
        if not begun and process.rank == 0:
            write_atomically(path, msgspec.json.encode(record))
    kept = read_json(path, dict, "choose another --out") if begun else record
    for name in options:
        if kept.get(name) != record[name]:
            option = f"--{name.replace('_', '-')}"
            refuse(f"{asked.out} was begun with {option} {kept.get(name)}, not {record[name]}; choose another --out")


def run(asked: argparse.Namespace) -> list[Row]:
    """All rows; the table is written anew after every model and preset, so that it can be looked at before the end."""
    asked.out.mkdir(parents=True, exist_ok=True)
    require_same(asked)
    rows: list[Row] = []
    for model in asked.models:
        for preset in asked.presets:
            rows += measured(model, preset, asked)
            if this_process().rank == 0:
                shown = papers([table(rows)])
                made_by = f"benchmarks.imagenet of ecmt-deploy {ecmt.__version__}, {asked.data}"
                write_atomically(asked.out / "table.tex", latex(shown, made_by))
                write_atomically(asked.out / "table.md", markdown(shown, made_by))
                write_atomically(asked.out / "table.json", msgspec.json.format(msgspec.json.encode(rows), indent=1))
                print(f"{model}, {preset}: {units.accuracy(rows[-1].accuracy, rows[-1].samples)} % at T = {rows[-1].timesteps}")
    return rows


def arguments() -> argparse.ArgumentParser:
    """The command line; its description says what is needed."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.imagenet", description=__doc__, formatter_class=raw)
    parser.add_argument("--data", required=True, help="ImageNet as folder:DIR, or any dataset that convert takes")
    parser.add_argument("--models", nargs="+", default=MODELS, help="names of timm's (default: the paper's four)")
    parser.add_argument("--presets", nargs="+", default=PRESETS, choices=PRESETS)
    parser.add_argument("--timesteps", type=int, default=8, help="the most steps (default 8)")
    parser.add_argument("--limit", type=int, help="at most so many images (default: all)")
    parser.add_argument("--calibration-samples", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is a GPU")
    parser.add_argument("--workers", type=int, help="processes that read images")
    parser.add_argument("--model-arg", action="append", default=[], metavar="KEY=VALUE", help="as of convert")
    kept = "directory that keeps programs, checkpoints and tables (default: imagenet)"
    parser.add_argument("--out", type=Path, default=Path("imagenet"), help=kept)
    return parser


def main() -> int:
    """Entry point: failures a user can mend are one line and exit status 2."""
    try:
        run(arguments().parse_args())
    except ElsewhereError:
        return 2
    except EcmtError as error:
        print(f"benchmarks.imagenet: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
