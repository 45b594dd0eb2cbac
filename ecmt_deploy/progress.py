"""Progress of long work on stderr; nothing where stderr is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar for ``total`` samples; yields a function to call with the number that are done."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def step_progress(what: str, samples: int, timesteps: int) -> Iterator[Callable[[int], None]]:
    """Progress of a simulation, with the time left; yields a function to call with the steps that are done, of all samples
    together.

    Before the first call the target is being made ready.
    """
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{what}: getting ready", total=samples * timesteps)

        def show(done: int) -> None:
            sample, step = divmod(done, timesteps)
            text = f"{what}: {sample}/{samples} samples, {step}/{timesteps} steps"
            bar.update(task, completed=done, description=text)

        yield show
