"""What all nodes with weights have in common: they take spikes, or the raw image, and their bias is an added constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout
from ecmt_deploy.program.ops import Op


def synapses(b: Builder, out: Layout, x: Activation, node: Op, name: str, channel_axis: int) -> Activation:
    """A weight node that takes spikes, or the raw image: its output rate coding holds from here on."""
    taken = x if x.raw else b.spikes(x, name, channel_axis)
    y = b.emit(node, [taken], name, out)
    return b.settled(replace(y, raw=True)) if x.raw else y


def biased(b: Builder, out: Layout, y: Activation, bias: np.ndarray, owner: str) -> Activation:
    """``y + bias``, which is broadcast to it."""
    constant = b.constant(np.broadcast_to(bias, y.shape), b.under(owner, "bias"), out, y.raw)
    return b.added([y, constant], b.under(owner, "add"), out)
