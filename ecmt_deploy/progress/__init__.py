"""Progress of long work: on stderr where that is a terminal, as an output in a notebook; nothing elsewhere, or where the logger
of this package is to be silent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
)
from rich.table import Column
from rich.text import Text

from ecmt_deploy.progress.notebook import Display, in_kernel
from ecmt_deploy.untrusted.terminal import Terminal

_logger = logging.getLogger(__name__)
Item = TypeVar("Item")

#: below this many columns the elapsed time is left out, below the other the bar is
FOR_ELAPSED, FOR_BAR = 72, 100


class _Line(Progress):
    """One task, drawn by rich on a terminal, and as an output of the cell in a notebook."""

    def __init__(
        self, columns: Iterable[ProgressColumn], console: Console, what: str, total: int | None, **options: Any
    ) -> None:
        wanted = logging.getLogger("ecmt_deploy").isEnabledFor(logging.WARNING)
        on_terminal = wanted and console.is_terminal
        super().__init__(*columns, console=console, transient=True, disable=not on_terminal, **options)
        self._task = self.add_task(what, total=total)
        self._display = Display(what, total) if wanted and not on_terminal and in_kernel() else None

    def show(self, done: int, what: str, total: int | None) -> None:
        self.tasks[0].total = total  # update takes None for "as before"
        self.update(self._task, completed=done, description=what)
        if self._display:
            said = (column.render(self.tasks[0]) for column in self.columns if isinstance(column, _Said))
            self._display.show(", ".join(text.plain for text in said if text), done, total)

    def finish(self, text: str = "") -> None:
        """Leave this text in place of the line, which has stopped."""
        if self._display:
            self._display.finish(text)
        elif text and not self.disable:
            self.console.print(text, markup=False, highlight=False)


class Meter:
    """Images per second, and the share of the time that the work waits for data.

    Both count from the first batch on, as starting up says nothing of what follows.

    Attributes
    ----------
    unit : what is counted, in words
    """

    def __init__(self, show: Callable[[int, str], None], unit: str = "images") -> None:
        self.done, self.unit = 0, unit
        self.waiting: float | None = None
        self._show = show
        self._begun: tuple[int, float] | None = None
        self._latest = 0.0
        self._reads: list[Generator[object, None, None]] = []

    def __call__(self, done: int, stage: str = "") -> None:
        """Say how many images are done; of a ``stage``, which has a name of its own, it is not known how many are to come."""
        self.done, self._latest = done, time.monotonic()
        if self._begun is None or done < self._begun[0]:
            self._begun = done, self._latest
        self._show(done, stage)

    @property
    def rate(self) -> float | None:
        """Images per second; None until a second batch is done."""
        if self._begun is None or self._latest == self._begun[1]:
            return None
        return (self.done - self._begun[0]) / (self._latest - self._begun[1])

    def seconds_left(self, total: float | None) -> float | None:
        """Seconds until ``total`` images are done, at the rate so far; None where that is unknown."""
        if not self.rate or total is None:
            return None
        return max((total - self.done) / self.rate - (time.monotonic() - self._latest), 0.0)

    def reading(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Pass batches on and watch how long each is waited for; reading ends with the progress line at the latest."""
        watched = self._watched(batches)
        self._reads.append(watched)
        return watched

    def close(self) -> None:
        """End what :meth:`reading` began, so that an error leaves no thread or process behind."""
        for watched in self._reads:
            watched.close()

    def _watched(self, batches: Iterable[Item]) -> Generator[Item, None, None]:
        read, waited, since = iter(batches), 0.0, 0.0
        try:
            while True:
                asked = time.monotonic()
                try:
                    batch = next(read)
                except StopIteration:
                    return
                finally:
                    got = time.monotonic()
                    waited += got - asked if since else 0.0
                    since = since or got
                    self.waiting = waited / (got - since) if got > since else self.waiting
                yield batch
        finally:
            if isinstance(read, Generator):
                read.close()


@contextmanager
def progress(what: str, total: int | None, unit: str = "images") -> Iterator[Meter]:
    """A progress line for ``total`` images, or what else the ``unit`` is.

    Yields a :class:`Meter`, to be called with the number that are done.

    Where its :meth:`Meter.reading` was used, a line says at the end how fast it was and how long it waited for data.
    """
    console = Terminal(stderr=True)
    begun = time.monotonic()
    meter = Meter(lambda done, stage: line.show(done, stage or what, None if stage else total), unit)
    line = _Line(_columns(console.width, meter), console, what, total, expand=True)
    said: list[str] = []
    try:
        with line:
            yield meter
    finally:
        meter.close()
        if meter.waiting is not None:
            said = [f"{meter.done} {unit} in {_clock(time.monotonic() - begun)}"]
            said += [] if meter.rate is None else [f"{meter.rate:.1f} {unit}/s"]
            said += [f"waiting for data {100 * meter.waiting:.0f} %"]
        line.finish(f"{what}: {', '.join(said)}" if said else "")
        _logger.info("%s took %.1f s", what, time.monotonic() - begun)


class _Said(ProgressColumn):
    """A column that shows what a function says of the task."""

    def __init__(self, say: Callable[[Task], str], column: Column | None = None, style: str = "") -> None:
        super().__init__(column or Column(no_wrap=True))
        self._say = say
        self._style = style

    def render(self, task: Task) -> Text:
        return Text(self._say(task), style=self._style)


def _columns(width: int, meter: Meter) -> list[ProgressColumn]:
    """What fits into a line of this width; the description is shortened before anything else."""

    def rate(task: Task) -> str:
        return "" if meter.rate is None else f"{meter.rate:.1f} {meter.unit}/s"

    def left(task: Task) -> str:
        seconds = meter.seconds_left(task.total)
        return "" if seconds is None else f"left {_clock(seconds)}"

    def waiting(task: Task) -> str:
        words = "waiting for data" if width >= FOR_BAR else "waiting"
        return "" if meter.waiting is None else f"{words} {100 * meter.waiting:.0f} %"

    return [
        _Said(lambda task: task.description, Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        *([BarColumn(bar_width=width // 8)] if width >= FOR_BAR else []),
        _Said(lambda task: f"{task.completed:.0f}" + (f"/{task.total:.0f}" if task.total else ""), style="progress.download"),
        _Said(rate),
        *([_Said(lambda task: _clock(task.elapsed or 0), style="progress.elapsed")] if width >= FOR_ELAPSED else []),
        _Said(left, style="progress.remaining"),
        _Said(waiting),
    ]


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def step_progress(what: str, samples: int, timesteps: int) -> Iterator[Callable[[int], None]]:
    """Progress of a simulation, with the time left; yields a function to call with the steps that are done, of all samples
    together.

    Before the first call the target is being made ready.
    """

    def left(task: Task) -> str:
        return "" if task.time_remaining is None else f"left {_clock(task.time_remaining)}"

    columns = (
        SpinnerColumn(),
        _Said(lambda task: task.description),
        BarColumn(bar_width=12),
        _Said(lambda task: _clock(task.elapsed or 0), style="progress.elapsed"),
        _Said(left, style="progress.remaining"),
    )
    begun = time.monotonic()
    line = _Line(columns, Terminal(stderr=True), f"{what}: getting ready", samples * timesteps)

    def show(done: int) -> None:
        sample, step = divmod(done, timesteps)
        line.show(done, f"{what}: {sample}/{samples} samples, {step}/{timesteps} steps", samples * timesteps)

    try:
        with line:
            yield show
    finally:
        line.finish()
        _logger.info("%s took %.1f s", what, time.monotonic() - begun)
