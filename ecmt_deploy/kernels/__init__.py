"""One step of every node in plain NumPy: the written semantics of the dialect.

The reference target and the Lava process models both run these kernels; the torch engine is written independently of them.
"""

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site
from ecmt_deploy.kernels.fixed import FIXED_KERNELS
from ecmt_deploy.kernels.linear import AddKernel, ConvKernel, LinearKernel, MeanKernel, ScaleKernel
from ecmt_deploy.kernels.sources import ConstantKernel, InputKernel, OutputKernel, WiringKernel
from ecmt_deploy.kernels.stateful import (
    ECMKernel,
    HoldKernel,
    IdentityKernel,
    NeuronKernel,
    ProductKernel,
    ReadoutKernel,
)
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.graph import Program

__all__ = ["InputKernel", "Kernel", "Site", "Stream", "kernel", "kernels"]

_KERNELS: dict[type, type[Kernel]] = {
    nir.Input: InputKernel,
    nir.Output: OutputKernel,
    n.Constant: ConstantKernel,
    **dict.fromkeys(n.WIRING, WiringKernel),
    nir.Linear: LinearKernel,
    n.LastAxisLinear: LinearKernel,
    nir.Conv1d: ConvKernel,
    nir.Conv2d: ConvKernel,
    nir.Scale: ScaleKernel,
    n.BroadcastScale: ScaleKernel,
    n.Add: AddKernel,
    n.Mean: MeanKernel,
    n.Hold: HoldKernel,
    n.MultiThreshold: NeuronKernel,
    n.ECM: ECMKernel,
    n.ECMProduct: ProductKernel,
    n.Readout: ReadoutKernel,
    **FIXED_KERNELS,
}


def kernel(node: nir.NIRNode, site: Site, dtype: np.dtype, identity_neurons: bool = False) -> Kernel:
    """The kernel that runs ``node`` at ``site`` in floating dtype ``dtype``; integer nodes run in int64, whatever ``dtype`` is.

    With ``identity_neurons`` a neuron passes its input on, which turns a program back into the analog network.
    """
    if identity_neurons and isinstance(node, n.MultiThreshold):
        if type(node) in FIXED_KERNELS:
            raise ValueError(
                "the spikes of an integer program have units of their own; run its float program as analog network"
            )
        return IdentityKernel(node, site, dtype)
    return _KERNELS[type(node)](node, site, dtype)


def kernels(program: Program, dtype: np.dtype, identity_neurons: bool = False) -> dict[str, Kernel]:
    """A kernel for every node of ``program``, in topological order."""
    return {name: kernel(node, Site.of(program, name), dtype, identity_neurons) for name, node in program.nodes.items()}
