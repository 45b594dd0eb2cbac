"""The entry point: parse, run, and end as a command should: one line for a user's mistake, and the right exit status."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from types import FrameType
from typing import Any, TextIO

from cyclopts import CycloptsError

from ecmt_deploy.cli.app import VERBS, app
from ecmt_deploy.cli.options import BARE, Lines
from ecmt_deploy.errors import EcmtError, ElsewhereError
from ecmt_deploy.evaluation.torchrun import refuse, this_process
from ecmt_deploy.untrusted.text import one_line, printable

_logger = logging.getLogger(__name__)
#: seconds that a process waits for another to say what is wrong
PATIENCE_S = 10
#: exit status where nobody reads what is printed: as a shell reports other commands that `head` has heard enough of
UNREAD = 141


class OneLine(logging.Formatter):
    """Warnings quote text from outside; each is one line without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


class _Terminated(BaseException):
    """SIGTERM or SIGHUP: unwinds like Ctrl-C, so that nothing is left running or half written."""


def _terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated(number)


def parse(words: Sequence[str]) -> tuple[Callable[[], Any], Lines]:
    """What the arguments ask for, and how its result is to be shown.

    Raises
    ------
    ConfigError
        if they do not say what to do.
    """
    if not words:
        refuse(f"no verb is given; expected one of {', '.join(VERBS)}; `ecmt-deploy --help` describes them")
    try:
        verb, bound, _ = app.parse_args(list(words), print_error=False, exit_on_error=False)
    except CycloptsError as error:
        asked = f"{words[0]} " if words[0] in VERBS else ""
        refuse(f"{one_line(str(error))} See `ecmt-deploy {asked}--help`")
    if this_process().size > 1 and verb.__name__ in VERBS and verb.__name__ != "evaluate":
        refuse(f"{verb.__name__} runs in one process, torchrun started {this_process().size}; only evaluate divides its work")
    return functools.partial(verb, *bound.args, **bound.kwargs), bound.arguments.get("output", BARE)


def _log(output: Lines) -> None:
    """Warnings go to stderr, with ``--verbose`` more, with ``--quiet`` errors alone; progress is shown where warnings are."""
    level = logging.ERROR if output.quiet else logging.INFO if output.verbose else logging.WARNING
    logging.getLogger("ecmt_deploy").setLevel(level)


def _say_unless_launched(what: str) -> None:
    """Under torchrun nothing: it stops all processes where one fails, and says itself what it did."""
    if not this_process().launched:
        print(f"ecmt-deploy: {what}", file=sys.stderr)


def _run() -> int:
    """Run what is asked for; failures a user can mend are one line on stderr and exit status 2. A verb that checks something
    has an exit status of its own: 0 where all is well, 1 where it is not."""
    output = BARE
    try:
        command, output = parse(sys.argv[1:])
        _log(output)
        begun = time.monotonic()
        status = command() or 0
        _logger.info("%s took %.1f s", sys.argv[1], time.monotonic() - begun)
        return status
    except ElsewhereError:
        time.sleep(PATIENCE_S)  # the process that says why is to end first: torchrun then stops this one
        return 2
    except EcmtError as error:
        if output.verbose:
            print("\n".join(map(printable, traceback.format_exc().splitlines())), file=sys.stderr)
        print(f"ecmt-deploy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _say_unless_launched("interrupted")
        return 130
    except _Terminated as end:
        _say_unless_launched("terminated")
        return 128 + int(end.args[0])


def _unread() -> bool:
    """Whether nobody reads any more what is printed: it is then thrown away, so that Python's exit does not fail at it."""
    import select

    def closed(stream: TextIO) -> bool:
        if not hasattr(select, "poll"):  # Windows: nothing to ask, and nothing else that a verb writes to
            return stream is sys.stdout
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))

    found = [stream for stream in (sys.stdout, sys.stderr) if closed(stream)]
    for stream in found:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(found)


def main() -> None:
    """Entry point."""
    for name in ("stdout", "stderr"):  # closed by whoever started us: Python then has none, and libraries do not expect it
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, as it stays open
        if isinstance(stream := getattr(sys, name), TextIOWrapper):  # what its encoding lacks is said by number, as on Windows
            stream.reconfigure(errors="backslashreplace")
    for name in ("SIGTERM", "SIGHUP"):  # systems differ in what signals they have
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # under nohup it is ignored, and stays so
            signal.signal(number, _terminated)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("ecmt-deploy: %(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    try:
        try:
            status = _run()
        finally:
            sys.stdout.flush()  # what is buffered may find its reader gone
    except BrokenPipeError:
        if not _unread():
            raise
        status = UNREAD
    if status:
        sys.exit(status)
