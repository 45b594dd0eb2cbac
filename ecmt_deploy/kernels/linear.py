"""Synapses: linear maps and convolutions, and the analog arithmetic around them (scale, sum, mean)."""

from math import prod

import nir
import numpy as np

from ecmt_deploy.kernels.base import Kernel, Site, cast
from ecmt_deploy.kernels.streams import Stream, rows
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.shapes import convolution


class SynapseKernel(Kernel):
    """Counts shared by linear nodes: synops where the operand spikes, MACs where it is analog."""

    dense_macs: int  # of one inference

    def count(self, t: int, synops: int) -> None:
        """Count one step in which spikes caused ``synops`` weight accesses (0 where the operand is analog)."""
        if t == 1:
            self._counts["dense_macs"] += self.dense_macs
        if self.site.spiking[0]:
            self._counts["synops"] += synops
        elif not self.site.encoding or t == 1:
            self._counts["macs"] += self.dense_macs


class LinearKernel(SynapseKernel):
    """``nir.Linear`` and ``LastAxisLinear``."""

    node: nir.Linear | n.LastAxisLinear

    def __init__(self, node: nir.NIRNode, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.weight = cast(node.weight, dtype)
        self.dense_macs = prod(site.operand_shapes[0][:-1]) * self.weight.size

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        self.count(t, int(np.count_nonzero(x.value)) * self.weight.shape[0])
        changed = np.broadcast_to(x.changed.any(axis=-1, keepdims=True), self.site.shape)
        return Stream(x.value @ self.weight.T, changed)


class ConvKernel(SynapseKernel):
    """``nir.Conv1d`` and ``nir.Conv2d`` (one dimension runs as two)."""

    node: nir.Conv1d | nir.Conv2d

    def __init__(self, node: nir.NIRNode, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.weight = cast(node.weight, dtype)
        p = convolution(node)
        self.stride, self.padding, self.dilation, self.groups = p["stride"], p["padding"], p["dilation"], p["groups"]
        self.line = node.weight.ndim == 3
        if self.line:
            self.weight = self.weight[:, :, None]
            self.stride, self.padding, self.dilation = (1, *self.stride), (0, *self.padding), (1, *self.dilation)
        self.dense_macs = self._taps(np.ones(site.operand_shapes[0], bool))

    def _planes(self, x: np.ndarray) -> np.ndarray:
        return x[:, None] if self.line else x

    def _windows(self, x: np.ndarray) -> np.ndarray:
        """Windows (C, H', W', kh, kw) of the padded planes, without a copy."""
        (ph, pw), (sh, sw), (dh, dw) = self.padding, self.stride, self.dilation
        kh, kw = self.weight.shape[2:]
        x = np.pad(self._planes(x), ((0, 0), (ph, ph), (pw, pw)))
        window = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
        view: np.ndarray = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))  # type: ignore[call-overload]
        return view[:, ::sh, ::sw, ::dh, ::dw]

    def _taps(self, mask: np.ndarray) -> int:
        """Weight accesses that the events in ``mask`` cause: true taps, padding excluded."""
        return int(np.count_nonzero(self._windows(mask))) * (self.weight.shape[0] // self.groups)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        windows = self._windows(x.value)
        channels, outputs = windows.shape[0] // self.groups, self.weight.shape[0] // self.groups
        value = np.concatenate([
            np.tensordot(
                self.weight[g * outputs : (g + 1) * outputs],
                windows[g * channels : (g + 1) * channels],
                axes=([1, 2, 3], [0, 3, 4]),
            )
            for g in range(self.groups)
        ])  # fmt: skip
        self.count(t, self._taps(x.value != 0) if self.site.spiking[0] else 0)
        reached = self._windows(x.changed).any(axis=(3, 4))  # (C, H', W'): by input channel
        by_group = reached.reshape(self.groups, channels, *reached.shape[1:]).any(axis=1)
        changed = np.repeat(by_group, outputs, axis=0).reshape(self.site.shape)
        return Stream(value.reshape(self.site.shape), rows(changed))


class ScaleKernel(Kernel):
    """``nir.Scale`` and ``BroadcastScale``."""

    ecm_kind = "scale"

    def __init__(self, node: nir.NIRNode, site: Site, dtype: np.dtype) -> None:
        super().__init__(node, site, dtype)
        self.scale = cast(node.scale, dtype)

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        changed = rows(x.changed)
        self.count_elements(int(changed.sum()))
        return Stream(x.value * self.scale, changed)


class AddKernel(Kernel):
    """``Add``: operands from the left."""

    ecm_kind = "add"

    def advance(self, t: int, *operands: Stream) -> Stream:
        value, changed = operands[0]
        for x in operands[1:]:
            value, changed = value + x.value, changed | x.changed
        changed = rows(changed)
        self.count_elements(int(changed.sum()) * (len(operands) - 1))
        return Stream(value, changed)


class MeanKernel(Kernel):
    """``Mean`` over axes."""

    ecm_kind = "mean"

    node: n.Mean

    def advance(self, t: int, *operands: Stream) -> Stream:
        (x,) = operands
        axes = tuple(int(axis) % x.value.ndim for axis in self.node.axes)
        self.count_elements(int(rows(x.changed).sum()))
        changed = x.changed.any(axis=axes, keepdims=bool(self.node.keepdims))
        return Stream(self.average(x.value, axes, bool(self.node.keepdims)), rows(np.asarray(changed)))

    def average(self, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        """The mean itself."""
        return np.asarray(x.mean(axis=axes, keepdims=keepdims))
