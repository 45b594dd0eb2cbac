"""Verbs about runs: ``energy``, ``report``, ``sweep``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from ecmt_deploy import estimation
from ecmt_deploy.chips import available
from ecmt_deploy.config import CALIBRATION_SAMPLES
from ecmt_deploy.data import Labels
from ecmt_deploy.door import ChipLike, ProgramLike, as_chip, listed
from ecmt_deploy.errors import ConfigError, plural
from ecmt_deploy.estimation import Energy
from ecmt_deploy.estimation.pricing import ARITHMETIC
from ecmt_deploy.files import require_out
from ecmt_deploy.placement import Placement, PlacementBand
from ecmt_deploy.runs.directory import StoredRun, load_run
from ecmt_deploy.verbs.arguments import require_none, unless

if TYPE_CHECKING:
    from ecmt_deploy.config import Preset
    from ecmt_deploy.report.comparison import Comparison
    from ecmt_deploy.report.joins import EvaluationLike, TraceLike
    from ecmt_deploy.runs.sweep import Sweep

#: a run directory, by its path or as it was loaded
RunLike: TypeAlias = str | PathLike[str] | StoredRun


@overload
def energy(
    activity: Any,
    program: list[Any] | tuple[Any, ...],
    *,
    ann_bits: int | None = ...,
    tile_bytes: int | None = ...,
    assume_functions: bool = ...,
    frames_per_second: float | None = ...,
    out: str | PathLike[str] | None = ...,
) -> list[Energy]: ...


@overload
def energy(
    activity: Any,
    program: ProgramLike | None = ...,
    hardware: ChipLike | None = ...,
    placement: Placement | PlacementBand | None = ...,
    arithmetic: ChipLike = ...,
    *,
    ann_bits: int | None = ...,
    tile_bytes: int | None = ...,
    assume_functions: bool = ...,
    frames_per_second: float | None = ...,
) -> Energy: ...


def energy(
    activity: Any,
    program: ProgramLike | None = None,
    hardware: ChipLike | None = None,
    placement: Placement | PlacementBand | None = None,
    arithmetic: ChipLike = ARITHMETIC,
    *,
    ann_bits: int | None = None,
    tile_bytes: int | None = None,
    assume_functions: bool = False,
    frames_per_second: float | None = None,
    out: str | PathLike[str] | None = None,
) -> Energy | list[Energy]:
    """Price the counts of a run: ``energy(run, chip)``, ``energy(run, [chip, ..])``, or ``energy(activity, program, chip)``.

    Parameters
    ----------
    activity : a ``Run``, the path of a run directory, or the ``Activity`` of a run of ``program``, or an ``Evaluation`` of it
    program : the program: a ``Program``, the path of its file, or a ``SpikingModel`` that carries one; a run knows its own
    hardware : the chip, its name or file
    placement : where the program is on the chip; by default it is placed within the ranges of the chip's limits
        (:func:`ecmt_deploy.placement.place_band`), and bands cover those
    arithmetic : prices of views (a) and (c); a chip with a model of memories uses its own for view (c)
    ann_bits : width of the activations of the ANN in view (c); by default that of the program's graded payloads, node by node,
        or ceil(log2(T + 1)) where it has none; ``evaluate(.., quantized_baseline=True)`` measures the fewest that are as good
    tile_bytes : size of the tiles that view (c) lies in where a chip has no cores, such as ``horowitz45``; by default 32 KiB
    assume_functions : put functions that the chip does not price into its total at assumed prices: recipes at 45 nm, scaled to
        its process, grade D; by default they are shown apart (``Energy.assumed_functions_pj``), and the total leaves them out
    frames_per_second : how many inferences, or frames, come in a second: static power is then over the time from one to the
        next (30 for a camera); by default over the time that one takes in a full pipeline
    out : of a list of chips: file for the results, ``.json`` or ``.csv``

    Returns
    -------
    Energy; of a list of chips a list of them

    Raises
    ------
    RunError
        if activity or placement are not of this program, the activity is over no samples, or the placement on another chip.
    ConfigError, ProgramError, HardwareError
        if there is no program or no such chip, ``ann_bits`` is not 1 to 32, ``tile_bytes`` is no size of a tile, or every chip
        has cores.
    """
    path = Path(activity) if isinstance(activity, str | PathLike) else None
    if not isinstance(program, list | tuple):
        if out is not None:
            raise ConfigError("out is for a list of chips, such as energy(run, ['loihi2'], out='energy.csv')")
        run = load_run(path) if path else activity
        return estimation.energy(
            run, program, hardware, placement, arithmetic, ann_bits, tile_bytes, assume_functions, frames_per_second
        )
    from ecmt_deploy.report import data
    from ecmt_deploy.report.write import run_files, write

    if not program:
        raise ConfigError(f"no chip is named; give --hardware NAME [NAME ...], from {', '.join(available())}")
    if out is not None:
        require_out(Path(out), ".json", ".csv", reads=run_files([path] if path else []))
    require_none("a single chip", hardware=hardware, placement=placement, arithmetic=unless(arithmetic, ARITHMETIC))
    chips = [as_chip(chip) for chip in program]
    run = load_run(path) if path else activity
    asked: dict[str, Any] = {
        "ann_bits": ann_bits, "tile_bytes": tile_bytes, "assume_functions": assume_functions,
        "frames_per_second": frames_per_second,
    }  # fmt: skip
    results = [estimation.energy(run, chip, **asked) for chip in chips]
    if tile_bytes is not None and all(result.memory.tile_bytes is None for result in results):
        named = ", ".join(chip.name for chip in chips)
        raise ConfigError(
            f"tile_bytes is {tile_bytes}, and the tiles of {named} are its cores; name {ARITHMETIC} too, or leave it out"
        )
    if out is not None:
        write(Path(out), results, data.nodes(results))
    return results


def report(
    runs: RunLike | Sequence[RunLike],
    out: str | PathLike[str] = "report.html",
    hardware: ChipLike | Sequence[ChipLike] = (),
    trace: TraceLike | None = None,
    ann_bits: int | None = None,
    assume_functions: bool = False,
    *,
    evaluation: EvaluationLike | None = None,
    figures: str | PathLike[str] | None = None,
    figures_width_in: float | None = None,
) -> Path:
    """Write one self-contained page about a run, or about several side by side.

    Parameters
    ----------
    runs : run directories, as ``simulate`` keeps them, or one; or a folder that holds one, and an evaluation and a trace of its
        program, which are found by its digest
    out : page to write (``.html``), or the data it is made of (``.json``)
    hardware : chips to price the runs on, by name or ``.toml`` file; by default those that come with the project
    evaluation, trace : an ``Evaluation`` and a ``Trace`` of the same program, or their files, for the report of a single run;
        its accuracy is then that of the evaluation
    figures : directory for every chart of the page as SVG, PNG, PDF and CSV
    figures_width_in : their width in inches; by default 3.4, a column of a paper
    ann_bits, assume_functions : width of the activations of the ANN in view (c), and whether totals have assumed prices of
        functions, as of :func:`ecmt_deploy.energy`

    Returns
    -------
    the path of the page

    Raises
    ------
    ConfigError
        if there is no run, an evaluation or a trace for several, or the name of the page is that of no page.
    RunError
        if a run is missing or damaged, or evaluation or trace are of another program.
    """
    from ecmt_deploy.report.write import write_report

    paths = [_directory(run) for run in listed(runs)]
    write_report(
        paths,
        Path(out),
        listed(hardware),
        trace,
        ann_bits,
        assume_functions,
        evaluation,
        None if figures is None else Path(figures),
        figures_width_in,
    )
    return Path(out)


def sweep(
    programs: str | PathLike[str] | Sequence[str | PathLike[str]],
    hardware: str | PathLike[str] | Sequence[str | PathLike[str]],
    timesteps: str | Sequence[int] | None,
    out: str | PathLike[str],
    data: str | None = None,
    limit: int | None = None,
    target: str = "torch",
    precision: str = "float",
    say: Callable[[str], None] = lambda line: None,
    labels: Labels = "name",
    *,
    presets: str | Sequence[str] = (),
    budgets: float | Sequence[float] = (),
    calibration_samples: int | None = None,
    skip_damaged: bool = False,
) -> Comparison:
    """Run every program at every number of steps, price every run on every chip, and compare them.

    Parameters
    ----------
    programs : ``.nir`` files of different names, or one; with ``presets`` the name of a model, which is converted with each of
        them, for every budget and number of steps
    hardware : chips by name, or ``.toml`` files; with precision ``fixed`` float programs are quantised for the first with
        widths
    timesteps : numbers of steps T, or text such as ``1:8`` or ``1,2,4``; ``None``: those every program was converted for, and
        every preset's own
    out : directory that takes ``<program>/T<t>/`` (runs, as ``simulate`` keeps them), ``summary.csv``, ``summary.json`` and
        ``report.html``. Runs that are there already and are the ones asked for are not made again.
    data : what to run on, by default the data each program was calibrated on, its evaluation split
    limit : at most so many samples
    target, precision : where and in which arithmetic to run, see :func:`ecmt_deploy.simulate`
    say : called with a line before every run
    labels : how labels find their output, by ``name`` or by ``position``
    presets : presets to compare, on one model and ``data``, which is the calibration data too; programs are kept in ``out``
    budgets : of presets, as far as they know one: most synaptic events per MAC; what cannot be had is left out with a warning
    skip_damaged : damaged images are left out, and counted; otherwise they are an error
    calibration_samples : of presets: how many samples of the training split to calibrate on, by default
        :data:`ecmt_deploy.config.CALIBRATION_SAMPLES`

    Raises
    ------
    EcmtError
        before anything runs, if an argument makes no sense, or a run directory in the way is of another program, data, number
        of samples, target or precision; later if a run fails.
    """
    from ecmt_deploy.report.collect import compare_runs
    from ecmt_deploy.report.write import write_comparison
    from ecmt_deploy.runs import sweep as sweeps

    steps = sweeps.parse_timesteps(timesteps) if isinstance(timesteps, str) else timesteps
    files = [Path(program) for program in listed(programs)]
    chips = [str(chip) for chip in listed(hardware)]
    asked = sweeps.Sweep(files, chips, steps, Path(out), data, limit, target, precision, labels, skip_damaged)
    if listed(presets):
        asked = _converted(
            asked, [str(model) for model in listed(programs)], listed(presets), listed(budgets), calibration_samples, say
        )
    else:
        require_none(
            "presets, and none is named, such as --preset accurate,graded", budget=listed(budgets) or None,
            calibration_samples=calibration_samples,
        )  # fmt: skip
    plan = sweeps.make_runs(asked, say)
    say(f"pricing {plural(len(plan), 'run')} on {plural(len(chips), 'chip')}")
    titles = [f"{run.name} T={run.timesteps}" for run in plan]
    compared = compare_runs([run.path for run in plan], chips, titles, [run.name for run in plan])
    write_comparison([Path(out) / name for name in (sweeps.SUMMARY_CSV, sweeps.SUMMARY_JSON, sweeps.PAGE)], compared)
    return compared


def _converted(
    asked: Sweep, models: list[str], presets: list[str], budgets: list[float], samples: int | None, say: Callable[[str], None]
) -> Sweep:
    """The sweep over a model's programs by these presets, which are made where they are not there."""
    from ecmt_deploy.runs import presets as several
    from ecmt_deploy.runs.sweep import begin, require_sound
    from ecmt_deploy.verbs.convert import convert

    if len(models) != 1 or asked.data is None:
        raise ConfigError("presets are compared on one model and its data; give its name, such as zoo:vit_digits, and --data")
    (model,), data = models, asked.data
    configs = several.configs(presets, asked.timesteps, budgets)
    require_sound(asked)
    begin(asked.out, {"model": model, "data": data, "programs": list(configs)})

    samples = CALIBRATION_SAMPLES if samples is None else samples

    def make(config: Preset, path: Path) -> None:
        convert(model, data, config, calibration_samples=samples, skip_damaged=asked.skip_damaged, out=path)

    folder = asked.out / several.FOLDER.format(samples=samples)
    files = several.programs(configs, folder, model, data, make, say)
    return asked._replace(programs=files, timesteps=None)


def _directory(run: RunLike) -> Path:
    if isinstance(run, StoredRun):
        return run.path
    if isinstance(run, str | PathLike):
        return Path(run)
    raise ConfigError(f"{type(run).__name__} is in no run directory; simulate(.., data, out=DIR) makes one, with its accuracy")
