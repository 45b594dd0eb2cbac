"""The oracle: plain loops over samples, steps and nodes, with the NumPy kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecmt_deploy.activity import Activity
from ecmt_deploy.graph import Program
from ecmt_deploy.kernels import InputKernel, Stream, kernels
from ecmt_deploy.target import Progress, Run, Unsupported

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
        identity_neurons: bool = False,
    ) -> Run:
        """Run ``inputs`` (N, *input_shape); with ``identity_neurons`` the program computes the analog network."""
        running = kernels(program, dtype, identity_neurons)
        source = running[program.input_name]
        assert isinstance(source, InputKernel)
        outputs = np.zeros((timesteps, len(inputs), *program.output_shape), dtype)
        for i, sample in enumerate(inputs):
            source.present(sample)
            for each in running.values():
                each.reset()
            for t in range(1, timesteps + 1):
                streams: dict[str, Stream] = {}
                for name, each in running.items():
                    streams[name] = each.step(t, *(streams[operand] for operand in program.operands[name]))
                outputs[t - 1, i] = streams[program.output_name].value
            if progress:
                progress(i + 1)
        counts = {name: each.counts for name, each in running.items()}
        return Run(outputs, Activity(len(inputs), timesteps, counts))
