"""``ecmt-deploy demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ecmt_deploy.cli.options import BARE, Lines, described, flag


def demo(
    *,
    out: Annotated[
        Path | None,
        described("Directory for program.nir, run/, report.html and the like.", "demo, or demo-stream"),
    ] = None,
    stream: Annotated[bool, flag("Show a stream instead: a clip of moving digits, state kept from frame to frame.")] = False,
    details: Annotated[bool, flag("Show the tables of all stages, not a line or two of each.")] = False,
    output: Lines = BARE,
) -> None:
    """``ecmt-deploy demo``."""
    from ecmt_deploy.untrusted.terminal import Terminal
    from ecmt_deploy.verbs import demo as whole_road

    road = whole_road.demo_stream if stream else whole_road.demo
    out = out or Path("demo-stream" if stream else "demo")
    console = Terminal(stderr=output.json, quiet=output.json and output.quiet)
    found = road(out, console, details)
    if output.json:
        output.show(found)
