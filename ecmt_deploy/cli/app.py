"""The command line: a thin shell over the verbs."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO, Union

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from ecmt_deploy.errors import ConfigError, EcmtError, ElsewhereError
from ecmt_deploy.evaluation.ranks import place, refuse
from ecmt_deploy.untrusted.text import one_line

if TYPE_CHECKING:
    from rich.console import Console

# What is heavy to import is imported by the verb that needs it, so that --help is quick.

_VERBS: dict[str, Callable[..., None]] = {}
#: seconds that a process waits for another to say what is wrong
PATIENCE_S = 10
#: shells that tyro writes completions for by itself
SHELLS = ("bash", "zsh")
#: exit status where nobody reads what is printed: as a shell reports other commands that `head` has heard enough of
UNREAD = 141
_BOX = re.compile(r"[\s─│╭╮╰╯•]+")


def command(verb: Callable[..., None]) -> Callable[..., None]:
    """Register a verb under its name."""
    _VERBS[verb.__name__] = verb
    return verb


def _console(stderr: bool = False) -> Console:
    from ecmt_deploy.report.terminal import Terminal

    return Terminal(stderr=stderr)


Data = Annotated[str, arg(metavar="DATA", help="digits, folder:DIR, idx:DIR, npz:FILE, or a dataset name of timm's")]
Nir = Annotated[Positional[Path], arg(metavar="P.nir", help="a program")]
RunDir = Annotated[Positional[Path], arg(metavar="RUN", help="directory that simulate wrote")]
Chips = Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help="chips, see `ecmt-deploy hardware`, or .toml files")]
Labels = Annotated[
    Literal["name", "position"], arg(help="labels find their output by the name of the class, or label i is output i")
]
Steps = Annotated[int | None, arg(metavar="T", help="time steps T; by default those the program was converted for")]

#: where preprocessing comes from unless an option says otherwise
_OWN = "(default: the model's configuration)"

Overwrite = Annotated[bool, FlagCreatePairsOff, arg(help="replace a run that is there already")]

Workers = Annotated[
    int | None, arg(metavar="N", help="processes that read images, 0: none; by default what suits data and cores")
]


@command
def demo(out: Annotated[Path, arg(help="directory for program.nir, run/, energy.json, report.html")] = Path("demo")) -> None:
    """The whole road with the bundled model: convert, evaluate, run on Lava, price every layer, report."""
    from ecmt_deploy.runs.demo import demo as run_demo

    run_demo(out)


@command
def convert(
    model: Annotated[Positional[str], arg(metavar="MODEL", help="any timm name, or zoo:vit_digits")],
    data: Data,
    out: Annotated[Path, arg(metavar="P.nir", help="where the program goes")],
    weights: Annotated[Path | None, arg(metavar="FILE", help="safetensors, or .pth holding tensors only")] = None,
    model_arg: Annotated[
        tuple[str, ...],
        arg(metavar="k=v ...", help="arguments of the model, e.g. img_size=28", help_behavior_hint="(default: none)"),
    ] = (),
    weights_key: Annotated[
        str | None, arg(metavar="KEY", help="which weights of FILE, where it holds several, such as model and model_ema")
    ] = None,
    mean: Annotated[
        tuple[float, ...], arg(metavar="X ...", help="mean of pixels in training, one or per channel", help_behavior_hint=_OWN)
    ] = (),
    std: Annotated[
        tuple[float, ...], arg(metavar="X ...", help="standard deviation, one or per channel", help_behavior_hint=_OWN)
    ] = (),
    crop_pct: Annotated[
        float | None, arg(metavar="X", help="edge of the crop over edge of the resized image", help_behavior_hint=_OWN)
    ] = None,
    interpolation: Annotated[
        str | None, arg(metavar="bicubic|bilinear|..", help="how images are resized", help_behavior_hint=_OWN)
    ] = None,
    input_size: Annotated[
        tuple[int, ...], arg(metavar="[C] H [W]", help="size of inputs to build the model for", help_behavior_hint=_OWN)
    ] = (),
    preset: Annotated[Literal["paper", "accurate"], arg(help="paper: rate coding; accurate: differential coding")] = "accurate",
    levels: Annotated[int | None, arg(metavar="N", help="levels of a neuron: 8 in paper; in accurate the most, 15")] = None,
    budget: Annotated[float | None, arg(metavar="R", help="accurate: at most R synaptic events per MAC after T steps")] = None,
    calibration_samples: Annotated[int, arg(help="samples of the training split to calibrate on")] = 64,
    timesteps: Annotated[int, arg(help="time steps T the program is tuned for")] = 4,
    mlp_bases: Annotated[
        Literal["fixed", "measured"] | None,
        arg(metavar="fixed|measured", help="paper: bases before an MLP's second layer; by default fixed in plain ViTs alone"),
    ] = None,
) -> None:
    """Convert a pretrained model to a spiking program, without training."""
    from ecmt_deploy.config import ConvertConfig
    from ecmt_deploy.report import tables
    from ecmt_deploy.runs.pipeline import convert_named

    config = ConvertConfig(preset=preset, levels=levels, timesteps=timesteps, budget=budget, mlp_bases=mlp_bases)
    asked = {"mean": mean, "std": std, "crop_pct": crop_pct, "interpolation": interpolation, "input_size": input_size}
    preprocessing = {field: value for field, value in asked.items() if value not in (None, ())}
    spiking = convert_named(
        model, data, out, config, weights, _key_values(model_arg), calibration_samples, weights_key, preprocessing
    )
    _console().print(tables.converted(spiking.program, out), markup=False, highlight=False, soft_wrap=True)


@command
def evaluate(
    program: Nir,
    data: Data,
    timesteps: Steps = None,
    batch_size: Annotated[int, arg(help="samples computed at once")] = 32,
    limit: Annotated[int | None, arg(metavar="N", help="at most this many samples")] = None,
    out: Annotated[Path | None, arg(metavar="FILE", help="write the result, as .json")] = None,
    workers: Workers = None,
    device: Annotated[
        Literal["cpu", "cuda"] | None, arg(metavar="cpu|cuda", help="by default cuda where there is a GPU")
    ] = None,
    dtype: Annotated[
        Literal["float32", "float64", "bfloat16"] | None,
        arg(metavar="float32|float64|bfloat16", help="what to compute in; by default the program's own"),
    ] = None,
    memory: Annotated[float, arg(metavar="GIB", help="room for streams, in GiB; a batch that needs more runs in pieces")] = 1.0,
    compile: Annotated[
        bool, FlagCreatePairsOff, arg(help="run neurons as fused kernels: a minute to make, worth it for thousands of images")
    ] = False,
    checkpoint: Annotated[
        Path | None, arg(metavar="DIR", help="keep there what is done, and go on from it when started again")
    ] = None,
    shard: Annotated[
        str | None, arg(metavar="i/n", help="only every n-th batch, from the i-th; merge adds what --checkpoint kept")
    ] = None,
    labels: Labels = "name",
) -> None:
    """Accuracy after every time step, against the analog model, on the torch engine; under torchrun on several processes."""
    from ecmt_deploy.config import Execution
    from ecmt_deploy.evaluation.divided import evaluate_file, evaluate_shard
    from ecmt_deploy.report import tables

    execution = Execution(device, dtype, round(memory * 2**30), compile)
    console = _console()
    say = functools.partial(_console(stderr=True).print, markup=False, highlight=False, soft_wrap=True)
    if shard is not None:
        if checkpoint is None:
            refuse(f"--shard {shard} needs --checkpoint DIR, where the part is kept for merge")
        if out is not None:
            refuse(
                f"--shard {shard} has no whole result to write; leave out --out, and give it to merge when all parts are done"
            )
        part = evaluate_shard(program, data, shard, checkpoint, timesteps, batch_size, limit, execution, workers, say, labels)
        line = f"part {shard} is done: {part.n_samples} samples in {len(part.batches)} batches, kept in {checkpoint}"
        console.print(
            f"{line}\nwhen all {part.count} are done: ecmt-deploy merge {checkpoint} --out FILE", markup=False, highlight=False
        )
        return
    result = evaluate_file(program, data, timesteps, batch_size, limit, out, execution, checkpoint, workers, say, labels)
    if place().rank == 0:
        analog, cosine = result.analog_accuracy, result.cosine
        console.print(tables.accuracy(result.accuracy, result.agreement, analog, result.n_samples, cosine))


@command
def trace(
    program: Nir,
    data: Data,
    timesteps: Steps = None,
    limit: Annotated[int, arg(metavar="N", help="at most this many samples")] = 16,
    out: Annotated[
        Path | None, arg(metavar="FILE", help="write the trace: .json, for report --trace, or its table as .csv")
    ] = None,
    labels: Labels = "name",
) -> None:
    """How far every node is from its analog value after every step, how often it spikes: finds the layer that breaks."""
    from ecmt_deploy.report import tables
    from ecmt_deploy.runs.pipeline import trace_file

    _console().print(tables.trace(trace_file(program, data, timesteps, limit, out, labels)))


@command
def simulate(
    program: Nir,
    target: Annotated[str, arg(metavar="reference|torch|lava", help="where to run")],
    data: Data,
    out: Annotated[Path, arg(metavar="RUN", help="directory for the run")],
    limit: Annotated[int | None, arg(metavar="N", help="at most this many samples")] = None,
    timesteps: Steps = None,
    precision: Annotated[Literal["float", "fixed"], arg(help="arithmetic: fixed runs the integer program")] = "float",
    hardware: Annotated[
        str | None, arg(metavar="NAME", help="chip that the program must fit; fixed: its widths, by default loihi2's")
    ] = None,
    allow_misfit: Annotated[
        bool, FlagCreatePairsOff, arg(help="run the program also where it does not fit --hardware")
    ] = False,
    shard: Annotated[str | None, arg(metavar="i/n", help="only every n-th sample, from the i-th; merge adds the parts")] = None,
    probe: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="NODE[:spikes|:membrane|:state]", help="record a node at every step, for the report; may be given again"),
    ] = (),
    labels: Labels = "name",
    overwrite: Overwrite = False,
) -> None:
    """Run a program on a target and keep outputs and counts."""
    from ecmt_deploy.report import tables
    from ecmt_deploy.runs.pipeline import simulate_file

    say = functools.partial(_console(stderr=True).print, markup=False, highlight=False, soft_wrap=True)
    run = simulate_file(
        program, target, data, out, limit, timesteps, precision, hardware, shard=shard, probes=probe, labels=labels,
        allow_misfit=allow_misfit, overwrite=overwrite, say=say,
    )  # fmt: skip
    record, console = run.record, _console()
    console.print(tables.accuracy(record.accuracy, record.agreement, record.analog_accuracy, record.n_samples))
    saturated = tables.saturations(run.activity)
    if saturated is not None:
        console.print(saturated)
    if took := tables.took(record):
        console.print(took, markup=False, highlight=False)


@command
def quantize(
    program: Nir,
    out: Annotated[Path, arg(metavar="Q.nir", help="where the integer program goes")],
    hardware: Annotated[str | None, arg(metavar="NAME", help="chip whose widths it keeps; loihi2 by default")] = None,
    timesteps: Annotated[int | None, arg(metavar="T", help="steps that accumulators have room for, in rate coding")] = None,
) -> None:
    """Write the integer program of a program: weights, membranes and functions in the chip's fixed point."""
    from ecmt_deploy.runs.pipeline import quantize_file

    record = quantize_file(program, out, hardware, timesteps).provenance.quantization
    assert record is not None
    widths = f"weights {record.weight_bits}, state {record.state_bits}, payloads {record.payload_bits} bits"
    _console().print(f"wrote {out}: {widths}, for {record.hardware}", markup=False)


@command
def merge(
    runs: Annotated[
        Positional[tuple[Path, ...]],
        arg(
            metavar="RUN [RUN ...]",
            help="directories that simulate --shard i/n wrote, all n of them; or that of evaluate --checkpoint",
            help_behavior_hint="(required)",
        ),
    ],
    out: Annotated[Path, arg(metavar="RUN", help="directory for the whole run; of an evaluation, the .json file")],
    overwrite: Overwrite = False,
) -> None:
    """Add the shards of one run, or the parts of one evaluation: the result is as if it had been made at once."""
    from ecmt_deploy.evaluation.shards import holds_parts, merge_parts, merge_runs
    from ecmt_deploy.report import tables

    merged = merge_parts(runs, out) if holds_parts(runs) else merge_runs(runs, out, overwrite).record
    cosine = getattr(merged, "cosine", None)  # runs keep none
    _console().print(tables.accuracy(merged.accuracy, merged.agreement, merged.analog_accuracy, merged.n_samples, cosine))


@command
def classify(
    program: Nir,
    images: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="IMAGE [IMAGE ...]", help="image files", help_behavior_hint="(required)")
    ],
    timesteps: Steps = None,
) -> None:
    """The five most probable classes of images, after every time step."""
    from ecmt_deploy.report import tables
    from ecmt_deploy.runs.pipeline import classify_files

    console = _console()
    for image, steps in zip(images, classify_files(program, images, timesteps), strict=True):
        console.print(tables.classification(image, steps))


@command
def energy(
    run: RunDir,
    hardware: Chips,
    out: Annotated[Path | None, arg(metavar="FILE", help="write the result: .json, or .csv by its suffix")] = None,
) -> None:
    """Price a run, layer by layer, on one chip or several."""
    from ecmt_deploy.estimation import notes
    from ecmt_deploy.report import energy_tables
    from ecmt_deploy.runs.ledger import price_run

    console = _console()
    energies = price_run(run, hardware, out)
    console.print(energy_tables.energy(energies, console.width))
    for line in notes(energies):
        console.print(f"- {line}", markup=False, highlight=False)


@command
def inspect(
    program: Nir, hardware: Annotated[str | None, arg(metavar="NAME", help="also its placement on this chip")] = None
) -> None:
    """The nodes of a program: types, shapes, standard NIR or this project's; on a chip, also cores, and what does not fit."""
    from ecmt_deploy.chips import hardware as describe
    from ecmt_deploy.placement import place
    from ecmt_deploy.program import read
    from ecmt_deploy.report import placement_tables, tables

    chip = describe(hardware) if hardware else None
    console = _console()
    loaded = read(program)
    placed = place(loaded, chip) if chip else None
    console.print(tables.program(loaded, placed))
    if placed:
        console.print(placement_tables.units(placed, console.width))
        for line in placement_tables.remarks(placed, loaded):
            console.print(line, markup=False, highlight=False)
    console.print(tables.provenance(loaded))


@command
def report(
    runs: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="RUN [RUN ...]", help="directories that simulate wrote", help_behavior_hint="(required)"),
    ],
    hardware: Annotated[
        tuple[str, ...],
        arg(
            metavar="NAME [NAME ...]",
            help="chips, or .toml files",
            help_behavior_hint="(default: those that come with the project)",
        ),
    ] = (),
    out: Annotated[Path, arg(metavar="FILE", help="the page to write, as .html; as .json, the data of the page")] = Path(
        "report.html"
    ),
    trace: Annotated[Path | None, arg(metavar="FILE", help="also a trace of the same program, written by trace --out")] = None,
    bibtex: Annotated[bool, FlagCreatePairsOff, arg(help="also print the sources of the chips as BibTeX")] = False,
) -> None:
    """One self-contained HTML page about a run, or about several side by side."""
    from ecmt_deploy.runs.ledger import bibliography, write_report

    entries = bibliography(hardware) if bibtex else ""
    write_report(runs, out, hardware, trace)
    _console(stderr=bibtex).print(f"wrote {out}", markup=False)
    sys.stdout.write(entries)


@command
def sweep(
    programs: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="P.nir [P.nir ...]", help="programs", help_behavior_hint="(required)")
    ],
    hardware: Chips,
    timesteps: Annotated[str, arg(metavar="1:8", help="numbers of time steps: 1:8 is 1 to 8, 1:8:2 every second, or 1,2,4")],
    out: Annotated[Path, arg(metavar="DIR", help="directory for the runs, summary.csv, summary.json and report.html")],
    data: Annotated[
        str | None, arg(metavar="DATA", help="as for simulate; by default what each program was calibrated on")
    ] = None,
    limit: Annotated[int | None, arg(metavar="N", help="at most this many samples")] = None,
    target: Annotated[str, arg(metavar="torch|reference|lava", help="where to run")] = "torch",
    precision: Annotated[
        Literal["float", "fixed"], arg(help="fixed: integer programs, for the first chip with widths")
    ] = "float",
    labels: Labels = "name",
) -> None:
    """Run programs at several numbers of time steps, price them on chips, and compare; goes on where it was interrupted."""
    from ecmt_deploy.report import sweep_tables
    from ecmt_deploy.runs.sweep import parse_timesteps
    from ecmt_deploy.runs.sweep import sweep as run_sweep

    progress = _console(stderr=True)
    say = functools.partial(progress.print, markup=False, highlight=False) if progress.is_terminal else (lambda line: None)
    compared = run_sweep(programs, hardware, parse_timesteps(timesteps), out, data, limit, target, precision, say, labels)
    console = _console()
    console.print(sweep_tables.compared(compared, console.width))
    console.print(f"wrote {out / 'report.html'}, {out / 'summary.csv'}, {out / 'summary.json'}", markup=False, soft_wrap=True)


@command
def hardware(
    name: Annotated[Positional[str | None], arg(metavar="NAME", help="a chip, or a .toml file")] = None,
    bibtex: Annotated[bool, FlagCreatePairsOff, arg(help="print its sources as BibTeX, or those of all chips")] = False,
    template: Annotated[bool, FlagCreatePairsOff, arg(help="print a .toml file to describe a chip of one's own in")] = False,
) -> None:
    """List the chips, or show one: limits, prices, times, each with method, certainty and source, and what is unknown."""
    from ecmt_deploy import chips
    from ecmt_deploy.report import chip_tables

    if template and (name or bibtex):
        raise ConfigError("--template takes no NAME and no --bibtex: it prints the one template there is")
    if template:
        sys.stdout.write(chips.template())
        return
    described = [chips.hardware(n) for n in ([name] if name else chips.available())]
    if bibtex:
        sys.stdout.write(chips.bibtex(described))
    else:
        _console().print(chip_tables.chip(described[0]) if name else chip_tables.chips(described))


def _key_values(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"--model-arg {pair}: expected key=value, for example img_size=28")
    return dict(pair.split("=", 1) for pair in pairs)


def _parse() -> Callable[[], None]:
    """What the arguments ask for; errors of usage become one line."""
    verb, *words = sys.argv[1:] or [""]
    if verb == "--version":
        return _print_version
    if verb.startswith("--tyro-"):  # tyro would see the verbs alone, for their parameters are not read
        refuse(f"{verb}: use --print-completion {'|'.join(SHELLS)}")
    if verb == "--print-completion" and (len(words) != 1 or words[0] not in SHELLS):
        refuse(f"{' '.join([verb, *words])}: expected one of {', '.join(SHELLS)}")
    if verb and not verb.startswith("-") and verb not in _VERBS:
        refuse(f"unknown verb {verb}{_meant(verb)}; expected one of {', '.join(_VERBS)}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            # tyro reads the parameters of all it is given, so it is given the one verb that is asked for
            if verb in _VERBS:
                return tyro.cli(_asked(_VERBS[verb]), prog=f"ecmt-deploy {verb}", args=words)
            return _overview(words[0] if verb == "--print-completion" else None)
    except SystemExit as end:
        if not end.code:
            raise
        refuse(_BOX.sub(" ", said.getvalue()).strip())


def _asked(verb: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """The verb as parsed: returns what to run and runs nothing, so that errors of usage are told apart from the verb's."""

    @functools.wraps(verb)
    def asked(*args: Any, **kwargs: Any) -> Callable[[], None]:
        if place().size > 1 and verb is not evaluate:
            refuse(f"{verb.__name__} runs in one process, torchrun started {place().size}; only evaluate divides its work")
        return functools.partial(verb, *args, **kwargs)

    return asked


class _Unread:
    """In place of a verb whose parameters need not be read. A class: tyro imports much more for a function in a union."""


def _overview(shell: str | None) -> Callable[[], None]:
    """Parse a command line that names no verb: --help, nothing, or the completion of a shell, which needs all parameters."""
    verbs = [
        Annotated[Any, tyro.conf.subcommand(name, constructor=_asked(verb) if shell else _Unread, description=verb.__doc__)]
        for name, verb in _VERBS.items()
    ]
    union: Any = Union[tuple(verbs)]  # noqa: UP007, as their number is not written here
    chosen: Callable[[], None] = tyro.cli(
        union,
        prog="ecmt-deploy",
        description="From a pretrained vision transformer to simulated neuromorphic cores.\n\n--version prints the version, "
        f"--print-completion {'|'.join(SHELLS)} the completion script of a shell.",
        args=["--tyro-print-completion", shell] if shell else None,
    )
    return chosen


def _print_version() -> None:
    from ecmt_deploy import __version__

    print(f"ecmt-deploy {__version__}")


def _meant(verb: str) -> str:
    """A hint at the verb whose name is nearest, if one is near."""
    import difflib

    near = difflib.get_close_matches(verb, _VERBS, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


class _Terminated(BaseException):
    """SIGTERM or SIGHUP: unwinds like Ctrl-C, so that nothing is left running or half written."""


class _OneLine(logging.Formatter):
    """Warnings quote text from outside; each is one line without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def _terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated(number)


def _say_unless_launched(what: str) -> None:
    """Under torchrun nothing: it stops all processes where one fails, and says itself what it did."""
    if not place().launched:
        print(f"ecmt-deploy: {what}", file=sys.stderr)


def _run() -> int:
    """Run what is asked for; failures a user can mend are one line on stderr and exit status 2."""
    try:
        _parse()()
        return 0
    except ElsewhereError:
        time.sleep(PATIENCE_S)  # the process that says why is to end first: torchrun then stops this one
        return 2
    except EcmtError as error:
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
    for name in ("SIGTERM", "SIGHUP"):  # systems differ in what signals they have
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # under nohup it is ignored, and stays so
            signal.signal(number, _terminated)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("ecmt-deploy: %(levelname)s: %(message)s"))
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


if __name__ == "__main__":
    main()
