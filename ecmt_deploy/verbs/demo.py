"""The whole road with the bundled model, on real data: what ``make demo`` runs; and the same for a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console

from ecmt_deploy.chips import available
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.errors import ProgramError, RunError, TargetError
from ecmt_deploy.evaluation.jobs import EvaluateJob, evaluate_file
from ecmt_deploy.files import require_parent
from ecmt_deploy.program import read
from ecmt_deploy.report import data, tables, units
from ecmt_deploy.report.collect import report_on
from ecmt_deploy.report.model import AccuracyCurve
from ecmt_deploy.report.stream_verdict import findings, headline
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


def demo(out: Path, console: Console | None = None) -> None:
    """Convert, evaluate, simulate on Lava (on the reference where Lava is not installed), price, report.

    All on one thread: with several, sums are rounded in an order that depends on how many there are, which moves an image or
    two, and the demo is to say the same on every machine.

    Parameters
    ----------
    out : directory that takes :data:`FILES`; those of an earlier demo are replaced, anybody else's are not
    console : where to show it, by default on standard output

    Raises
    ------
    RunError
        if the directory cannot be had, or holds a file of one of these names that no demo wrote.
    """
    _on_one_thread(_demo, out, console, FILES)


def demo_stream(out: Path, console: Console | None = None) -> None:
    """Convert, run a clip that the package makes itself, hold it against what else could be done, report; on one thread too.

    Parameters
    ----------
    out : directory that takes :data:`STREAM_FILES`; those of an earlier demo are replaced, anybody else's are not
    console : where to show it, by default on standard output

    Raises
    ------
    RunError
        as of :func:`demo`.
    """
    _on_one_thread(_demo_stream, out, console, STREAM_FILES)


def _on_one_thread(road: Callable[[Path, Console], None], out: Path, console: Console | None, files: Sequence[str]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        require_own(out, files)
        try:
            out.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"{out}: cannot be made: {error.strerror}; choose another --out") from None
        road(out, console or Terminal())
    finally:
        torch.set_num_threads(threads)


def _demo_stream(out: Path, console: Console) -> None:
    program = out / "program.nir"
    convert(MODEL, DATA, ConvertConfig(preset="graded", budget=BUDGET), stream=TUNING_CLIP, out=program)
    job = StreamJob(program=program, clip=CLIP, out=out / "run", hardware=(STREAM_CHIP,), compare=True, overwrite=True)
    result = stream_file(job)
    report = report_on(out / "run")
    for name in ("report.json", "report.html"):
        write(out / name, report)
    assert result.record.clip is not None
    console.print(headline(findings(result.record.clip, result.rows)), markup=False, highlight=False)
    for part in tables.streamed(result.record, result.rows, None):
        console.print(part, highlight=False)
    console.print(f"wrote {out / 'report.html'}", markup=False)


def _demo(out: Path, console: Console) -> None:
    program = out / "program.nir"

    console.rule("convert", align="left")
    spiking = convert(MODEL, DATA, out=program)
    console.print(tables.converted(spiking.program, program), markup=False)

    console.rule("evaluate: the whole test split, torch engine", align="left")
    result = evaluate_file(EvaluateJob(program=program, data=DATA, timesteps=TIMESTEPS, out=out / "eval.json"))
    console.print(tables.accuracy(result.accuracy, result.agreement, result.analog_accuracy, result.n_samples))

    target, left_out = "lava", None
    try:
        find(target)
    except TargetError as error:
        target, left_out = "reference", f"left out: the run on Lava (the reference runs instead). {error}"
    console.rule(f"simulate: {LAVA_SAMPLES} test images on {target}", align="left")
    if left_out:
        console.print(left_out, soft_wrap=True, markup=False)
    job = SimulateJob(
        program=program, target=target, data=DATA, out=out / "run", limit=LAVA_SAMPLES, timesteps=LAVA_TIMESTEPS,
        conformance=target != "reference", overwrite=True,
    )  # fmt: skip
    record = simulate_file(job).record
    share = record.accuracy[-1]
    sure = units.measured(share, record.n_samples)
    console.print(f"T = {record.timesteps}: accuracy {units.hundredths(share)} %, {sure}")
    if record.conformance:
        compared = record.conformance
        console.print(
            f"against the reference on the same images: spikes {_equal(compared.spikes_equal)}, "
            f"all counts {_equal(compared.counts_equal)}, readouts within {units.difference(compared.max_abs_logit_difference)}"
        )
        for line in compared.differences[:5]:
            console.print(f"  {line}", markup=False)

    console.rule("energy", align="left")
    energies = energy(out / "run", available(), out=out / "energy.json")
    write(out / "energy.csv", energies, data.nodes(energies))
    console.print(tables.energy(energies, console.width))

    curve = AccuracyCurve("torch", result.n_samples, list(result.accuracy), result.analog_accuracy)
    trace(program, DATA, LAVA_TIMESTEPS, limit=LAVA_SAMPLES, out=out / "trace.json")
    report = report_on(out / "run", curve=curve, trace=out / "trace.json")
    for name in ("report.json", "report.html"):
        write(out / name, report)
    console.rule("report", align="left")
    console.print(f"wrote {out / 'report.html'}", markup=False)


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


def _equal(same: bool) -> str:
    return "equal" if same else "[bold red]NOT equal[/]"
