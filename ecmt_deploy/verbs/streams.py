"""The verb ``stream``: on frames in memory, or on a clip by name, which is a run that can be kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ecmt_deploy.door import ChipLike, ProgramLike, listed, program_file
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.simulation import streams
from ecmt_deploy.simulation.target import Probe, Run, Target
from ecmt_deploy.verbs.arguments import require_none

if TYPE_CHECKING:
    from ecmt_deploy.runs.stream import StreamResult


@overload
def stream(
    program: ProgramLike, frames: str, target: str = ..., steps_per_frame: int = ..., gate: float | None = ...,
    precision: str = ..., hardware: ChipLike | Sequence[ChipLike] | None = ..., *, allow_misfit: bool = ..., cuts: bool = ...,
    limit: int | None = ..., every: int | None = ..., compare: bool = ..., out: str | PathLike[str] | None = ...,
    overwrite: bool = ..., say: Callable[[str], None] = ...,
) -> StreamResult: ...  # fmt: skip


@overload
def stream(
    program: ProgramLike, frames: Any, target: str | Target = ..., steps_per_frame: int = ..., gate: float | None = ...,
    precision: str = ..., hardware: ChipLike | None = ..., dtype: str = ..., *,
    probes: str | Probe | Sequence[str | Probe] = ..., allow_misfit: bool = ..., cuts: bool = ...,
) -> Run: ...  # fmt: skip


def stream(
    program: ProgramLike,
    frames: Any,
    target: str | Target = "torch",
    steps_per_frame: int = 1,
    gate: float | None = None,
    precision: str = "float",
    hardware: Any = None,
    dtype: str = "float32",
    *,
    probes: str | Probe | Sequence[str | Probe] = (),
    allow_misfit: bool = False,
    cuts: bool = True,
    limit: int | None = None,
    every: int | None = None,
    compare: bool = False,
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Run | StreamResult:
    """Run the frames of one stream through a program whose state is kept from frame to frame.

    Parameters
    ----------
    program : of differential coding: a ``SpikingModel``, a ``Program``, the path of a file, or a ``Run``
    frames : frames (*input_shape) in order: an array (F, *input_shape), or anything that gives them one by one; or a clip by
        name, such as ``video:FILE`` or ``frames:DIR`` (docs/data.md, *Clips*)
    target : ``torch``, ``reference``, ``lava``, or any other that keeps state
    steps_per_frame : steps S of a frame
    gate : a patch of the input is sent when the root mean square of its difference from what was last sent of it exceeds this,
        in units of the program's input; 0: when it differs at all; ``None``: what calibration on a clip found
        (``convert --stream``), 0 where there was none
    precision : ``float``, or ``fixed``: a float program is quantised first
    hardware : chip that the program must fit, unless ``allow_misfit``; of a clip by name, chips whose prices every frame has,
        of which the first is that chip
    dtype, probes : of frames in memory: floating dtype, and neurons whose spikes are recorded
    cuts : whether the stream begins anew behind a cut, where that takes fewer events than to go on
    limit : of a clip by name, as all that follow: at most so many frames
    every : the network runs on every so many frames too, for the error
    compare : the network runs on every frame, and what else could be done with the clip is run too: the program reset for every
        frame, the network on fewer frames, token gating at equal accuracy
    out : directory for the run, with a row for every frame as JSON and CSV
    overwrite : replace a run that is there
    say : told, in one line, what goes on

    Returns
    -------
    Run whose samples are the frames: ``outputs`` (S, F, classes), ``frames`` the counts of each; of a clip by name a
    StreamResult: ``record``, ``rows``, one for each frame, and ``stored``, the run in its directory

    Raises
    ------
    ConfigError
        if the program is of rate coding, or an argument makes no sense or is for the other kind of frames.
    DataError
        if there are no frames, the clip cannot be read, or a frame has another shape, or a value that is no number.
    TargetError
        if the target keeps no state, or fails.
    RunError
        if the run cannot be kept.
    """
    if hardware is None:
        require_none("a run on a chip, which hardware names", allow_misfit=allow_misfit)
    if not isinstance(frames, str):
        require_none(
            "a clip by name, such as frames:DIR", limit=limit, every=every, compare=compare, out=out, overwrite=overwrite
        )
        return streams.stream(
            program, frames, target, steps_per_frame, gate, precision, hardware, dtype, probes, allow_misfit, cuts
        )
    if out is None:
        require_none("a run directory, which out names", overwrite=overwrite)
    if compare:
        require_none("a stream without compare, which runs the network on every frame", every=every)
    from ecmt_deploy.runs.stream import StreamJob, stream_file

    if not isinstance(target, str) or listed(probes) or dtype != "float32":
        raise ConfigError("a clip by name runs on a target by name, in the program's dtype and without probes")
    with program_file(program) as path:
        job = StreamJob(
            program=path,
            clip=frames,
            out=None if out is None else Path(out),
            target=target,
            precision=precision,
            steps_per_frame=steps_per_frame,
            gate=gate,
            cuts=cuts,
            hardware=() if hardware is None else tuple(listed(hardware)),
            allow_misfit=allow_misfit,
            every=every,
            compare=compare,
            limit=limit,
            overwrite=overwrite,
        )
        return stream_file(job, say)
