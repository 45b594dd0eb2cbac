"""``ecmt-deploy demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ecmt_deploy.cli.options import DEFAULT, Output, described


def demo(
    *,
    out: Annotated[Path, described("Directory for program.nir, run/, energy.json, report.html.")] = Path("demo"),
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy demo``."""
    from ecmt_deploy.untrusted.terminal import Terminal
    from ecmt_deploy.verbs import demo as whole_road

    whole_road.demo(out, Terminal(stderr=output.json))
    output.show({"out": out, "files": whole_road.FILES})
