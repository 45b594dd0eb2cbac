"""The verb ``stream`` for a file: frames of a clip through a program whose state is kept, and the run as a directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ecmt_deploy.data import open_clip
from ecmt_deploy.data.clip import Clip, Frame
from ecmt_deploy.door import ChipLike, as_chip
from ecmt_deploy.engine import SpikingModel
from ecmt_deploy.errors import ConfigError, plural
from ecmt_deploy.estimation.frames import FramePrices
from ecmt_deploy.estimation.memory import together
from ecmt_deploy.estimation.pricing import ARITHMETIC
from ecmt_deploy.evaluation.alternatives import Alternative, alternatives, rated
from ecmt_deploy.evaluation.streams import fidelity
from ecmt_deploy.files import sha256
from ecmt_deploy.program import Program, read
from ecmt_deploy.program.frames import FrameCounts
from ecmt_deploy.program.gate import Gate
from ecmt_deploy.program.patches import patches
from ecmt_deploy.progress import progress
from ecmt_deploy.runs.directory import StoredRun, require_writable, save_run
from ecmt_deploy.runs.frames import ClipRecord, FrameRow, Pictures, files
from ecmt_deploy.runs.interrupts import postponed
from ecmt_deploy.runs.machine import this_machine
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.shown import Plotted, Tabular
from ecmt_deploy.simulation.streams import frame_runs, prepared
from ecmt_deploy.simulation.target import FrameRun, Run

#: classes of a frame that are kept
TOP = 5


class StreamJob(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a file on a clip.

    Attributes
    ----------
    program, clip : path of the program; the clip as of :func:`ecmt_deploy.data.open_clip`
    out : directory for the run; ``None`` keeps none
    target, precision, steps_per_frame, gate, cuts : as of :func:`ecmt_deploy.stream`
    hardware : chips whose prices every frame is to have; the first bounds what the program may need, unless ``allow_misfit``
    every : of every so many frames the network runs too, for the error
    compare : run what else could be done with the clip too; the network then runs on every frame
    limit : at most so many frames
    overwrite : replace a run that ``out`` holds already
    """

    program: Path
    clip: str
    out: Path | None = None
    target: str = "torch"
    precision: str = "float"
    steps_per_frame: int = 1
    gate: float | None = None
    cuts: bool = True
    hardware: tuple[ChipLike, ...] = ()
    allow_misfit: bool = False
    every: int | None = None
    compare: bool = False
    limit: int | None = None
    overwrite: bool = False


@dataclass(frozen=True, repr=False)
class StreamResult(Tabular, Plotted):
    """What came of a stream: what it was, a row for every frame, and the run in its directory, where one is kept."""

    charts = ("frames",)
    record: RunRecord
    rows: list[FrameRow]
    stored: StoredRun | None

    def __repr__(self) -> str:
        where = "not kept" if self.stored is None else f"kept in {str(self.stored.path)!r}"
        return f"StreamResult({plural(len(self.rows), 'frame')} on {self.record.target}, {where})"


def stream_file(job: StreamJob, say: Callable[[str], None] = lambda line: None) -> StreamResult:
    """Run a clip through a program and keep the run in ``job.out``, whole or not at all.

    Ctrl-C ends the run: what is done is kept, and marked as interrupted.

    Parameters
    ----------
    say : told, in one line, what goes on

    Raises
    ------
    ConfigError, DataError, ProgramError, TargetError, RunError
        as of :func:`ecmt_deploy.stream`; also if the clip cannot be read, or the run cannot be kept.
    """
    if job.out is not None:
        require_writable(job.out, job.overwrite)
    if job.every is not None and job.every < 1:
        raise ConfigError(f"--every {job.every}: the network runs on every k-th frame, k at least 1")
    source = read(job.program)
    program = prepared(source, job.precision, job.hardware[0] if job.hardware else None, job.steps_per_frame, job.allow_misfit)
    preprocessing = source.provenance.preprocessing
    clip = open_clip(job.clip, preprocessing, job.limit, shape=source.input_shape)
    worker = Worker(job, source, program, clip)
    worker.run(say)
    return worker.result(sha256(job.program), say)


class Worker:
    """One stream while it runs: what is kept of its frames."""

    def __init__(self, job: StreamJob, source: Program, program: Program, clip: Clip) -> None:
        self.job, self.source, self.program, self.clip = job, source, program, clip
        self.gate = Gate(program, job.gate, job.cuts)
        self.chips: dict[str, FramePrices] = {}
        for chip in map(as_chip, job.hardware or (ARITHMETIC,)):
            self.chips[chip.name] = FramePrices(program, chip, job.steps_per_frame)
        self.every = 1 if job.compare else job.every
        if self.every is not None and source.integer:
            raise ConfigError("an integer program has no network beside it; stream its float program with --precision fixed")
        self.network: Any = None if source.integer else SpikingModel(source)
        self.names, preprocessing = source.provenance.class_names, source.provenance.preprocessing
        deviation = 1.0 if preprocessing is None else np.asarray(preprocessing.std, np.float32).reshape(-1, 1, 1)
        self._half_level = np.float32(1e-12) if preprocessing is None else 0.5 / 255 / deviation
        self.shown: list[Frame] = []  # frames that are not done yet; with `compare`, all
        self.rows: list[FrameRow] = []
        self.outputs: list[np.ndarray] = []
        self.parts: dict[bool, Any] = {}  # counts of frames that began the stream, and of those that followed
        self.answers: dict[int, np.ndarray] = {}
        self.pictures = Pictures()
        self.busy, self.busy_network, self.interrupted, self.ann_pj = 0.0, 0.0, False, 0.0
        self._before: np.ndarray | None = None

    def run(self, say: Callable[[str], None]) -> None:
        """All frames, until the clip ends or somebody stops it."""
        with progress(f"stream on {self.job.target}", self.clip.frames, "frames") as bar, closing(iter(self.clip)) as frames:
            dtype, steps = "float64" if self.program.integer else self.program.dtype.name, self.job.steps_per_frame
            runs = frame_runs(self.program, self._pixels(frames), self.job.target, steps, self.gate, dtype)
            try:
                while True:
                    begun = time.perf_counter()
                    run = next(runs, None)
                    if run is None:
                        break
                    self.busy += time.perf_counter() - begun
                    with postponed():
                        self.keep(run)
                    bar(len(self.rows))
            except KeyboardInterrupt:
                if not self.rows:
                    raise
                self.interrupted = True
                say(f"interrupted behind frame {len(self.rows) - 1}; what is done is kept")

    def _pixels(self, frames: Iterator[Frame]) -> Iterator[np.ndarray]:
        """Frames as they are shown to the gate, which is not what takes long."""
        while True:
            begun = time.perf_counter()
            frame = next(frames, None)
            self.busy -= time.perf_counter() - begun
            if frame is None:
                return
            self.shown.append(frame)
            yield frame.pixels

    def keep(self, run: FrameRun) -> None:
        """The row of a frame that is done; and the network's answer to it, where that is asked for."""
        number = len(self.rows)
        frame = self.shown[number] if self.job.compare else self.shown.pop(0)
        counts = FrameCounts(self.program, self.job.steps_per_frame, run.rows[None], np.array([run.begun]))
        energies = {name: prices.energy(counts) for name, prices in self.chips.items()}
        first = next(iter(energies.values()))
        self.ann_pj, per_mac = first.ann_pj, float(counts.events_per_mac[0])
        if self.every is not None and number % self.every == 0:
            begun = time.perf_counter()
            self.answers[number] = self.network.analog(torch.from_numpy(frame.pixels)[None])[0].numpy()
            self.busy_network += time.perf_counter() - begun
        self.rows.append(FrameRow(
            frame=frame.number,
            seconds=frame.seconds,
            begun=run.begun,
            pixels_changed=self._pixels_changed(frame.pixels),
            patches_sent=run.patches_sent,
            events_per_mac=per_mac if np.isfinite(per_mac) else None,
            spikes=int(counts.of("spikes").sum()),
            synops=int(counts.of("synops").sum()),
            macs=int(counts.of("macs").sum()),
            snn_pj=float(first.snn_pj[0]),
            chips_pj={name: float(energy.chip_pj[0]) for name, energy in energies.items() if self.job.hardware},
            top=self._top(run.outputs[-1]),
            label=self._label(frame),
            network_top=self._top(self.answers[number])[0][0] if number in self.answers else None,
        ))  # fmt: skip
        self.outputs.append(run.outputs)
        self.parts[run.begun] = self.parts[run.begun] + counts.total if run.begun in self.parts else counts.total
        self.pictures.offer(number, frame.thumbnail, run.heat)

    def _pixels_changed(self, pixels: np.ndarray) -> float:
        """Share of the pixels that differ from the frame before by half a grey level or more, in any channel."""
        before, self._before = self._before, pixels
        if before is None:
            return 1.0
        changed = np.abs(pixels - before) >= self._half_level
        return float((changed.any(axis=0) if changed.ndim > 2 else changed).mean())

    def _top(self, readout: np.ndarray) -> list[tuple[str, float]]:
        """The largest outputs of a readout (classes,): of several their probabilities."""
        values = np.ravel(readout).astype(np.float64)
        shares = np.exp(values - values.max())
        shares = shares / shares.sum() if self.names else values
        return [(self._name(k), float(shares[k])) for k in np.argsort(-values, kind="stable")[:TOP].tolist()]

    def _name(self, number: int) -> str:
        return self.names[number] if self.names else str(number)

    def _label(self, frame: Frame) -> str | None:
        names = self.clip.class_names
        return None if frame.label is None else names[frame.label] if names else self._name(frame.label)

    def result(self, digest: str, say: Callable[[str], None]) -> StreamResult:
        """What came of it, kept where it is to be."""
        job, program, done = self.job, self.program, len(self.rows)
        outputs = np.stack(self.outputs, axis=1)
        self._measure(outputs[-1])
        began, *followed = self.parts.values()
        self.total = sum(followed, began)
        view = self.prices.memory_view(self.total)
        clip = ClipRecord(
            fps=self.clip.fps,
            gate=self.gate.threshold,
            cuts=job.cuts,
            every=self.every,
            chips=tuple(self.chips) if job.hardware else (),
            times={name: each.times(*map(self.parts.get, (True, False))) for name, each in self.chips.items() if job.hardware},
            ann_pj=self.ann_pj,
            ann_bits=view.ann_bits,
            break_even_per_mac=together(list(view.rows.values()))[1],
            frames_per_second=done / self.busy if self.busy > 0 else None,
            network_per_second=len(self.answers) / self.busy_network if self.busy_network > 0 else None,
            interrupted=self.interrupted,
            alternatives=tuple(self._compared(outputs[-1], say)) if job.compare else (),
        )
        record = RunRecord(
            tool_version=version("ecmt-deploy"),
            target=job.target,
            precision=job.precision,
            dtype=outputs.dtype.name,
            timesteps=job.steps_per_frame,
            n_samples=done,
            data=job.clip,
            program_sha256=digest,
            provenance=program.provenance.brief,
            accuracy=[],
            analog_accuracy=None,
            agreement=None,
            run_seconds=self.busy,
            clip=clip,
            machine=this_machine(),
        )
        stored = None if job.out is None else self._save(job.out, record, outputs)
        return StreamResult(record if stored is None else stored.record, self.rows, stored)

    @property
    def prices(self) -> FramePrices:
        """Those of the chip whose memories view (c) is of."""
        return next(iter(self.chips.values()))

    def _compared(self, readouts: np.ndarray, say: Callable[[str], None]) -> Iterator[Alternative]:
        """The stream, and what else could have been done with the same frames."""
        frames = torch.from_numpy(np.stack([frame.pixels for frame in self.shown[: len(self.rows)]]))
        network = np.stack([self.answers[i] for i in range(len(self.rows))])
        steady = [row.events_per_mac for row in self.rows if not row.begun and row.events_per_mac is not None]
        events, spent = self.total.events_per_mac(self.program.encoding), float(np.mean([row.snn_pj for row in self.rows]))
        own = rated("this stream", "stream", readouts, network, events, spent, float(np.mean(steady)) if steady else None)
        yield own
        yield from alternatives(self.network, frames, network, own.cosine, self.prices.memory_pj, self.ann_pj, say)

    def _measure(self, readouts: np.ndarray) -> None:
        """Write to the rows how far readouts (F, classes) are from the network's, where it ran."""
        frames = sorted(self.answers)
        if not frames:
            return
        found = fidelity(readouts[frames], np.stack([self.answers[i] for i in frames]))
        for i, error in zip(frames, found.errors or (), strict=False):
            self.rows[i] = msgspec.structs.replace(self.rows[i], network_error=error)

    def _save(self, path: Path, record: RunRecord, outputs: np.ndarray) -> StoredRun:
        """The run in its directory."""
        run, more = Run(outputs, self.total, program=self.program), files(self.rows, self.pictures, patches(self.program))
        source = self.job.program if self.program is self.source else None
        return save_run(path, record, run, self.program, source, self.job.overwrite, more)
