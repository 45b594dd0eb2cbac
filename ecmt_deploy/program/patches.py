"""Which patch of the input an element of a stream belongs to: at the input itself, and in the rows of the layers behind it."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ecmt_deploy.program.graph import Program
from ecmt_deploy.program.ops.convolution import convolution


def patches(program: Program) -> np.ndarray:
    """Number of the patch that every element of the input belongs to, of the input's shape.

    A patch is what whoever takes the image reads at once: of a convolution a tile as large as its kernel, in all channels, of
    anything else a row. Elements that nobody reads are a patch of their own.
    """
    shape = program.input_shape
    #: by node on the way of the image: 1 + which element of the input stands there, 0 for what is none
    places = {program.input_name: 1 + np.arange(prod(shape), dtype=np.int64).reshape(shape)}
    numbers = np.full(prod(shape) + 1, -1, np.int64)
    for name, sources in program.operands.items():
        node, image = program.nodes[name], [source for source in sources if source in places]
        if not image:
            continue
        if node.role == "movement":
            places[name] = _moved(program, name, places)
        elif node.passes_image and node.role != "output":
            places[name] = np.broadcast_to(places[image[0]], program.shapes[name])
        else:
            for source in image:
                found, where = _tiles(node, places[source].shape), places[source]
                new = (where > 0) & (numbers[where] < 0)
                numbers[where[new]] = found[new] + numbers.max() + 1
    numbers[numbers < 0] = numbers.max() + 1
    return np.unique(numbers[1:], return_inverse=True)[1].reshape(shape)


def rows_of_patches(program: Program) -> dict[str, np.ndarray]:
    """Of every neuron whose rows (the last axis) stand for patches: the patch of each row, (*shape[:-1],), -1 for none.

    From the encoding layers on, rows keep their patch through everything that works row by row, and move with the wiring; in a
    product of matrices the row of the result is that of the left operand. Means over patches, and what stands behind them, are
    of no patch.
    """
    numbers = patches(program)
    found: dict[str, np.ndarray] = {program.input_name: 1 + numbers}
    for name, sources in program.operands.items():
        node, shape = program.nodes[name], program.shapes[name]
        known = [source for source in sources if source in found]
        if not known:
            continue
        if node.role == "movement":
            found[name] = _moved(program, name, found)
        elif name in program.encoding:
            found[name] = _encoded(node, found[known[0]], shape)
        elif node.role in ("arithmetic", "neuron", "function", "product", "synapse"):
            rows = [_by_rows(found[source]) for source in known]
            fitting = [row[..., None] for row in rows if row is not None and row.shape == shape[:-1]]
            if node.layer == "elements":
                fitting += [found[source] for source in known if found[source].shape == shape]
            if fitting and node.layer in ("elements", "linear", "matmul"):
                found[name] = np.broadcast_to(fitting[0], shape)
    neurons = {name: _by_rows(found[name]) for name in program.neurons if name in found}
    return {name: rows - 1 for name, rows in neurons.items() if rows is not None and rows.size > 1 and rows.any()}


def _moved(program: Program, name: str, known: dict[str, np.ndarray]) -> np.ndarray:
    """What wiring makes of what is known of its operands; zeros of the others."""
    sources = program.operands[name]
    moved: np.ndarray = program.nodes[name].rewire(
        *(known[source] if source in known else np.zeros(program.shapes[source], np.int64) for source in sources)
    )
    return moved


def _by_rows(numbers: np.ndarray) -> np.ndarray | None:
    """The number of each row; ``None`` where a row has several."""
    if numbers.ndim == 0 or not (numbers == numbers[..., :1]).all():
        return None
    first: np.ndarray = numbers[..., 0]
    return first


def _encoded(node: Any, numbers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The patches of an encoding layer's result: that in which a window, or a row, begins."""
    if node.layer != "convolution":
        return np.broadcast_to(numbers[..., :1], shape)
    if node.spatial_axes is None:  # the window's first place that is no padding
        under = node.under(numbers.shape[1:], shape[1:])
        first = np.take_along_axis(under, (under >= 0).argmax(axis=1)[:, None], axis=1)[:, 0]
        return np.broadcast_to(numbers[0].ravel()[np.maximum(first, 0)].reshape(shape[1:]), shape)
    p, seen = convolution(node), numbers[0]
    for axis, (size, out) in enumerate(zip(numbers.shape[1:], shape[1:], strict=True)):
        starts = np.arange(out) * p["stride"][axis] - p["padding"][axis] + node.weight.shape[2 + axis] // 2
        seen = np.take(seen, np.clip(starts, 0, size - 1), axis=axis)
    return np.broadcast_to(seen, shape)


def _tiles(node: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Number of the tile of every element of an operand."""
    if node.layer != "convolution":
        rows = np.arange(prod(shape[:-1]), dtype=np.int64).reshape(*shape[:-1], 1) if shape else np.zeros((), np.int64)
        return np.broadcast_to(rows, shape)
    number = np.zeros(shape[1:], np.int64)
    if node.spatial_axes is None:  # the first window that reads it
        under = node.under(shape[1:], ())
        place, tap = np.nonzero(under >= 0)
        number.ravel()[under[place, tap][::-1]] = 1 + place[::-1]
        return np.broadcast_to(number, shape)
    padding, kernel = convolution(node)["padding"], node.weight.shape[2:]
    for axis, (size, before, width) in enumerate(zip(shape[1:], padding, kernel, strict=True)):
        along = (np.arange(size) + before) // width
        number = number * (along.max() + 1) + along.reshape(-1, *[1] * (len(shape) - 2 - axis))
    return np.broadcast_to(number, shape)
