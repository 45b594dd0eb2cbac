"""Where streams begin and end: the sample, the constants, and the wiring between nodes."""

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.streams import Stream
from ecmt_deploy.kernels.wiring import rewire
from ecmt_deploy.program import nodes as n


class InputKernel(Kernel):
    """``Input``: the sample enters at t = 1, and nothing after it, in both codings."""

    def present(self, sample: np.ndarray) -> None:
        """Set the sample of the inference that begins."""
        self.sample = cast(sample, self.dtype)

    def advance(self, t: int, *operands: Stream) -> Stream:
        first = t == 1
        return Stream(self.sample if first else self.zeros(self.site.shape), np.full(self.site.shape, first))


class ConstantKernel(Kernel):
    """``Constant``: its value at every step, or at the first only."""

    node: n.Constant

    def __init__(self, node: n.Constant, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.value = cast(node.value, dtype)
        self.nothing = self.zeros(site.shape)

    def advance(self, t: int, *operands: Stream) -> Stream:
        emits = t == 1 or self.node.schedule == "every"
        return Stream(self.value if emits else self.nothing, np.full(self.site.shape, emits))


class WiringKernel(Kernel):
    """Any wiring node: moves values and masks alike; it sends nothing of its own, so it counts nothing."""

    def step(self, t: int, *operands: Stream) -> Stream:
        return self.advance(t, *operands)

    def advance(self, t: int, *operands: Stream) -> Stream:
        values, masks = zip(*operands, strict=True)
        return Stream(rewire(self.node, *values), rewire(self.node, *masks))


class OutputKernel(Kernel):
    """``Output``: hands the readout on to whoever runs the program."""

    node: nir.Output

    def step(self, t: int, *operands: Stream) -> Stream:
        return self.advance(t, *operands)

    def advance(self, t: int, *operands: Stream) -> Stream:
        return operands[0]
