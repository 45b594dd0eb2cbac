"""The runs of a design space: programs x steps. Every run is kept, so an interrupted sweep goes on where it stopped."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ecmt_deploy.chips import Hardware, available, hardware
from ecmt_deploy.config import require_timesteps
from ecmt_deploy.data import Labels
from ecmt_deploy.errors import ConfigError, DataError, EcmtError, HardwareError, RunError, plural
from ecmt_deploy.files import require_parent, sha256, write_atomically
from ecmt_deploy.program import Program, read, write
from ecmt_deploy.quantization import quantize
from ecmt_deploy.runs.directory import PROGRAM, load_run, require_writable
from ecmt_deploy.simulation.target import find

_logger = logging.getLogger(__name__)
#: what tells a sweep's directory from any other
RECORD = "sweep.json"
SUMMARY_CSV, SUMMARY_JSON, PAGE = "summary.csv", "summary.json", "report.html"
#: most numbers of steps of one sweep: more are a slip of the keyboard
MOST = 1000
_STEPS = re.compile(r"(\d{1,9})(?::(\d{1,9})(?::(\d{1,9}))?)?", re.ASCII)


class Planned(NamedTuple):
    """One run of a sweep.

    Attributes
    ----------
    program, name : the file, and the directory below ``out`` that is named after it
    path : of the run
    timesteps, data, samples : T, which data, how many samples of it
    chip : for which the program is made an integer program; ``None`` where it runs as it is
    made : whether the run is there already
    """

    program: Path
    name: str
    path: Path
    timesteps: int
    data: str
    samples: int
    chip: str | None
    made: bool


def parse_timesteps(text: str) -> list[int]:
    """Numbers of steps in ascending order: ``1:8`` (both ends included), ``1:8:2``, ``1,2,4``, or these joined by commas.

    Raises
    ------
    ConfigError
        if it is none of these.
    """
    wrong = ConfigError(f"--timesteps {text}: expected whole numbers from 1 on: 1:8 (1 to 8), 1:8:2 (1, 3, 5, 7) or 1,2,4")
    found: set[int] = set()
    for part in text.split(","):
        match = _STEPS.fullmatch(part.strip())
        first, last, step = (int(match[1]), int(match[2] or match[1]), int(match[3] or 1)) if match else (0, 0, 0)
        steps = range(first, last + 1, step) if first and step else range(0)
        if not steps:
            raise wrong
        if len(steps) > MOST:
            raise ConfigError(f"--timesteps {text}: {len(steps):,} numbers of steps; at most {MOST:,} make one sweep")
        found.update(steps)
    return sorted(found)


class Sweep(NamedTuple):
    """What is asked for.

    Attributes
    ----------
    programs : ``.nir`` files of different names
    names : chips, or ``.toml`` files; with precision ``fixed``, float programs are quantised for the first with widths
    timesteps : numbers of steps T; ``None``: of each program those it was converted for
    out : directory that takes ``<program>/T<t>/`` (runs, as ``simulate`` keeps them), ``summary.csv``, ``summary.json`` and
        ``report.html``. Runs that are there already and are the ones asked for are not made again.
    data : what to run on, by default the data each program was calibrated on, its evaluation split
    limit : at most so many samples
    target, precision : where and how to run
    labels : how labels find their output, by ``name`` or by ``position``
    skip_damaged : leave out images that are damaged
    """

    programs: Sequence[Path]
    names: Sequence[str]
    timesteps: Sequence[int] | None
    out: Path
    data: str | None = None
    limit: int | None = None
    target: str = "torch"
    precision: str = "float"
    labels: Labels = "name"
    skip_damaged: bool = False


def make_runs(asked: Sweep, say: Callable[[str], None] = lambda line: None) -> list[Planned]:
    """Run every program at every number of steps; ``say`` is called with a line before every run.

    Raises
    ------
    EcmtError
        before anything runs as :func:`plan` does; later if a run fails.
    """
    planned = plan(asked)
    _record(asked, planned)
    _run(asked, planned, say)
    return planned


def plan(asked: Sweep) -> list[Planned]:
    """The runs that are asked for, each with whether it is there already.

    Raises
    ------
    EcmtError
        if an argument makes no sense, or a run directory in the way is of another program, data, number of samples, target or
        precision.
    """
    if not asked.programs:
        raise ConfigError("no program is named; give P.nir [P.nir ...]")
    chips = require_sound(asked)
    if asked.timesteps is not None:
        asked = asked._replace(timesteps=sorted(set(asked.timesteps)))
    return [run for name, path in _named(asked.programs).items() for run in _planned(path, name, asked, chips)]


def require_sound(asked: Sweep) -> list[Hardware]:
    """The chips, of arguments that make sense, whatever the programs; errors as of :func:`plan`."""
    if not asked.names:
        raise ConfigError(f"no chip is named; give --hardware NAME [NAME ...], from {', '.join(available())}")
    if asked.timesteps is not None and not asked.timesteps:
        raise ConfigError("no number of steps is named; give --timesteps, such as 1:8")
    for t in asked.timesteps or ():
        require_timesteps(t)
    chips = [hardware(name) for name in asked.names]
    find(asked.target)
    _require_sweep(asked.out)
    return chips


def begin(out: Path, record: dict[str, Any]) -> None:
    """Make a directory a sweep's, with a first record of what is swept."""
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{out}: cannot be made: {error.strerror}; choose another --out") from None
    write_atomically(out / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=1))


def _require_sweep(out: Path) -> None:
    """Fail before long work where its results could not be kept, or are not alone."""
    require_parent(out)
    if out.exists() and not (out.is_dir() and ((out / RECORD).is_file() or not any(out.iterdir()))):
        raise RunError(f"{out}: exists and is no sweep's directory; choose another --out")


def _named(programs: Sequence[Path]) -> dict[str, Path]:
    """Programs by the names of their directories."""
    named: dict[str, Path] = {}
    for path in programs:
        if path.stem in named:
            raise ConfigError(f"{path}: its runs would be kept as {path.stem}, as those of {named[path.stem]}; rename one")
        if path.stem in (RECORD, SUMMARY_CSV, SUMMARY_JSON, PAGE):
            raise ConfigError(f"{path}: a sweep writes a file {path.stem}; rename the program")
        named[path.stem] = path
    return named


def _planned(path: Path, name: str, asked: Sweep, chips: Sequence[Hardware]) -> list[Planned]:
    """The runs of one program, each with whether it is there already."""
    from ecmt_deploy.evaluation.samples import evaluation_data

    program = read(path)
    if asked.precision == "float" and program.integer:
        raise ConfigError(f"{path}: an integer program; run it with --precision fixed")
    calibration = program.provenance.calibration
    if asked.data is None and (calibration is None or calibration.split == "given"):
        raise DataError(f"{path}: the program does not say what it was calibrated on; give --data")
    spec = asked.data or (calibration.spec if calibration else "")
    try:
        samples = len(evaluation_data(program, spec, asked.limit, asked.labels, asked.skip_damaged))
    except DataError as error:
        if asked.data is not None:
            raise
        raise DataError(
            f"{path}: was calibrated on {spec}, and a relative path is looked for in {Path.cwd()}: {error}; run the sweep "
            "where the program was converted, or say with --data where the data is"
        ) from None
    chip = _chip(program, chips, asked.names) if asked.precision == "fixed" and not program.integer else None
    digests: dict[int, str] = {}
    runs = []
    for t in [program.timesteps] if asked.timesteps is None else asked.timesteps:
        run = Planned(path, name, asked.out / name / f"T{t}", t, spec, samples, chip, False)
        if run.path.exists():
            steps = max(t, program.timesteps) if chip else 0  # an integer program has room for its own steps at least
            if steps not in digests:
                digests[steps] = _digest(program, chip, t) if chip else sha256(path)
            run = run._replace(made=_belongs(run, digests[steps], asked))
        runs.append(run)
    return runs


def _chip(program: Program, chips: Sequence[Hardware], names: Sequence[str]) -> str:
    """The first chip a float program can be quantised for."""
    failure: HardwareError | None = None
    for chip, name in zip(chips, names, strict=True):
        try:
            quantize(program, chip)
        except HardwareError as error:
            failure = failure or error
        else:
            return name
    assert failure is not None
    raise failure


def _digest(program: Program, chip: str, timesteps: int) -> str:
    """Digest of the integer program that a run of it keeps."""
    with tempfile.TemporaryDirectory() as directory:
        write(quantize(program, hardware(chip), timesteps), Path(directory) / PROGRAM)
        return sha256(Path(directory) / PROGRAM)


def _belongs(run: Planned, digest: str, asked: Sweep) -> bool:
    """Whether a run directory holds that run whole; ``False`` where it is incomplete, and is made again.

    Raises
    ------
    RunError
        if it holds another run, or something else: nothing of that is replaced.
    """
    require_writable(run.path, overwrite=True)
    try:
        stored = load_run(run.path)
        stored.outputs()
        record = stored.record
    except RunError as error:
        _logger.warning("%s: not whole, made again (%s)", run.path, error)
        return False
    for what, found, expected in (
        ("program", record.program_sha256[:12], digest[:12]),
        ("T", record.timesteps, run.timesteps),
        ("data", record.data, run.data),
        ("number of samples", record.n_samples, run.samples),
        ("target", record.target, asked.target),
        ("precision", record.precision, asked.precision),
        ("matching of labels", record.labels or "unknown", asked.labels),
    ):
        if found != expected:
            raise RunError(f"{run.path}: a run of another {what} ({found}, not {expected}); choose another --out, or remove it")
    return True


def _record(asked: Sweep, plan: Sequence[Planned]) -> None:
    """Make the directory a sweep's, and write what was swept last: programs are digests."""
    named = {run.name: run for run in plan}
    begin(asked.out, {
        "programs": {name: sha256(run.program) for name, run in named.items()},
        "timesteps": sorted({run.timesteps for run in plan}),
        "hardware": asked.names,
        "data": {name: run.data for name, run in named.items()},
        "limit": asked.limit,
        "target": asked.target,
        "precision": asked.precision,
    })  # fmt: skip


def _run(asked: Sweep, plan: Sequence[Planned], say: Callable[[str], None]) -> None:
    """Make the runs that are not there."""
    from ecmt_deploy.runs.simulate import SimulateJob, simulate_file

    missing = [run for run in plan if not run.made]
    if len(missing) < len(plan):
        say(f"{len(plan) - len(missing)} of {plural(len(plan), 'run')} {'is' if len(plan) == 1 else 'are'} there already")
    for i, run in enumerate(missing, start=1):
        say(f"run {i} of {len(missing)}: {run.name}, T = {run.timesteps}, {plural(run.samples, 'sample')} on {asked.target}")
        try:
            run.path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"{run.path.parent}: cannot be made: {error.strerror}; choose another --out") from None
        try:
            job = SimulateJob(
                program=run.program, target=asked.target, data=run.data, out=run.path, limit=asked.limit,
                timesteps=run.timesteps, precision=asked.precision, hardware=run.chip, labels=asked.labels,
                skip_damaged=asked.skip_damaged, allow_misfit=True, overwrite=True,  # what is there is not whole
            )  # fmt: skip
            simulate_file(job)
        except EcmtError as error:
            raise type(error)(f"{run.name}, T = {run.timesteps}: {error}") from None
