"""Verbs about runs: merge, energy, report, sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from ecmt_deploy.cli.options import (
    BARE,
    DEFAULT,
    AnnBits,
    AssumeFunctions,
    CalibrationSamples,
    Labels,
    Limit,
    Lines,
    Output,
    Overwrite,
    RunDirectory,
    SkipDamaged,
    TileBytes,
    described,
    flag,
    values,
)


def merge(
    runs: Annotated[
        tuple[Path, ...], described("All n directories of simulate --shard i/n, or those of evaluate --checkpoint.")
    ],
    /,
    *,
    out: Annotated[Path, described("Run directory to write; for an evaluation, the .json file.")],
    overwrite: Overwrite = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy merge``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.report import tables

    whole = ecmt.merge(runs, out, overwrite)
    merged: Any = getattr(whole, "record", whole)
    cosine = getattr(merged, "cosine", None)  # runs keep none
    output.show(merged, tables.answer(merged), tables.accuracy(merged, cosine), soft_wrap=True)


def energy(
    run: RunDirectory,
    /,
    *,
    hardware: Annotated[tuple[str, ...], values("Chips by name (see `ecmt-deploy hardware`), or .toml files.")],
    out: Annotated[Path | None, described("File for the result: .json, .csv, .tex (LaTeX) or .md (Markdown).")] = None,
    ann_bits: AnnBits = None,
    tile_bytes: TileBytes = None,
    assume_functions: AssumeFunctions = False,
    frames_per_second: Annotated[
        float | None, described("Inferences or frames a second: static power is over the time from one to the next.")
    ] = None,
    bibtex: Annotated[
        Path | None, described("File for the sources of the prices that were used, as BibTeX (.bib).", "none")
    ] = None,
    details: Annotated[
        bool, flag("Components, placement, time, the way from the papers' figure, the other views, and all remarks.")
    ] = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy energy``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.files import require_out, write_atomically
    from ecmt_deploy.report import tables
    from ecmt_deploy.report.papers import bibliography, cited
    from ecmt_deploy.report.remarks import UNPRICED, notes
    from ecmt_deploy.runs.directory import is_stream

    asked: dict[str, Any] = {
        "ann_bits": ann_bits, "tile_bytes": tile_bytes, "assume_functions": assume_functions,
        "frames_per_second": frames_per_second,
    }  # fmt: skip
    out, output = output.divided(out)
    if bibtex is not None:
        require_out(bibtex, ".bib")
    energies = ecmt.energy(run, hardware, **asked, out=out)
    if bibtex is not None:
        write_atomically(bibtex, bibliography(energies))
    each = "frame" if is_stream(run) else "inference"
    said = notes(energies, each)
    unpriced = [line for line in said if UNPRICED in line]
    remarks = [f"- {line}" for line in said] if details else []
    output.show(
        energies,
        lambda width: tables.energy(energies, width, each, details),
        *remarks,
        notes=[] if details else unpriced,
        cited=cited(energies, views=details),
    )


def report(
    runs: Annotated[
        tuple[Path, ...],
        described("Run directories, or one folder that holds a run, and an evaluation and a trace of its program."),
    ],
    /,
    *,
    hardware: Annotated[tuple[str, ...], values("Chips by name, or .toml files.", "those that come with the project")] = (),
    out: Annotated[Path, described("Page to write (.html), or its data (.json).")] = Path("report.html"),
    evaluation: Annotated[
        Path | None, described("Evaluation of the same program, as written by evaluate --out; its accuracy is shown.")
    ] = None,
    trace: Annotated[Path | None, described("Trace of the same program, as written by trace --out.")] = None,
    figures: Annotated[Path | None, described("Directory for every chart as SVG, PNG, PDF and CSV.")] = None,
    figures_width: Annotated[
        float | None, described("Width of these in inches; 7 is both columns of a paper.", "3.4, one column")
    ] = None,
    ann_bits: AnnBits = None,
    assume_functions: AssumeFunctions = False,
    bibtex: Annotated[bool, flag("Print the sources of the chips as BibTeX, too.")] = False,
    output: Lines = BARE,
) -> None:
    """``ecmt-deploy report``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.chips import available
    from ecmt_deploy.chips import bibtex as sources_of

    entries = sources_of(map(ecmt.hardware, hardware or available())) if bibtex else ""
    joined: dict[str, Any] = {"evaluation": evaluation, "figures": figures, "figures_width_in": figures_width}
    ecmt.report(runs, out, hardware, trace, ann_bits, assume_functions, **joined)
    if bibtex and not output.json:
        output.say(f"wrote {out}")
        sys.stdout.write(entries)
    else:
        output.show({"out": out, "bibtex": entries}, f"wrote {out}")


def sweep(
    programs: Annotated[
        tuple[Path, ...], described("Program files (.nir); with --preset the name of a model, as for convert.")
    ],
    /,
    *,
    hardware: Annotated[tuple[str, ...], values("Chips by name (see `ecmt-deploy hardware`), or .toml files.")],
    out: Annotated[Path, described("Directory for the runs, summary.csv, summary.json and report.html.")],
    timesteps: Annotated[
        str | None,
        described(
            "Numbers of time steps: 1:8 is 1 to 8, 1:8:2 every second of them, 1,2,4 these three.",
            "what each program was converted for; of --preset each one's own",
        ),
    ] = None,
    preset: Annotated[
        tuple[str, ...], values("Presets to convert the model with and to compare, such as accurate,graded.", "none")
    ] = (),
    budget: Annotated[str | None, described("Budgets to convert each preset that has them with, such as 0.3,0.5,1.")] = None,
    calibration_samples: CalibrationSamples = None,
    data: Annotated[str | None, described("Dataset, as for simulate.", "what each program was calibrated on")] = None,
    limit: Limit = None,
    target: Annotated[str, described("Target to run on: torch, reference or lava.")] = "torch",
    precision: Annotated[
        Literal["float", "fixed"], described("Arithmetic; fixed runs integer programs for the first chip with bit widths.")
    ] = "float",
    labels: Labels = "name",
    skip_damaged: SkipDamaged = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy sweep``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.report import tables
    from ecmt_deploy.runs.presets import parse_budgets

    say = output.say if sys.stderr.isatty() else (lambda line: None)
    compared = ecmt.sweep(
        programs, hardware, timesteps, out, data, limit, target, precision, say, labels,
        presets=[name for given in preset for name in given.split(",")], budgets=parse_budgets(budget) if budget else (),
        calibration_samples=calibration_samples, skip_damaged=skip_damaged,
    )  # fmt: skip
    wrote = ", ".join(str(out / name) for name in ("report.html", "summary.csv", "summary.json"))
    output.show(compared, lambda width: tables.compared(compared, width), f"wrote {wrote}")
