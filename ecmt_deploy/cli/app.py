"""The verbs under their names, each imported when it is asked for, so that --help is quick."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ecmt_deploy.untrusted.terminal import Terminal

#: every verb, in the order of the work: the module of this package that has it, and what it does
VERBS = {
    "demo": (
        "demo",
        "Run the whole pipeline on the bundled model: convert, evaluate, simulate on Lava, price every layer, report.",
    ),
    "convert": ("convert", "Convert a pretrained model to a spiking program, without training."),
    "check": ("check", "Say in seconds, without data, whether a model converts and which chips would take it."),
    "evaluate": (
        "evaluate",
        "Measure accuracy at every time step against the analog model; under torchrun, on several processes.",
    ),
    "trace": ("program", "Measure the error of every node against the analog model, and its spike rate, at every time step."),
    "simulate": ("simulate", "Run a program on a target and write its outputs and counts to a run directory."),
    "stream": (
        "stream",
        "Run the frames of a clip through a program whose state is kept, and say for each what it shows and what it costs.",
    ),
    "quantize": (
        "program",
        "Write the integer program of a program: weights, membranes and functions in the chip's fixed point.",
    ),
    "merge": ("runs", "Add the shards of a run or of an evaluation; the result is the same as of an undivided one."),
    "classify": ("program", "Show the five most probable classes of images at every time step."),
    "energy": ("runs", "Price a run layer by layer, on one chip or several."),
    "inspect": (
        "program",
        "Sum up a program by module or by node, with --hardware its cores, and what does not fit.",
    ),
    "report": ("runs", "Write one self-contained HTML page about a run, or about several side by side."),
    "sweep": (
        "runs",
        "Run programs at several numbers of time steps, price them on chips and compare; an interrupted sweep resumes.",
    ),
    "hardware": (
        "hardware",
        "List the chips, or show one: limits, prices and times, each with its source, and what is unknown.",
    ),
}


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
for place, (verb, (module, what)) in enumerate(VERBS.items()):
    app.command(f"{__package__}.{module}:{verb}", name=verb, help=what, sort_key=place)


@app.command(name="--print-completion")
def print_completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell to complete commands in.")], /
) -> None:
    """Print the completion script of a shell."""
    sys.stdout.write(app.generate_completion(shell=shell))
