"""What belongs to a run besides its own directory: an evaluation and a trace of the same program, named or in one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from ecmt_deploy.errors import RunError, reading
from ecmt_deploy.evaluation.score import Evaluation, load_evaluation
from ecmt_deploy.program.audit import impossible
from ecmt_deploy.runs.directory import PROGRAM, RECORD, StoredRun
from ecmt_deploy.simulation.traces import Trace, load_trace

#: an evaluation or a trace: its file, or itself
EvaluationLike: TypeAlias = str | PathLike[str] | Evaluation
TraceLike: TypeAlias = str | PathLike[str] | Trace
_Part = TypeVar("_Part", Evaluation, Trace)

#: fields by which a file is told to be an evaluation or a trace
_EVALUATION, _TRACE = {"accuracy", "agreement", "activity", "cosine"}, {"coding", "nodes", "timesteps"}


class Found(NamedTuple):
    """What a folder holds: a run, and files of evaluations and traces of any program."""

    run: Path
    evaluations: list[Path]
    traces: list[Path]


def look(folder: Path) -> Found:
    """A run directory itself, or the run, the evaluations and the traces that a folder holds.

    Raises
    ------
    RunError
        if the folder holds no run or several, or a file named ``.json`` that is none.
    """
    if not folder.is_dir() or (folder / RECORD).exists():
        return Found(folder, [], [])
    runs = sorted(path.parent for path in folder.glob(f"*/{RECORD}"))
    if len(runs) != 1:
        names = ", ".join(run.name for run in runs) or "none"
        raise RunError(f"{folder}: expected a run directory, or a folder with one run in it; found {names}; name the run")
    kinds = {path: _fields(path) for path in sorted(folder.glob("*.json"))}
    evaluations = [path for path, fields in kinds.items() if fields >= _EVALUATION]
    traces = [path for path, fields in kinds.items() if fields >= _TRACE and not fields >= _EVALUATION]
    return Found(runs[0], evaluations, traces)


def _fields(path: Path) -> set[str]:
    """Names of the fields of a JSON object; none of anything else."""
    if not path.is_file():  # a pipe would be waited for
        return set()
    mend = "mend it, move it elsewhere, or name the run, --evaluation and --trace"
    with reading(RunError, f"{path}: not readable", mend):
        found = msgspec.json.decode(path.read_bytes())
    return set(found) if isinstance(found, dict) else set()


def evaluation_of(run: StoredRun, given: EvaluationLike | None, found: Sequence[Path]) -> Evaluation | None:
    """The evaluation that was named, else the one of the program of ``run`` among those found, if any were found.

    Raises
    ------
    RunError
        if it is damaged or of another program, or not exactly one of those found is of this one.
    """
    part = _chosen(run, given, found, load_evaluation, "evaluation")
    if part is not None and (part.integers is not None) != run.program.integer:
        mine, other = ("an integer", "a float") if run.program.integer else ("a float", "an integer")
        raise RunError(f"{_name(given, found)}: evaluates {other} program, and {run.path} ran {mine} one; evaluate that")
    if part is not None and (wrong := impossible(run.program, part.activity)):
        raise RunError(f"{_name(given, found)}: {wrong}; evaluate {run.path / PROGRAM}")
    return part


def trace_of(run: StoredRun, given: TraceLike | None, found: Sequence[Path]) -> Trace | None:
    """The same of a trace."""
    part = _chosen(run, given, found, load_trace, "trace")
    if part is not None and (strange := [node.node for node in part.nodes if node.node not in run.program.nodes]):
        raise RunError(
            f"{_name(given, found)}: measures a node {strange[0]!r}, which is not in the program; trace {run.path / PROGRAM}"
        )
    return part


def _chosen(
    run: StoredRun, given: str | PathLike[str] | _Part | None, found: Sequence[Path], load: Callable[[Path], _Part], what: str
) -> _Part | None:
    """What was named, or the only one found of the program of ``run``."""
    digest, verb = run.record.program_sha256, {"evaluation": "evaluate"}.get(what, what)
    mend = f"{verb} {run.path / PROGRAM}"
    if isinstance(given, str | PathLike):
        part = load(Path(given))
        if part.program_sha256 != digest:
            whose = "another program than that" if part.program_sha256 else "an unnamed program, not surely that"
            raise RunError(f"{Path(given)}: {_article(what)} of {whose} of {run.path}; {mend}")
        return part
    if given is not None:
        if given.program_sha256 not in (None, digest):  # the caller knows what was measured in memory
            raise RunError(f"the {what} is of another program than that of {run.path}; {mend}")
        return given
    parts = {path: load(path) for path in found}
    fit = [path for path, part in parts.items() if part.program_sha256 == digest]
    if parts and len(fit) != 1:
        names = ", ".join(path.name for path in fit or parts)
        which = "several" if fit else "none"
        raise RunError(
            f"{found[0].parent}: {which} of its {what}s ({names}) of the program of {run.path}, expected one; "
            f"name it with --{what}, or {mend}"
        )
    return parts[fit[0]] if fit else None


def _article(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _name(given: object, found: Sequence[Path]) -> str:
    """How an error calls what was joined."""
    return str(given) if isinstance(given, str | PathLike) else f"{found[0].parent}" if given is None else "what was given"
