"""Runs that are already made: price them, report on them. No torch is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ecmt_deploy.chips import available, hardware
from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.files import write_atomically
from ecmt_deploy.graph import read
from ecmt_deploy.pricing import Energy, energy, to_csv
from ecmt_deploy.probes import load_probes
from ecmt_deploy.report import AccuracyCurve, Report, make_report, render_html
from ecmt_deploy.rundir import PROBES, PROGRAM, load_run
from ecmt_deploy.traces import load_trace


def price_run(run: Path, names: Sequence[str], out: Path | None = None) -> list[Energy]:
    """Price a run on chips by name; ``out`` ends in ``.json`` or ``.csv``."""
    if not names:
        raise ConfigError(f"no chip is named; give --hardware NAME [NAME ...], from {', '.join(available())}")
    if out is not None and out.suffix not in (".json", ".csv"):
        raise ConfigError(f"{out}: unknown kind of file {out.suffix!r}; name it .json or .csv")
    chips = [hardware(name) for name in names]
    _, activity = load_run(run)
    program = read(run / PROGRAM)
    results = [energy(activity, program, chip) for chip in chips]
    if out is not None:
        as_json = msgspec.json.format(msgspec.json.encode(results), indent=1)
        write_atomically(out, to_csv(results) if out.suffix == ".csv" else as_json)
    return results


def report_on(run: Path, curve: AccuracyCurve | None = None, trace: Path | None = None) -> Report:
    """The report of a run, priced on every chip that comes with the project.

    Parameters
    ----------
    curve : replaces the run's own accuracy
    trace : file with a trace of the same program

    Raises
    ------
    RunError
        if the trace is of another program.
    """
    record, activity = load_run(run)
    program = read(run / PROGRAM)
    energies = [energy(activity, program, hardware(name)) for name in available()]
    traced = load_trace(trace) if trace is not None else None
    if traced is not None and traced.program_sha256 != record.program_sha256:
        raise RunError(f"{trace}: a trace of another program than that of {run}; trace {run / PROGRAM}")
    return make_report(record, activity, program, energies, curve, traced, load_probes(run / PROBES))


def write_report(run: Path, out: Path, trace: Path | None = None) -> None:
    """Write the page about a run."""
    write_atomically(out, render_html(report_on(run, trace=trace)))
