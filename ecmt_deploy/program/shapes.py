"""Shape inference: the shape of every stream follows from the ``Input`` node and the constants."""

from collections.abc import Callable
from math import prod
from typing import Any

import nir
import numpy as np

from ecmt_deploy.program import fixed as f
from ecmt_deploy.program import nodes as n
from ecmt_deploy.program.functions import FUNCTIONS, result_shape

Shape = tuple[int, ...]


class ShapeError(ValueError):
    """Operand shapes that a node cannot take; the message says which and what was expected."""


def infer(node: nir.NIRNode, operands: list[Shape]) -> Shape:
    """Shape (per sample) of the output of ``node`` for operand shapes ``operands``.

    Raises
    ------
    ShapeError
        if the node cannot take operands of these shapes.
    """
    try:
        return tuple(int(size) for size in _RULES[type(node)](node, *operands))
    except ShapeError:
        raise
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        raise ShapeError(f"cannot take operands of shape {operands}: {error}") from None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ShapeError(message)


def _axis(axis: int, shape: Shape) -> int:
    _require(-len(shape) <= axis < len(shape), f"axis {axis} of an operand of shape {shape}")
    return axis % len(shape)


def _reshape(node: n.Reshape, x: Shape) -> Shape:
    shape = tuple(node.shape.tolist())
    _require(all(size >= 0 for size in shape) and prod(shape) == prod(x), f"reshape of {x} to {shape}: sizes differ")
    return shape


def _permute(node: n.Permute, x: Shape) -> Shape:
    axes = node.axes.tolist()
    _require(sorted(axes) == list(range(len(x))), f"axes {axes} are no permutation of the {len(x)} axes of {x}")
    return tuple(x[axis] for axis in axes)


def _slice(node: n.Slice, x: Shape) -> Shape:
    axis = _axis(node.axis, x)
    fits = 0 <= node.start < node.stop <= x[axis] and node.step > 0
    _require(fits, f"slice {node.start}:{node.stop}:{node.step} of axis {axis} of {x}")
    return (*x[:axis], len(range(node.start, node.stop, node.step)), *x[axis + 1 :])


def _take(node: n.Take, x: Shape) -> Shape:
    axis = _axis(node.axis, x)
    fits = node.indices.ndim == 1 and node.indices.size > 0 and node.indices.min() >= 0 and node.indices.max() < x[axis]
    _require(bool(fits), f"indices outside axis {axis} of {x}")
    return (*x[:axis], node.indices.size, *x[axis + 1 :])


def _expand(node: n.Expand, x: Shape) -> Shape:
    shape = tuple(node.shape.tolist())
    _require(np.broadcast_shapes(x, shape) == shape, f"expand of {x} to {shape}")
    return shape


def _pad(node: n.Pad, x: Shape) -> Shape:
    _require(node.widths.shape == (len(x), 2) and bool((node.widths >= 0).all()), f"widths do not fit {x}")
    return tuple(size + int(before + after) for size, (before, after) in zip(x, node.widths, strict=True))


def _concat(node: n.Concat, *xs: Shape) -> Shape:
    axis = _axis(node.axis, xs[0])
    rest = {(*x[:axis], *x[axis + 1 :]) for x in xs}
    _require(len(rest) == 1 and len({len(x) for x in xs}) == 1, f"concatenation of {list(xs)} along axis {axis}")
    return (*xs[0][:axis], sum(x[axis] for x in xs), *xs[0][axis + 1 :])


def _linear(node: nir.Linear | n.LastAxisLinear, x: Shape) -> Shape:
    _require(node.weight.ndim == 2, f"weight of shape {node.weight.shape}, expected (out, in)")
    _require(len(x) > 0 and x[-1] == node.weight.shape[1], f"operand {x}, weight {node.weight.shape}: last axis differs")
    return (*x[:-1], node.weight.shape[0])


def _vector_linear(node: nir.Linear, x: Shape) -> Shape:
    _require(len(x) == 1, f"Linear takes a vector, not {x}; use LastAxisLinear")
    return _linear(node, x)


def convolution(node: nir.Conv1d | nir.Conv2d) -> dict[str, Any]:
    """Stride, padding and dilation (one per spatial axis) and groups of a convolution node, as plain integers."""
    axes = node.weight.ndim - 2
    values: dict[str, Any] = {"groups": int(node.groups)}
    for name in ("stride", "padding", "dilation"):
        value = np.broadcast_to(np.asarray(getattr(node, name), dtype=np.int64), (axes,))
        values[name] = tuple(int(v) for v in value)
    return values


def _conv(node: nir.Conv1d | nir.Conv2d, x: Shape) -> Shape:
    axes = node.weight.ndim - 2
    _require(
        axes == (1 if isinstance(node, nir.Conv1d) else 2) or isinstance(node, f.FixedConv),
        f"weight of shape {node.weight.shape}",
    )
    _require(len(x) == axes + 1, f"operand {x}, expected (channels, {axes} spatial axes)")
    declared = tuple(int(size) for size in np.atleast_1d(node.input_shape)) if node.input_shape is not None else x[1:]
    _require(declared == x[1:], f"input_shape is {declared}, the operand {x}")
    p = convolution(node)
    groups = p["groups"]
    _require(isinstance(groups, int) and groups > 0 and x[0] == node.weight.shape[1] * groups, f"operand {x}: channels")
    _require(node.weight.shape[0] % groups == 0, f"{node.weight.shape[0]} output channels in {groups} groups")
    out = []
    for size, kernel, stride, padding, dilation in zip(
        x[1:], node.weight.shape[2:], p["stride"], p["padding"], p["dilation"], strict=True
    ):
        _require(stride > 0 and padding >= 0 and dilation > 0, "stride, padding or dilation out of range")
        out.append((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
    _require(all(size > 0 for size in out), f"operand {x} is smaller than the kernel")
    return (node.weight.shape[0], *out)


def _scale(node: nir.Scale, x: Shape) -> Shape:
    _require(node.scale.shape == x, f"scale of shape {node.scale.shape} on {x}; use BroadcastScale")
    return x


def _broadcasts(name: str, array: np.ndarray, x: Shape) -> None:
    _require(np.broadcast_shapes(np.shape(array), x) == x, f"{name} of shape {np.shape(array)} on {x}")


def _broadcast_scale(node: n.BroadcastScale, x: Shape) -> Shape:
    _broadcasts("scale", node.scale, x)
    return x


def _add(node: n.Add, *xs: Shape) -> Shape:
    _require(len(set(xs)) == 1, f"operands of shapes {list(xs)}; Add takes one shape (Expand the smaller)")
    return xs[0]


def _mean(node: n.Mean, x: Shape) -> Shape:
    axes = [_axis(int(axis), x) for axis in node.axes]
    _require(len(set(axes)) == len(axes) > 0, f"axes {axes} of {x}")
    return tuple(1 if i in axes else size for i, size in enumerate(x) if node.keepdims or i not in axes)


def _neuron(node: n.MultiThreshold, x: Shape) -> Shape:
    _broadcasts("positive_base", node.positive_base, x)
    _broadcasts("negative_base", node.negative_base, x)
    _broadcasts("lowest_level", node.lowest_level, x)
    _broadcasts("initial_membrane", node.initial_membrane, x)
    return x


def _product(node: n.ECMProduct, a: Shape, b: Shape) -> Shape:
    _broadcasts("left_initial", node.left_initial, a)
    _broadcasts("right_initial", node.right_initial, b)
    if node.product == "multiply":
        return np.broadcast_shapes(a, b)
    _require(len(a) >= 2 and len(b) >= 2 and a[-1] == b[-2], f"matmul of {a} and {b}")
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])


def _ecm(node: n.ECM, *xs: Shape) -> Shape:
    operand = np.broadcast_shapes(*xs)
    known: dict[str, Any] = {}
    for parameter in FUNCTIONS[node.function].parameters:
        if parameter.name not in node.parameters:
            _require(not parameter.required, f"parameter {parameter.name} is missing, expected {parameter.expected}")
            continue
        value = np.asarray(node.parameters[parameter.name])
        found = f"{value.item()}" if value.ndim == 0 else f"of shape {value.shape}, {value.dtype}"
        sound = parameter.holds(value, operand, known)
        _require(sound, f"parameter {parameter.name} is {found}, expected {parameter.expected}; the operand is {operand}")
        known[parameter.name] = value
    unknown = sorted(set(node.parameters) - set(known))
    _require(not unknown, f"parameters hold {unknown[:1]}, which {node.function} does not take")
    return result_shape(node.function, known, list(xs))


def _fixed_neuron(node: f.FixedMultiThreshold, x: Shape) -> Shape:
    _broadcasts("unit", node.unit, x)
    return _neuron(node, x)


def _fixed_product(node: f.FixedECMProduct, a: Shape, b: Shape) -> Shape:
    _broadcasts("left_unit", node.left_unit, a)
    _broadcasts("right_unit", node.right_unit, b)
    return _product(node, a, b)


def _fixed_ecm(node: f.FixedECM, *xs: Shape) -> Shape:
    shape = result_shape(node.function, node.parameters, list(xs))
    for key in ("weight", "weight_shift", "bias"):
        if key in node.parameters:
            array = node.parameters[key]
            if node.function == "group_norm" and np.ndim(array):
                _require(np.shape(array) == shape[:1], f"{key} of shape {np.shape(array)} on {shape}")
            else:
                _broadcasts(key, array, shape)
    if "groups" in node.parameters:
        groups = int(node.parameters["groups"])
        _require(groups > 0 and shape[0] % groups == 0, f"{groups} groups of {shape}")
    if "normalized_axes" in node.parameters:
        _require(0 < int(node.parameters["normalized_axes"]) <= len(shape), f"normalized_axes of {shape}")
    if "axis" in node.parameters:
        _axis(int(node.parameters["axis"]), shape)
    return shape


def _output(node: nir.Output, x: Shape) -> Shape:
    _require(n.output_shape(node) == x, f"declares {n.output_shape(node)} but receives {x}")
    return x


_RULES: dict[type, Callable[..., Shape]] = {
    nir.Input: lambda node: n.input_shape(node),
    nir.Output: _output,
    n.Reshape: _reshape,
    n.Permute: _permute,
    n.Slice: _slice,
    n.Take: _take,
    n.Expand: _expand,
    n.Pad: _pad,
    n.Concat: _concat,
    nir.Linear: _vector_linear,
    n.LastAxisLinear: _linear,
    nir.Conv1d: _conv,
    nir.Conv2d: _conv,
    nir.Scale: _scale,
    n.BroadcastScale: _broadcast_scale,
    n.Add: _add,
    n.Mean: _mean,
    n.Constant: lambda node: node.value.shape,
    n.Hold: lambda node, x: x,
    n.MultiThreshold: _neuron,
    n.ECM: _ecm,
    n.ECMProduct: _product,
    n.Readout: lambda node, x: x,
    f.FixedInput: lambda node: n.input_shape(node),
    f.FixedConstant: lambda node: node.value.shape,
    f.FixedLinear: _linear,
    f.FixedConv: _conv,
    f.FixedScale: lambda node, x: x,
    f.FixedAdd: _add,
    f.FixedMean: _mean,
    f.FixedHold: lambda node, x: x,
    f.FixedMultiThreshold: _fixed_neuron,
    f.FixedECM: _fixed_ecm,
    f.FixedECMProduct: _fixed_product,
    f.FixedReadout: lambda node, x: x,
}
