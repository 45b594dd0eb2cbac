"""The Target protocol, and how targets are found: by entry points, so that the library never imports one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np

from ecmt_deploy.door import ChipLike
from ecmt_deploy.errors import TargetError, plural
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.frames import FrameCounts
from ecmt_deploy.shown import Plotted, Tabular

if TYPE_CHECKING:
    from ecmt_deploy.chips import Hardware
    from ecmt_deploy.estimation import Energy
    from ecmt_deploy.estimation.neurobench import NeuroBench
    from ecmt_deploy.placement.loads import Loads

GROUP = "ecmt_deploy.targets"

#: called with the number of steps finished so far, of all samples together: T for each sample
Progress = Callable[[int], None]
PROBE_KINDS = ("spikes", "membrane", "state")


class Probe(msgspec.Struct, frozen=True):
    """What to record of a node at every step: of a neuron its ``spikes`` or its ``membrane`` (after the spikes left it), of any
    node with a memory its ``state``: membrane, accumulators and what was sent so far, one after another in row-major order."""

    node: str
    kind: str = "spikes"

    def __str__(self) -> str:
        return f"{self.node}:{self.kind}"


@dataclass(frozen=True)
class Unsupported:
    """One reason why a target cannot run a program: the node, and what about it."""

    node: str
    reason: str


@dataclass(frozen=True, repr=False)
class Run(Tabular, Plotted):
    """What a target returns.

    Attributes
    ----------
    outputs : (T, N, classes), the readout after every step
    activity : counts per node
    probes : time series (N, T, *shape) of what was probed
    build_seconds, run_seconds : to make the machine ready, and to run; ``None`` where the target does not tell them apart
    processes : operating system processes that ran the program, where there are several
    program : what ran; ``None`` as targets return it, :func:`ecmt_deploy.simulate` adds it
    frames : of a stream, whose samples are its frames in order, the counts of every frame; ``None`` where each began anew
    loads : work of every core and packets of every link, step by step, where the target has cores and links
    """

    charts = ("events", "raster", "membrane", "frames")

    outputs: np.ndarray
    activity: Activity
    probes: Mapping[Probe, np.ndarray] = field(default_factory=dict)
    build_seconds: float | None = None
    run_seconds: float | None = None
    processes: int | None = None
    program: Program | None = None
    frames: FrameCounts | None = None
    loads: Loads | None = None

    def energy(
        self, hardware: ChipLike, ann_bits: int | None = None, assume_functions: bool = False, tile_bytes: int | None = None
    ) -> Energy:
        """The energy of this run on a chip, given by name, file or object; see :func:`ecmt_deploy.energy`."""
        import ecmt_deploy  # the verb, which builds on runs

        return ecmt_deploy.energy(self, hardware, ann_bits=ann_bits, assume_functions=assume_functions, tile_bytes=tile_bytes)

    def neurobench(self) -> NeuroBench:
        """NeuroBench's metrics of this run, without an accuracy; see :func:`ecmt_deploy.neurobench`."""
        import ecmt_deploy  # the verb, which builds on runs

        return ecmt_deploy.neurobench(self)

    def __repr__(self) -> str:
        steps, samples, *readout = self.outputs.shape
        events = None if self.program is None else self.activity.events_per_mac(self.program.encoding)
        counted = "" if events is None else f", {events:.3g} events per MAC"
        probed = f", {plural(len(self.probes), 'probe')}" if self.probes else ""
        what = (
            f"{plural(samples, 'sample')}, T = {steps}"
            if self.frames is None
            else f"{plural(samples, 'frame')} of {plural(steps, 'step')}"
        )
        return f"Run({what}, readout {tuple(readout)}{counted}{probed})"


class Frame(NamedTuple):
    """A frame of a stream as the gate lets it through.

    Attributes
    ----------
    held : (*input_shape), what the receiver holds: the latest that was sent of every patch
    sent : (*input_shape) bool, what of it is sent with this frame; elsewhere it is what it was
    begins : whether the stream begins with it, from the state before t = 1: the first frame, and one behind a cut
    """

    held: np.ndarray
    sent: np.ndarray
    begins: bool


@dataclass(frozen=True)
class FrameRun:
    """What a target returns of one frame.

    Attributes
    ----------
    outputs : (S, classes), the readout after every step of the frame
    rows : (S, nodes, counts) int64, counts of every step of this frame, as in
        :class:`~ecmt_deploy.program.frames.FrameCounts`
    begun : whether the stream began with it
    probes : (S, *shape) of what was probed
    heat : synaptic events that the spikes of each patch's rows cause, (patches,); ``None`` where the target does not say
    patches_sent : share of the patches that were sent; targets leave it to whoever calls
    """

    outputs: np.ndarray
    rows: np.ndarray
    begun: bool
    probes: Mapping[Probe, np.ndarray] = field(default_factory=dict)
    heat: np.ndarray | None = None
    patches_sent: float = 1.0


@runtime_checkable
class Target(Protocol):
    """A machine that executes programs and counts.

    One that runs a program on the cores of a chip says ``needs_hardware = True``, and :meth:`run` is then called with that chip
    besides, as ``hardware``.
    """

    name: str

    def missing(self) -> str | None:
        """What is not installed that this target needs, as a sentence that says how to install it; ``None`` if ready."""

    def check(self, program: Program, hardware: Hardware | None) -> list[Unsupported]:
        """All reasons at once why ``program`` cannot run here; empty where it can.

        ``hardware`` is the chip that whoever calls named. Whether the program fits it is not asked here: the core places it,
        for every target alike. A target adds what it cannot honour of that chip itself.
        """

    def run(
        self,
        program: Program,
        inputs: np.ndarray,
        timesteps: int,
        *,
        dtype: np.dtype,
        progress: Progress | None = None,
        probes: Sequence[Probe] = (),
    ) -> Run:
        """Run every sample of ``inputs`` (N, *input_shape) for ``timesteps`` steps in ``dtype``.

        Of an integer program ``dtype`` is int64, and so are inputs and outputs: whoever calls quantises and scales back.
        ``probes`` name neuron nodes; a target that cannot record refuses them with a :class:`TargetError`. What is returned is
        checked: counts that no run of the program can have are an error of the target.
        """


@runtime_checkable
class StreamingTarget(Target, Protocol):
    """A target whose state can last from one frame to the next."""

    def stream(
        self, program: Program, frames: Iterable[Frame], timesteps: int, *, dtype: np.dtype, probes: Sequence[Probe] = ()
    ) -> Iterator[FrameRun]:
        """Run the frames of one stream, each for ``timesteps`` steps; nothing is reset between two of them.

        A frame enters at its first step as its difference from the frame before. Steps go on counting: what happens at t = 1
        alone (constants, expectations) happens once. With a frame that begins the stream anew all is as for the first, which
        enters whole. Otherwise as :meth:`Target.run`.
        """


def available() -> list[str]:
    """Names of the targets that are registered, whether or not what they need is installed."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def find(name: str | Target) -> Target:
    """The target registered as ``name``, or the target that is given itself.

    Raises
    ------
    TargetError
        if there is none of that name, or what it needs is not installed (the message says how to install it).
    """
    target = name if isinstance(name, Target) else _registered(name)
    missing = target.missing()
    if missing:
        raise TargetError(missing)
    return target


def _registered(name: str) -> Target:
    entries = {entry.name: entry for entry in entry_points(group=GROUP)}
    if not isinstance(name, str) or name not in entries:
        raise TargetError(f"unknown target {name!r}; registered: {', '.join(sorted(entries)) or 'none'}")
    target: Target = entries[name].load()()
    return target


def require_runnable(target: Target, program: Program, hardware: Hardware | None) -> None:
    """Raise one :class:`TargetError` that lists every problem ``target`` has with ``program``."""
    problems = target.check(program, hardware)
    if problems:
        listed = "; ".join(f"{p.node}: {p.reason}" for p in problems)
        raise TargetError(f"target {target.name} cannot run this program: {listed}")
