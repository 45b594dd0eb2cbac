"""The verb ``summary``: what a program consists of, and what a run of it counted."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from ecmt_deploy.door import ChipLike, ProgramLike, as_chip, as_program
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.placement import place_band
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.report.summary import Summary, summarised
from ecmt_deploy.runs.directory import load_run


def summary(program: ProgramLike, depth: int | None = None, hardware: ChipLike | None = None) -> Summary:
    """Add up a program module by module: parameters, MACs, neurons, bytes of state, and of a run its events.

    Parameters
    ----------
    program : the program: the path of a file, a ``SpikingModel``, a ``Program``; or, for its events too, a ``Run``, or the path
        of its directory
    depth : how many parts of a module's path tell it from others; by default as many as leave a screen of modules
    hardware : a chip to place the program on, for the cores of every module

    Returns
    -------
    Summary, whose ``str()`` is a table; ``rows`` and ``total`` are its numbers

    Raises
    ------
    ConfigError, ProgramError, RunError, HardwareError
        if there is no program, or it or the run is damaged, ``depth`` is below 1, or there is no such chip.
    """
    if depth is not None and depth < 1:
        raise ConfigError(f"depth is {depth}; expected at least 1, the number of parts of a module's path")
    loaded, activity = opened(program)
    placed = None if hardware is None else place_band(loaded, as_chip(hardware)).value
    return summarised(loaded, activity, depth, placed)


def opened(program: ProgramLike) -> tuple[Program, Activity | None]:
    """The program, and of a run, or of the path of its directory, what it counted."""
    source = load_run(Path(program)) if isinstance(program, str | PathLike) and os.path.isdir(program) else program
    found = getattr(source, "activity", None)
    return as_program(source), found if isinstance(found, Activity) else None
