"""Arguments and options that several verbs share, and how a verb shows its result."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ecmt_deploy.errors import ConfigError
from ecmt_deploy.untrusted.terminal import Terminal


def described(help: str, default: str | None = None, **more: Any) -> Parameter:
    """A parameter with its help; ``default`` says in words what holds where it is not given."""
    return Parameter(help=help, show_default=(lambda value: default) if default else None, **more)


def flag(help: str, alias: str | None = None) -> Parameter:
    """An option without a value."""
    return Parameter(help=help, show_default=False, alias=alias)


def values(help: str, default: str | None = None) -> Parameter:
    """An option that takes one value or several: ``--hardware loihi2 odin``."""
    return described(help, default, consume_multiple=True)


Data = Annotated[str, described("Dataset: digits, folder:DIR, idx:DIR, npz:FILE, text:FILE, or the name of a timm dataset.")]
Program = Annotated[Path, described("Program file (.nir).")]
RunDirectory = Annotated[Path, described("Run directory, as written by simulate or stream.")]
Labels = Annotated[
    Literal["name", "position"],
    described("Match labels to outputs by class name, or by position: label i is output i."),
]
Steps = Annotated[int | None, described("Number of time steps T.", "the number the program was converted for")]
Limit = Annotated[int | None, described("Largest number of samples to use.")]
CalibrationSamples = Annotated[int | None, described("Number of samples of the training split to calibrate on.", "64")]
TileBytes = Annotated[
    int | None, described("View (c) on chips without cores, such as horowitz45: size of a tile's memory.", "32768")
]
AnnBits = Annotated[
    int | None,
    described(
        "Width of the activations of the ANN that view (c) compares with.", "that of the payloads, else ceil(log2(T + 1))"
    ),
]
AssumeFunctions = Annotated[
    bool,
    flag("Put functions that a chip does not price into its total, by recipe from 45 nm scaled to its process (grade D)."),
]
#: kinds of file that take the tables a verb prints
TABLES = (".tex", ".md")
Overwrite = Annotated[bool, flag("Replace a run that is already there.")]
SkipDamaged = Annotated[bool, flag("Leave out images that are damaged, and count them; without it they are an error.")]
Workers = Annotated[
    int | None, described("Number of processes that read images; 0 for none.", "chosen from the data and the number of cores")
]


def key_values(pairs: tuple[str, ...]) -> dict[str, str]:
    """Model arguments as they are written, ``KEY=VALUE``.

    Raises
    ------
    ConfigError
        if one has no ``=``.
    """
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"--model-arg {pair}: expected key=value, for example img_size=28")
    return dict(pair.split("=", 1) for pair in pairs)


@Parameter(name="*")
@dataclass(frozen=True)
class Lines:
    """How a verb shows a result that has no table.

    Attributes
    ----------
    json, verbose, quiet : the options of that name
    """

    json: Annotated[bool, flag("Print the result as JSON.")] = False
    verbose: Annotated[bool, flag("Print informational messages, and the traceback of an error.", alias="-v")] = False
    quiet: Annotated[bool, flag("Print no progress, remarks or warnings, only the result and errors.", alias="-q")] = False

    def __post_init__(self) -> None:
        if self.verbose and self.quiet:
            raise ConfigError("--verbose and --quiet contradict each other; give one of them")

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return Terminal().width

    def show(self, result: Any, *parts: Any, soft_wrap: bool = False) -> None:
        """Print a result: as JSON where that is asked for, else ``parts``: tables and lines of text, those that there are.

        A part that depends on the width is a function of it.
        """
        if self.json:
            sys.stdout.write(as_json(result))
            return
        console = Terminal()
        for each in parts:
            part = each(self.width) if callable(each) else each
            if part is None or part == "":
                continue
            if isinstance(part, str):
                console.print(part, markup=False, highlight=False, soft_wrap=soft_wrap)
            else:
                console.print(part)

    def paste(self, name: str, text: str) -> None:
        """Print text that is pasted or redirected to a file: as it is, or as JSON under a name."""
        sys.stdout.write(as_json({name: text}) if self.json else text)

    @property
    def say(self) -> Callable[[str], None]:
        """Prints a remark on stderr."""
        console = Terminal(stderr=True, quiet=self.quiet)
        return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)


@Parameter(name="*")
@dataclass(frozen=True)
class Output(Lines):
    """How a verb shows a result that has tables.

    Attributes
    ----------
    table : the option of that name
    """

    table: Annotated[
        Path | None, described("File for the tables that are printed: LaTeX (.tex, booktabs) or Markdown (.md).", "none")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.table is not None:  # said before any work
            from ecmt_deploy.files import require_out

            require_out(self.table, *TABLES)

    def divided(self, out: Path | None) -> tuple[Path | None, Output]:
        """What a verb itself writes to ``--out``, and how its result is shown: ``--out FILE.tex`` asks for the tables."""
        if out is None or out.suffix.lower() not in TABLES:
            return out, self
        if self.table is not None:
            raise ConfigError(f"--out {out}, --table {self.table}: both are for the tables; give one, or --out FILE.json")
        return None, replace(self, table=out)

    def without_table(self, shown: str) -> None:
        """Refuse ``--table``, or ``--out FILE.tex``, where what is shown has no table: before any work.

        Parameters
        ----------
        shown : what is shown, and why
        """
        if self.table is not None:
            raise ConfigError(f"{self.table}: takes the tables that are printed, and {shown} has none; leave it out")

    def show(
        self, result: Any, *parts: Any, soft_wrap: bool = False, notes: Sequence[str] = (), cited: Sequence[str] = ()
    ) -> None:
        """The same; a file of tables has ``notes`` too, and what they have ``cited``."""
        if self.table is not None:
            from ecmt_deploy.report.papers import write_tables

            write_tables(self.table, parts, cited, notes)
        super().show(result, *parts, soft_wrap=soft_wrap)


#: what a verb is given where none of these options is
BARE, DEFAULT = Lines(), Output()


def as_json(result: Any) -> str:
    """JSON in ASCII: text from outside brings no control character to the terminal."""
    import msgspec

    decoded = msgspec.json.decode(msgspec.json.encode(result, enc_hook=str))
    return json.dumps(decoded, indent=1).replace("\x7f", "\\u007f") + "\n"
