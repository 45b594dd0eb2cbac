"""``ecmt-deploy simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from ecmt_deploy.cli.options import (
    DEFAULT,
    Data,
    Labels,
    Limit,
    Output,
    Overwrite,
    Program,
    SkipDamaged,
    Steps,
    described,
    flag,
)


def simulate(
    program: Program,
    /,
    *,
    target: Annotated[str, described("Target to run on: reference, torch, lava or cores.")],
    data: Data,
    out: Annotated[Path, described("Run directory to write.")],
    limit: Limit = None,
    timesteps: Steps = None,
    precision: Annotated[Literal["float", "fixed"], described("Arithmetic; fixed runs the integer program.")] = "float",
    hardware: Annotated[
        str | None,
        described("Chip that the program must fit; its bit widths hold for --precision fixed, else loihi2's."),
    ] = None,
    allow_misfit: Annotated[bool, flag("Run the program even if it does not fit the chip of --hardware.")] = False,
    shard: Annotated[
        str | None, described("i/n: run every n-th sample only, from the i-th; merge adds the runs of all n.")
    ] = None,
    probe: Annotated[
        tuple[str, ...], described("NODE[:spikes|:membrane|:state] to record at every time step; may be given again.", "none")
    ] = (),
    labels: Labels = "name",
    skip_damaged: SkipDamaged = False,
    overwrite: Overwrite = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy simulate``."""
    from msgspec.structs import asdict

    import ecmt_deploy as ecmt
    from ecmt_deploy.report import tables

    run = ecmt.simulate(
        program, data, target, timesteps, precision, hardware, probes=probe, allow_misfit=allow_misfit, limit=limit,
        labels=labels, shard=shard, out=out, overwrite=overwrite, say=output.say,
        skip_damaged=skip_damaged,
    )  # fmt: skip
    record = run.record
    output.show(
        {**asdict(record), "neurobench": ecmt.neurobench(run)},
        tables.skipped(record.skipped),
        tables.answer(record),
        tables.accuracy(record),
        tables.saturations(run.activity),
        tables.loads(run.loads),
        tables.took(record),
    )
