"""The batched torch engine as a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.errors import TargetError
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import empty
from ecmt_deploy.program.gate import Sent
from ecmt_deploy.program.patches import patches, rows_of_patches
from ecmt_deploy.simulation.target import Frame, FrameRun, Probe, Progress, Run, Unsupported

if TYPE_CHECKING:
    import torch

    from ecmt_deploy.chips import Hardware
    from ecmt_deploy.engine import SpikingModel


class TorchTarget:
    """Thin adapter of :class:`ecmt_deploy.engine.SpikingModel`."""

    name = "torch"
    batch_size = 64

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
    ) -> Run:
        """Run ``inputs`` (N, *input_shape) in batches; it records no time series."""
        if probes:
            raise TargetError("target torch records no probes; use --target reference or --target lava")
        import torch

        model, written = _made(program, dtype)
        outputs, activity = [], empty(program.nodes, timesteps)
        for start in range(0, len(inputs), self.batch_size):
            batch = torch.from_numpy(np.asarray(inputs[start : start + self.batch_size], dtype))
            readouts, counts = model.count(batch, timesteps)
            outputs.append(written(readouts))
            activity = activity + counts
            if progress:
                progress(activity.n_samples * timesteps)
        joined = np.concatenate(outputs, axis=1) if outputs else np.zeros((timesteps, 0, *program.output_shape), dtype)
        return Run(joined, activity)

    def analog(self, program: Program, x: np.ndarray) -> np.ndarray:
        """Readouts (N, *output_shape), float64, of the analog network for samples ``x`` (N, *input_shape)."""
        import torch

        model, written = _made(program, np.dtype(np.float64))
        samples = torch.from_numpy(np.asarray(x, np.float64)).split(self.batch_size)
        return np.concatenate([written(model.analog(batch)) for batch in samples])

    def stream(
        self, program: Program, frames: Iterable[Frame], timesteps: int, *, dtype: np.dtype, probes: Sequence[Probe] = ()
    ) -> Iterator[FrameRun]:
        """Run the frames of one stream; of neurons it records the spikes."""
        if any(probe.kind != "spikes" for probe in probes):
            raise TargetError("target torch records spikes alone; use --target reference or --target lava for states")
        from ecmt_deploy.engine.streaming import MOST_AT_ONCE

        model, written = _made(program, dtype)
        places, fan_outs, number = rows_of_patches(program), program.fan_outs, 1 + int(patches(program).max())
        series: dict[Probe, list[np.ndarray]] = {probe: [] for probe in probes}
        heat: dict[str, list[np.ndarray]] = {}  # of each neuron, by step and patch

        def observe(name: str, value: torch.Tensor) -> None:
            if (probe := Probe(name)) in series:
                series[probe].append(value[0].numpy())

        def fell(name: str, events: torch.Tensor) -> None:
            if (rows := places.get(name)) is not None:
                of_rows = events[..., 0].sum(dim=1).double().numpy() * fan_outs[name]
                by_patch = np.stack([np.bincount(rows[rows >= 0], step[rows >= 0], number) for step in of_rows])
                heat.setdefault(name, []).append(by_patch)

        with model.stream(timesteps, keep=MOST_AT_ONCE) as stream:
            for batch in batched(frames, MOST_AT_ONCE):
                sent = [Sent(frame.held[None], frame.sent[None], frame.begins) for frame in batch]
                for part in [[each] for each in sent] if probes else [sent]:
                    outputs = written(stream.advance(part, observe if probes else None, fell)[:, :, 0])
                    everywhere = [np.concatenate(steps) for steps in heat.values()]
                    fallen: Any = [None] * len(part)
                    if everywhere:
                        fallen = np.sum(everywhere, axis=0).reshape(len(part), timesteps, -1).sum(axis=1)
                    recorded = {probe: np.stack(steps) for probe, steps in series.items()}
                    rows = stream.activity.rows[-len(part) :]
                    for each, readouts, counted, where in zip(part, outputs, rows, fallen, strict=True):
                        yield FrameRun(readouts, counted, each.begins, recorded, where)
                    heat.clear()
                    for kept in series.values():
                        kept.clear()


def _made(program: Program, dtype: np.dtype) -> tuple[SpikingModel, Callable[[torch.Tensor], np.ndarray]]:
    """The engine for a program, and what makes of its readouts those of a target: of an integer program, its integers."""
    import torch

    from ecmt_deploy.engine import SpikingModel
    from ecmt_deploy.engine.presenting import integers

    model = SpikingModel(program)
    if program.integer:
        return model, lambda readouts: integers(program, readouts).numpy()
    return model.to(getattr(torch, np.dtype(dtype).name)), lambda readouts: readouts.numpy()


def batched(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Frames, so many at a time."""
    source = iter(frames)
    while batch := list(islice(source, size)):
        yield batch
