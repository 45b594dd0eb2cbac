"""The whole road with the bundled model, on real data: what ``make demo`` runs; and the same for a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console, RenderableType

from ecmt_deploy.chips import available
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.errors import ProgramError, RunError, TargetError
from ecmt_deploy.estimation import Energy
from ecmt_deploy.evaluation.jobs import EvaluateJob, evaluate_file
from ecmt_deploy.files import require_parent
from ecmt_deploy.program import read
from ecmt_deploy.report import data, tables
from ecmt_deploy.report.collect import report_on
from ecmt_deploy.report.stream_verdict import findings, headline
from ecmt_deploy.report.tables import demos, streams
from ecmt_deploy.report.verdict import by_fit
from ecmt_deploy.report.write import write
from ecmt_deploy.runs.simulate import SimulateJob, simulate_file
from ecmt_deploy.runs.stream import StreamJob, stream_file
from ecmt_deploy.simulation.target import find
from ecmt_deploy.untrusted.terminal import Terminal
from ecmt_deploy.verbs.convert import convert
from ecmt_deploy.verbs.program import trace
from ecmt_deploy.verbs.runs import energy

MODEL, DATA = "zoo:vit_digits", "digits"
#: what a demo leaves in its directory
FILES = ("program.nir", "eval.json", "run", "energy.json", "energy.csv", "trace.json", "report.json", "report.html")
TIMESTEPS, LAVA_TIMESTEPS, LAVA_SAMPLES = 8, 4, 32
#: of the stream: digits that move over a still, noisy ground, others that it is tuned on, to how many events a frame; the chip
CLIP, TUNING_CLIP, BUDGET, STREAM_CHIP = "made:digits", "made:digits,seed=5", 0.1, "loihi2"
#: what a demo of a stream leaves in its directory
STREAM_FILES = ("program.nir", "run", "report.json", "report.html")


def demo(out: Path, console: Console | None = None, details: bool = False) -> dict[str, Any]:
    """Convert, evaluate, simulate on Lava (on the reference where Lava is not installed), price, report.

    All on one thread: with several, sums are rounded in an order that depends on how many there are, which moves an image or
    two, and the demo is to say the same on every machine.

    Parameters
    ----------
    out : directory that takes :data:`FILES`; those of an earlier demo are replaced, anybody else's are not
    console : where to show it, by default on standard output
    details : show what the verbs of all stages show, not a line or two of each

    Returns
    -------
    what it found: ``evaluation``, ``simulation`` and ``energy``, and in ``out`` the ``files`` that have the rest

    Raises
    ------
    RunError
        if the directory cannot be had, or holds a file of one of these names that no demo wrote.
    """
    return _on_one_thread(_demo, out, console, FILES, details)


def demo_stream(out: Path, console: Console | None = None, details: bool = False) -> dict[str, Any]:
    """Convert, run a clip that the package makes itself, hold it against what else could be done, report; on one thread too.

    Parameters
    ----------
    out : directory that takes :data:`STREAM_FILES`; those of an earlier demo are replaced, anybody else's are not
    console, details : as of :func:`demo`

    Returns
    -------
    what it found: ``stream`` and ``energy``, and in ``out`` the ``files`` that have the rest

    Raises
    ------
    RunError
        as of :func:`demo`.
    """
    return _on_one_thread(_demo_stream, out, console, STREAM_FILES, details)


class Stages:
    """What a demo shows of every stage, as soon as it has been: the answer in a line or two, or all that its verb shows."""

    def __init__(self, console: Console, details: bool) -> None:
        self.console, self.details = console, details

    def __call__(self, name: str, brief: str | RenderableType, *parts: Any) -> None:
        """Show a stage: ``brief``, or with details ``parts``, those that there are."""
        if self.details:
            self.console.rule(name, align="left")
        shown = parts if self.details else [demos.stage(name, brief) if isinstance(brief, str) else brief]
        for part in shown:
            if part is not None and part != "":
                self.console.print(part, highlight=False, markup=False)


Road = Callable[[Path, Stages], dict[str, Any]]


def _on_one_thread(road: Road, out: Path, console: Console | None, files: Sequence[str], details: bool) -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        require_own(out, files)
        try:
            out.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"{out}: cannot be made: {error.strerror}; choose another --out") from None
        return {"out": out, "files": files, **road(out, Stages(console or Terminal(), details))}
    finally:
        torch.set_num_threads(threads)


def _demo_stream(out: Path, show: Stages) -> dict[str, Any]:
    program = out / "program.nir"
    spiking = convert(MODEL, DATA, ConvertConfig(preset="graded", budget=BUDGET), stream=TUNING_CLIP, out=program).program
    show("convert", demos.converted(spiking), tables.converted(spiking, program))

    job = StreamJob(program=program, clip=CLIP, out=out / "run", hardware=(STREAM_CHIP,), compare=True, overwrite=True)
    record, rows = (result := stream_file(job)).record, result.rows
    assert record.clip is not None
    found = headline(findings(record.clip, rows))
    show("stream", streams.in_brief(record, rows), found, *tables.streamed(record, rows, None))
    if not show.details:
        show("compare", found)

    energies = energy(out / "run", available())
    show("energy", demos.priced(energies, "frame"), tables.energy(energies, show.console.width, "frame"))
    _report(out, show)
    return {"stream": record, "energy": _priced(energies)}


def _demo(out: Path, show: Stages) -> dict[str, Any]:
    program = out / "program.nir"
    spiking = convert(MODEL, DATA, out=program).program
    show("convert", demos.converted(spiking), tables.converted(spiking, program))

    result = evaluate_file(EvaluateJob(program=program, data=DATA, timesteps=TIMESTEPS, out=out / "eval.json"))
    show("evaluate", demos.evaluated(result), tables.accuracy(result))

    target, left_out = "lava", ""
    try:
        find(target)
    except TargetError as error:
        target, left_out = "reference", f"left out: the run on Lava (the reference runs instead). {error}"
    job = SimulateJob(
        program=program, target=target, data=DATA, out=out / "run", limit=LAVA_SAMPLES, timesteps=LAVA_TIMESTEPS,
        conformance=target != "reference", overwrite=True,
    )  # fmt: skip
    record = simulate_file(job).record
    differences = record.conformance.differences[:5] if record.conformance else []
    show("simulate", demos.simulated(record), demos.simulated(record), *differences)
    if left_out:
        show.console.print(left_out, soft_wrap=True, markup=False)

    energies = energy(out / "run", available(), out=out / "energy.json")
    write(out / "energy.csv", energies, data.nodes(energies))
    show("energy", demos.priced(energies), tables.energy(energies, show.console.width))

    trace(program, DATA, LAVA_TIMESTEPS, limit=LAVA_SAMPLES, out=out / "trace.json")
    _report(out, show, evaluation=result, trace=out / "trace.json")
    evaluation = {name: getattr(result, name) for name in ("accuracy", "agreement", "analog_accuracy", "n_samples")}
    return {"evaluation": evaluation, "simulation": record, "energy": _priced(energies)}


def _report(out: Path, show: Stages, **parts: Any) -> None:
    report = report_on(out / "run", **parts)
    for name in ("report.json", "report.html"):
        write(out / name, report)
    where = out / "report.html"
    show("report", f"{where}, for a browser; --details shows the tables of all stages here", f"wrote {where}")


def _priced(energies: Sequence[Energy]) -> list[dict[str, Any]]:
    """The answer about every chip; the files have the rest."""
    return [
        {"hardware": e.hardware, "fits": e.fits, "total_pj": e.total_pj if e.components_pj else None, "complete": e.complete}
        for e in by_fit(energies)
    ]


def require_own(out: Path, files: Sequence[str] = FILES) -> None:
    """Refuse a directory in which a demo would replace what is not a demo's."""
    require_parent(out)
    if out.exists() and not out.is_dir():
        raise RunError(f"{out}: exists and is no directory; choose another --out")
    there = [name for name in files if (out / name).exists()]
    try:
        own = not there or read(out / "program.nir").provenance.model == MODEL
    except ProgramError:
        own = False
    if not own:
        raise RunError(f"{out}: holds {there[0]}, which no demo wrote; choose another --out")
