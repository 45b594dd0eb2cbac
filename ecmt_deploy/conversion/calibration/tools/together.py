"""How much more the answer minds errors as they come, together, than it would if each came by itself.

A sensitivity is that of one element. What dead zones keep back at the elements of a node is not independent: where a GELU is
small all hidden units keep something back of one sign, and what a softmax gives too little to one token it gives too much to
another. Such errors add up, or cancel. With r what the neurons of a node keep back and g the gradient of the answer,
(sum g r)^2 is what comes of it and sum (g r)^2 what would come if the signs were random; their ratio over samples says how many
times more the answer minds what that node keeps back, and so by how much dead zones there are to be narrower.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.calibration.tools.answers import samples_at_once
from ecmt_deploy.engine import SpikingModel

SEED = 1


def together(model: SpikingModel, x: Tensor, timesteps: int, progress: Callable[[int], None]) -> dict[str, float]:
    """By neuron, how many times more the answer minds what it keeps back than single elements say; no less than one.

    Parameters
    ----------
    model : a spiking program, whose gradients are those of the analog one
    x : samples (N, *input shape)
    timesteps : steps in which neurons send
    progress : called with the number of samples seen
    """
    program = model.program
    sums = dict.fromkeys(program.neurons, np.zeros(2))

    def observe(name: str, operand: Tensor) -> None:
        if not operand.requires_grad:
            return
        v = operand.detach() + torch.as_tensor(program.nodes[name].initial).to(operand)
        kept = v
        for _ in range(timesteps):
            kept = kept - model.sent(name, kept)

        def see(gradient: Tensor) -> None:
            errors = (gradient * kept).double().flatten(1)
            found = errors.sum(dim=1).square().sum(), errors.square().sum()
            sums[name] = sums[name] + np.array([float(each) for each in found])

        operand.register_hook(see)

    coefficients, seen = torch.Generator().manual_seed(SEED), 0
    for part in x.split(samples_at_once(program)):
        model.backward(part, coefficients, observe)
        seen += len(part)
        progress(seen)
    return {name: max(float(whole / single), 1.0) if single > 0 else 1.0 for name, (whole, single) in sums.items()}
