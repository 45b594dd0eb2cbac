"""The op that runs each node of the dialect; written from the equations, not from the kernels, so each checks the other."""

from __future__ import annotations

import nir

from ecmt_deploy.engine.base import Op
from ecmt_deploy.engine.compensation import ECM, Hold, Product, Readout
from ecmt_deploy.engine.elementwise import Add, Mean, Scale
from ecmt_deploy.engine.neuron import Neuron
from ecmt_deploy.engine.synapses import Conv, Linear, Synapses
from ecmt_deploy.engine.wiring import Constant, Input, Output, Wiring
from ecmt_deploy.program import nodes as n

__all__ = ["OPS", "Input", "Neuron", "Product", "Synapses"]

OPS: dict[type, type[Op]] = {
    **dict.fromkeys(n.WIRING, Wiring),
    nir.Input: Input,
    nir.Output: Output,
    nir.Linear: Linear,
    n.LastAxisLinear: Linear,
    nir.Conv1d: Conv,
    nir.Conv2d: Conv,
    nir.Scale: Scale,
    n.BroadcastScale: Scale,
    n.Add: Add,
    n.Mean: Mean,
    n.Constant: Constant,
    n.Hold: Hold,
    n.MultiThreshold: Neuron,
    n.ECM: ECM,
    n.ECMProduct: Product,
    n.Readout: Readout,
}
