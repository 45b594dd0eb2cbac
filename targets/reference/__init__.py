"""The oracle: plain loops over samples, steps and nodes, with the NumPy kernels."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.kernels import Kernel, Stream, kernels, present
from ecmt_deploy.program import Program
from ecmt_deploy.program.frames import activity_of
from ecmt_deploy.simulation.probes import probe_shape
from ecmt_deploy.simulation.target import Frame, FrameRun, Probe, Progress, Run, Unsupported

if TYPE_CHECKING:
    from ecmt_deploy.chips import Hardware


class ReferenceTarget:
    """Interpreter of programs; slow, obvious, and right by definition."""

    name = "reference"

    def missing(self) -> str | None:
        """Nothing: the base dependencies suffice."""
        return None

    def check(self, program: Program, hardware: Hardware | None) -> list[Unsupported]:
        """Everything that verifies runs here."""
        return []

    def run(
        self,
        program: Program,
        inputs: np.ndarray,
        timesteps: int,
        *,
        dtype: np.dtype,
        progress: Progress | None = None,
        probes: Sequence[Probe] = (),
        identity_neurons: bool = False,
    ) -> Run:
        """Run ``inputs`` (N, *input_shape); with ``identity_neurons`` the program computes the analog network."""
        begun = time.perf_counter()
        running = kernels(program, dtype, identity_neurons)
        outputs = np.zeros((timesteps, len(inputs), *program.output_shape), dtype)
        recorded = {probe: np.zeros((len(inputs), timesteps, *probe_shape(program, probe)), dtype) for probe in probes}
        before = _counted(running)
        rows = np.zeros((timesteps, *before.shape), np.int64)
        built = time.perf_counter()
        for i, sample in enumerate(inputs):
            present(program, running, sample)
            for each in running.values():
                each.reset()
            for t in range(1, timesteps + 1):
                streams = _step(program, running, t)
                outputs[t - 1, i] = streams[program.output_name].value
                counted = _counted(running)
                rows[t - 1] += counted - before
                before = counted
                for probe, series in recorded.items():
                    series[i, t - 1] = _recorded(probe, running, streams, series.shape[2:])
                if progress:
                    progress(i * timesteps + t)
        activity = activity_of(program, rows, len(inputs))
        return Run(outputs, activity, recorded, build_seconds=built - begun, run_seconds=time.perf_counter() - built)

    def stream(
        self, program: Program, frames: Iterable[Frame], timesteps: int, *, dtype: np.dtype, probes: Sequence[Probe] = (),
        identity_neurons: bool = False,
    ) -> Iterator[FrameRun]:  # fmt: skip
        """Run the frames of one stream; with ``identity_neurons`` the program computes the analog network."""
        running = kernels(program, dtype, identity_neurons)
        source: Any = running[program.input_name]
        before, t = _counted(running), 0
        for frame in frames:
            if frame.begins:
                t = 0
            for each in running.values():
                each.reset() if frame.begins else each.begin()
            source.present(frame.held, frame.sent)
            outputs = np.zeros((timesteps, *program.output_shape), dtype)
            recorded = {probe: np.zeros((timesteps, *probe_shape(program, probe)), dtype) for probe in probes}
            rows = np.zeros((timesteps, *before.shape), np.int64)
            for step in range(timesteps):
                t += 1
                streams = _step(program, running, t)
                outputs[step] = streams[program.output_name].value
                counted = _counted(running)
                rows[step] = counted - before
                before = counted
                for probe, series in recorded.items():
                    series[step] = _recorded(probe, running, streams, series.shape[1:])
            yield FrameRun(outputs, rows, frame.begins, recorded)


def _counted(running: Mapping[str, Kernel]) -> np.ndarray:
    """Counts of every node so far, (nodes, counts)."""
    return np.array([each.row for each in running.values()], np.int64)


def _step(program: Program, running: Mapping[str, Kernel], t: int) -> dict[str, Stream]:
    """The stream of every node at step ``t``."""
    streams: dict[str, Stream] = {}
    for name, each in running.items():
        streams[name] = each.step(t, *(streams[operand] for operand in program.operands[name]))
    return streams


def _recorded(probe: Probe, running: Mapping[str, Kernel], streams: Mapping[str, Stream], shape: tuple[int, ...]) -> np.ndarray:
    """What a probe records of a step."""
    value = streams[probe.node].value if probe.kind == "spikes" else running[probe.node].state()
    return value.reshape(shape)
