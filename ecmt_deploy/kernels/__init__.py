"""NumPy semantics: what the kernels of all ops are made of, and the kernels of a program.

The reference target and the Lava process models both run these kernels; the torch engine is written independently of them. An
op's own kernel stands in its file (:mod:`ecmt_deploy.program.ops`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.streams import Stream

if TYPE_CHECKING:
    from ecmt_deploy.program import Program

__all__ = ["Kernel", "Site", "Stream", "kernel", "kernels", "present"]


class IdentityKernel(Kernel):
    """A neuron that passes its membrane on as it is: with it, a program computes the analog network."""

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        return Stream(x.value + cast(self.node.initial, self.dtype), x.changed) if t == 1 else x


def kernel(node: Any, site: Site, dtype: np.dtype, identity_neurons: bool = False) -> Kernel:
    """The kernel that runs ``node`` at ``site`` in floating dtype ``dtype``; integer nodes run in int64, whatever ``dtype`` is.

    With ``identity_neurons`` a neuron passes its input on, which turns a program back into the analog network.
    """
    if identity_neurons and node.role == "neuron":
        if node.format is not None:
            raise ValueError(
                "the spikes of an integer program have units of their own; run its float program as analog network"
            )
        return IdentityKernel(node, site, dtype)
    if identity_neurons:
        node = node.analog
    made: Kernel = (node.kernel if node.format is None else node.integer_kernel)(node, site, dtype)
    return made


def kernels(program: Program, dtype: np.dtype, identity_neurons: bool = False) -> dict[str, Kernel]:
    """A kernel for every node of ``program``, in topological order."""
    return {name: kernel(node, Site.of(program, name), dtype, identity_neurons) for name, node in program.nodes.items()}


def present(program: Any, running: Mapping[str, Any], sample: np.ndarray) -> None:
    """Show a sample (*input_shape) to the kernels of a program, or of what else has ``inputs``: to each of them its part."""
    for name, part in program.inputs.unpack(sample).items():
        running[name].present(part)
