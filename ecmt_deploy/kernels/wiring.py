"""Wiring in NumPy: the same index arithmetic serves values and masks."""

import nir
import numpy as np

from ecmt_deploy.program import nodes as n


def rewire(node: nir.NIRNode, *arrays: np.ndarray) -> np.ndarray:
    """Output of a wiring node for operand arrays (values, or masks of changed elements)."""
    x = arrays[0]
    match node:
        case n.Reshape():
            return x.reshape(node.shape.tolist())
        case n.Permute():
            return x.transpose(node.axes.tolist())
        case n.Slice():
            index = [slice(None)] * x.ndim
            index[node.axis] = slice(node.start, node.stop, node.step)
            return x[tuple(index)]
        case n.Take():
            return np.take(x, node.indices, axis=node.axis)
        case n.Expand():
            return np.broadcast_to(x, node.shape.tolist())
        case n.Pad():
            return np.pad(x, node.widths) if x.ndim else x
        case n.Concat():
            return np.concatenate(arrays, axis=node.axis)
    raise TypeError(f"{type(node).__name__} is no wiring")
