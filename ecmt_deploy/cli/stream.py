"""``ecmt-deploy stream``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from ecmt_deploy.cli.options import DEFAULT, Output, Overwrite, Program, described, flag, values


def stream(
    program: Program,
    /,
    *,
    video: Annotated[str, described("Video file, or another clip: frames:DIR, npz:FILE, made:NAME (docs/data.md).")],
    out: Annotated[Path | None, described("Run directory to write, with a row for every frame as CSV and JSON.")] = None,
    steps_per_frame: Annotated[int, described("Number of time steps that a frame takes.")] = 1,
    gate: Annotated[
        float | None,
        described(
            "Send a patch when the RMS of its difference from what was last sent exceeds this, in units of the input; "
            "0 sends all that differs.",
            "found by convert --stream; else 0",
        ),
    ] = None,
    no_cuts: Annotated[bool, flag("Go on behind a cut instead of beginning anew.")] = False,
    target: Annotated[str, described("Target to run on: torch, reference or lava.")] = "torch",
    precision: Annotated[Literal["float", "fixed"], described("Arithmetic; fixed runs the integer program.")] = "float",
    hardware: Annotated[
        tuple[str, ...], values("Chips to price every frame on; the program must fit the first.", "none: view (c) alone")
    ] = (),
    allow_misfit: Annotated[bool, flag("Run the program even if it does not fit the chip of --hardware.")] = False,
    every: Annotated[int | None, described("Run the network on every k-th frame too, for the error.")] = None,
    compare: Annotated[
        bool, flag("Run the network on every frame, and what else could be done with the clip, for a table.")
    ] = False,
    limit: Annotated[int | None, described("Largest number of frames to run.")] = None,
    overwrite: Overwrite = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy stream``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.report import tables

    clip = f"video:{video}" if Path(video).is_file() else video
    result = ecmt.stream(
        program, clip, target, steps_per_frame, gate, precision, hardware or None, allow_misfit=allow_misfit,
        cuts=not no_cuts, limit=limit, every=every, compare=compare, out=out, overwrite=overwrite, say=output.say,
    )  # fmt: skip
    assert not isinstance(result, ecmt.Run)
    shown = {"record": result.record, "rows": result.rows}
    output.show(shown, *tables.streamed(result.record, result.rows, out))
    if result.record.clip is not None and result.record.clip.interrupted:
        raise KeyboardInterrupt
