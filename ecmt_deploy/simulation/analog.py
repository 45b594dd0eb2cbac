"""The analog network beside a run: what its readouts are held against."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.kernels import Stream, kernels, present
from ecmt_deploy.program import Program
from ecmt_deploy.simulation.target import Target, find


def analog_readouts(program: Program, x: np.ndarray, target: str | Target) -> np.ndarray:
    """Readouts (N, *output_shape), float64, of the analog network: the program with neurons that pass on what they take.

    A target that computes it faster has a method ``analog(program, x)``. Without one the NumPy kernels do, which takes a step
    of the reference a sample, and no torch.

    Parameters
    ----------
    program : a float program
    x : samples (N, *input_shape)
    target : what runs the program
    """
    if own := getattr(find(target), "analog", None):
        readouts: np.ndarray = own(program, x)
        return readouts
    running = kernels(program, np.dtype(np.float64), identity_neurons=True)
    found = np.zeros((len(x), *program.output_shape))
    for i, sample in enumerate(x):
        present(program, running, sample)
        streams: dict[str, Stream] = {}
        for name, each in running.items():
            each.reset()
            streams[name] = each.step(1, *(streams[operand] for operand in program.operands[name]))
        found[i] = streams[program.output_name].value
    return found
