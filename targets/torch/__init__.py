"""The batched torch engine as a target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecmt_deploy.errors import TargetError
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import empty
from ecmt_deploy.program.gate import Sent
from ecmt_deploy.program.patches import patches, rows_of_patches
from ecmt_deploy.simulation.target import Frame, FrameRun, Probe, Progress, Run, Unsupported

if TYPE_CHECKING:
    from ecmt_deploy.chips import Hardware


class TorchTarget:
    """Thin adapter of :class:`ecmt_deploy.engine.SpikingModel`."""

    name = "torch"
    batch_size = 64

    def missing(self) -> str | None:
        """Nothing: the base dependencies suffice."""
        return None

    def check(self, program: Program, hardware: Hardware | None) -> list[Unsupported]:
        """Integer programs do not run here; every float program does."""
        return [Unsupported("the program", "is an integer program; choose target reference or lava")] if program.integer else []

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

        from ecmt_deploy.engine import SpikingModel

        model = SpikingModel(program).to(getattr(torch, np.dtype(dtype).name))
        outputs, activity = [], empty(program.nodes, timesteps)
        for start in range(0, len(inputs), self.batch_size):
            batch = torch.from_numpy(np.asarray(inputs[start : start + self.batch_size], dtype))
            readouts, counts = model.count(batch, timesteps)
            outputs.append(readouts.numpy())
            activity = activity + counts
            if progress:
                progress(activity.n_samples * timesteps)
        joined = np.concatenate(outputs, axis=1) if outputs else np.zeros((timesteps, 0, *program.output_shape), dtype)
        return Run(joined, activity)

    def stream(
        self, program: Program, frames: Iterable[Frame], timesteps: int, *, dtype: np.dtype, probes: Sequence[Probe] = ()
    ) -> Iterator[FrameRun]:
        """Run the frames of one stream; of neurons it records the spikes."""
        if any(probe.kind != "spikes" for probe in probes):
            raise TargetError("target torch records spikes alone; use --target reference or --target lava for states")
        import torch

        from ecmt_deploy.engine import SpikingModel

        model = SpikingModel(program).to(getattr(torch, np.dtype(dtype).name))
        places, fan_outs = rows_of_patches(program), program.fan_outs
        heat = np.zeros(1 + int(patches(program).max()))

        def fell(name: str, events: torch.Tensor) -> None:
            if (rows := places.get(name)) is not None:
                of_rows = events[..., 0].sum(dim=(0, 1)).double().numpy() * fan_outs[name]
                heat[:] += np.bincount(rows[rows >= 0], of_rows[rows >= 0], len(heat))

        with model.stream(timesteps, keep=1) as stream:
            for frame in frames:
                heat[:] = 0
                series: dict[Probe, list[np.ndarray]] = {probe: [] for probe in probes}

                def observe(name: str, value: torch.Tensor, series: dict[Probe, list[np.ndarray]] = series) -> None:
                    if (probe := Probe(name)) in series:
                        series[probe].append(value[0].numpy())

                sent = Sent(frame.held[None], frame.sent[None], frame.begins)
                outputs = stream.advance(sent, observe if probes else None, fell)
                recorded = {probe: np.stack(steps) for probe, steps in series.items()}
                yield FrameRun(outputs[:, 0].numpy(), stream.activity.rows[-1], frame.begins, recorded, heat.copy())
