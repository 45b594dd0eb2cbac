"""What goes into papers: tables as LaTeX and Markdown, sources as BibTeX, NeuroBench's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecmt_deploy.door import ProgramLike, as_activity, as_program
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.estimation.neurobench import NeuroBench
from ecmt_deploy.estimation.neurobench import neurobench as metrics
from ecmt_deploy.estimation.pricing import last_accuracy
from ecmt_deploy.runs.directory import load_run

if TYPE_CHECKING:
    from ecmt_deploy.estimation import Energy


def neurobench(run: Any, program: ProgramLike | None = None) -> NeuroBench:
    """NeuroBench's algorithm metrics of a run, under its names (docs/neurobench.md).

    Parameters
    ----------
    run : a ``Run``, a run directory, or the ``Activity`` or ``Evaluation`` of a program
    program : the program, where ``run`` does not know it

    Returns
    -------
    NeuroBench; its accuracy is ``None`` where ``run`` has none

    Raises
    ------
    ConfigError
        if there is no program.
    RunError
        if the counts are of another program, or over no samples.
    """
    run = load_run(Path(run)) if isinstance(run, str | PathLike) else run
    if program is None and getattr(run, "program", None) is None:
        raise ConfigError(f"{type(run).__name__} does not know its program; pass neurobench(run, program)")
    return metrics(as_activity(run), as_program(run if program is None else program), last_accuracy(run))


def bibtex(energies: Energy | Sequence[Energy]) -> str:
    """BibTeX entries of the prices that bills used, and of no others.

    Raises
    ------
    HardwareError
        if two chips describe one key differently.
    """
    from ecmt_deploy.estimation import Energy
    from ecmt_deploy.report.papers import bibliography

    return bibliography([energies] if isinstance(energies, Energy) else list(energies))


def latex(result: Any) -> str:
    """The table of a result as LaTeX (booktabs): what its verb shows on the terminal.

    Parameters
    ----------
    result : an ``Energy`` or several, an ``Evaluation``, a ``Trace``, a comparison as ``sweep`` returns it, a ``Program``, a
        chip or several, or a ``NeuroBench``

    Raises
    ------
    ConfigError
        if it is something else.
    """
    return _written(result, ".tex")


def markdown(result: Any) -> str:
    """The table of a result as Markdown; arguments and errors as of :func:`latex`."""
    return _written(result, ".md")


def _written(result: Any, suffix: str) -> str:
    from ecmt_deploy.report.papers import results

    return results.written(result, suffix)
