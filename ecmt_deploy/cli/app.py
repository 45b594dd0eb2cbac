"""The verbs under their names. What is heavy to import is imported by the verb that needs it, so that --help is quick."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ecmt_deploy.cli.convert import convert
from ecmt_deploy.cli.demo import demo
from ecmt_deploy.cli.evaluate import evaluate
from ecmt_deploy.cli.hardware import hardware
from ecmt_deploy.cli.program import classify, inspect, quantize, trace
from ecmt_deploy.cli.runs import energy, merge, report, sweep
from ecmt_deploy.cli.simulate import simulate
from ecmt_deploy.untrusted.terminal import Terminal

#: in the order of the work
VERBS = {
    verb.__name__: verb
    for verb in (
        demo, convert, evaluate, trace, simulate, quantize, merge, classify, energy, inspect, report, sweep, hardware,
    )
}  # fmt: skip


def _version() -> str:
    from ecmt_deploy import __version__

    return f"ecmt-deploy {__version__}"


app = App(
    "ecmt-deploy",
    help="From a pretrained vision transformer to simulated neuromorphic cores.",
    version=_version,
    version_format="plaintext",
    help_format="plaintext",
    console=Terminal(),
    default_parameter=Parameter(negative=()),
)
for place, verb in enumerate(VERBS.values()):
    app.command(verb, sort_key=place)


@app.command(name="--print-completion")
def print_completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell to complete commands in.")], /
) -> None:
    """Print the completion script of a shell."""
    sys.stdout.write(app.generate_completion(shell=shell))
