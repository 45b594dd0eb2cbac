"""What a terminal is given: text from outside reaches it on this way alone, without control characters of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from ecmt_deploy.untrusted.text import printable


class Terminal(Console):
    """A rich console; colours and cursor are rich's alone."""

    def on_broken_pipe(self) -> None:
        """A reader that left ends the command, as it does for any other writer, not rich."""
        raise

    def render(self, *args: Any, **kwargs: Any) -> Iterable[Segment]:
        """The segments of anything that is printed, in tables, lines and progress alike."""
        for segment in super().render(*args, **kwargs):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield segment._replace(text="\n".join(map(printable, segment.text.split("\n"))))
