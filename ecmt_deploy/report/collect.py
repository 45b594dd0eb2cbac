"""Runs that are already made: priced, and what pages about them show. No torch is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from ecmt_deploy.chips import Hardware, available, hardware
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.estimation import Energy, energy, tile_curve
from ecmt_deploy.estimation.pricing import ARITHMETIC
from ecmt_deploy.placement import Placement, PlacementBand, place_band
from ecmt_deploy.report.comparison import Comparison, Entry
from ecmt_deploy.report.joins import EvaluationLike, TraceLike, evaluation_of, look, trace_of
from ecmt_deploy.report.model import AccuracyCurve, Report, make_report
from ecmt_deploy.report.stream import StreamReport, make_stream_report
from ecmt_deploy.runs.directory import StoredRun, load_run
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.simulation.traces import Trace


def report_on(
    run: Path, names: Sequence[str] = (), trace: TraceLike | None = None,
    ann_bits: int | None = None, assume_functions: bool = False, evaluation: EvaluationLike | None = None,
) -> Report | StreamReport:  # fmt: skip
    """The report of a run, or of a stream.

    Parameters
    ----------
    run : run directory, or a folder that holds one, and an evaluation and a trace of its program
    names : chips to price it on, by default those that come with the project
    evaluation, trace : of the same program, or their files; the accuracy of the evaluation replaces the run's own
    ann_bits, assume_functions : as of :func:`ecmt_deploy.energy`

    Raises
    ------
    RunError
        if evaluation or trace are of another program.
    ConfigError
        if a stream is given with what pages about streams do not show.
    """
    found = look(run)
    chips, stored = _chips(names), load_run(found.run)
    if stored.record.clip is not None:
        for option, value in (("--evaluation", evaluation), ("--trace", trace), ("--ann-bits", ann_bits)):
            if value is not None:
                raise ConfigError(f"{option}: is for runs on pictures, and {found.run} is a stream; leave it out")
        placements = [place_band(stored.program, chip) for chip in chips]
        return make_stream_report(stored, _placed(stored, chips, placements, None, assume_functions))
    measured = evaluation_of(stored, evaluation, found.evaluations)
    made = _priced(
        stored, chips, [place_band(stored.program, chip) for chip in chips],
        AccuracyCurve.of(measured) if measured else None, trace_of(stored, trace, found.traces), ann_bits, assume_functions,
    )  # fmt: skip
    return replace(made, tile_curve=tile_curve(stored.activity, stored.program, hardware(ARITHMETIC), ann_bits))


def _chips(names: Sequence[str]) -> list[Hardware]:
    return [hardware(name) for name in names or available()]


def _priced(
    run: StoredRun, chips: Sequence[Hardware], placements: Sequence[PlacementBand], curve: AccuracyCurve | None = None,
    trace: Trace | None = None, ann_bits: int | None = None, assume_functions: bool = False,
) -> Report:  # fmt: skip
    priced = _placed(run, chips, placements, ann_bits, assume_functions)
    return make_report(run.record, run.activity, run.program, priced, curve, trace, run.probes())


def _placed(
    run: StoredRun, chips: Sequence[Hardware], placements: Sequence[PlacementBand], ann_bits: int | None, assume_functions: bool
) -> list[tuple[Hardware, Placement, Energy]]:
    """Every chip with what is where on it, and what the run takes there."""
    asked: dict[str, Any] = {"ann_bits": ann_bits, "assume_functions": assume_functions}
    return [
        (chip, placement.value, energy(run.activity, run.program, chip, placement, **asked))
        for chip, placement in zip(chips, placements, strict=True)
    ]


def compare_runs(
    runs: Sequence[Path], names: Sequence[str] = (), labels: Sequence[str] | None = None, series: Sequence[str] | None = None,
    ann_bits: int | None = None, assume_functions: bool = False,
) -> Comparison:  # fmt: skip
    """Several runs side by side.

    Parameters
    ----------
    names : chips to price them on, by default those that come with the project
    labels : one a run; by default what of its path tells it apart
    series : one a run, the same for runs of one program that differ in their steps alone; by default told from the programs
    ann_bits, assume_functions : as of :func:`ecmt_deploy.energy`

    Raises
    ------
    ConfigError
        if a run is given twice, or is a stream.
    """
    labels = labels or _labels(runs)
    chips, reports = _chips(names), []
    last: StoredRun | None = None
    placements: list[PlacementBand] = []
    for run in runs:
        stored = load_run(run, last)
        if stored.record.clip is not None:
            raise ConfigError(f"{run}: is a stream, which has a page of its own; report on it alone")
        if last is None or stored.program is not last.program:  # runs of one program share it, and where it is placed
            placements = [place_band(stored.program, chip) for chip in chips]
        reports.append(_priced(stored, chips, placements, None, None, ann_bits, assume_functions))
        last = stored
    series = series or _series([report.record for report in reports], labels)
    return Comparison([Entry(*each) for each in zip(labels, series, reports, strict=True)])


def _labels(runs: Sequence[Path]) -> list[str]:
    """The last parts of each path, as many as tell the runs apart."""
    parts = [run.resolve().parts for run in runs]
    for i, mine in enumerate(parts):
        if mine in parts[:i]:
            raise ConfigError(f"{runs[i]}: given twice; name every run once")
    depth = next(n for n in range(1, max(map(len, parts)) + 1) if len({mine[-n:] for mine in parts}) == len(parts))
    return ["/".join(mine[-depth:]) for mine in parts]


def _series(records: Sequence[RunRecord], labels: Sequence[str]) -> list[str]:
    """Model and preset; of programs alike in that, the label of the first run besides."""
    names: dict[bytes, str] = {}
    for record, label in zip(records, labels, strict=True):
        key = _program_key(record)
        config = record.provenance.config or {}
        words = [record.provenance.model or "program", config.get("preset"), record.precision == "fixed" and "fixed"]
        name = ", ".join(str(word) for word in words if word)
        names.setdefault(key, f"{name} ({label})" if name in names.values() else name)
    return [names[_program_key(record)] for record in records]


def _program_key(record: RunRecord) -> bytes:
    """What runs of one program have in common, whatever their number of steps."""
    source = record.provenance
    if source.quantization:
        source = replace(source, quantization=replace(source.quantization, timesteps=0))
    return msgspec.json.encode((source, record.target, record.precision, record.data, record.n_samples))
