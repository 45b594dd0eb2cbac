"""Look-ups: by a constant index a movement, by an index that follows from tokens and masks a product with ones and zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.conversion.lowering.builder import Activation, Builder, Layout, Refusal
from ecmt_deploy.conversion.lowering.exact import inside, require_exact
from ecmt_deploy.conversion.lowering.exactness import Exact
from ecmt_deploy.conversion.lowering.nonlinear import product
from ecmt_deploy.conversion.lowering.table import handles
from ecmt_deploy.program import ops

Operand = Activation | Tensor


@handles("embedding")
def embedding(b: Builder, out: Layout, weight: Operand, ids: Activation, *args: Any) -> Any:
    """Rows of a table by token ids: an encoding layer."""
    if not isinstance(weight, Tensor):
        raise Refusal("is a look-up in a table that depends on the input")
    require_exact(ids, "looks up")
    return _row(b, out, ids, b.array(weight))


def _row(b: Builder, out: Layout, ids: Activation, table: np.ndarray) -> Activation:
    rows = b.emit(ops.Embedding(table), [ids], b.name("embedding"), out.with_shape(*ids.shape, table.shape[1]))
    return b.settled(replace(b.reshaped(rows, out), raw=True))


def one_hot(b: Builder, index: Activation, size: int) -> Activation:
    """A row of ``size`` for every index: 1 where it points to, elsewhere 0."""
    flat = Layout((*index.shape, 1), None, frozenset())
    rows = b.expanded(b.reshaped(index, flat), flat.with_shape(*index.shape, size))
    places = np.broadcast_to(-b.array(torch.arange(size)), rows.shape)
    name = b.name("add")
    difference = b.added([rows, b.constant(places, b.under(name, "constant"), rows, raw=True)], name, rows)
    return inside(b, difference, 0, 0)


def picked(b: Builder, out: Layout, x: Activation, index: Activation) -> Activation:
    """Rows of x (.., n, width), or of every leading index of it, by an index (rows,) or (.., rows): (.., rows, width)."""
    pointers = one_hot(b, index, x.shape[-2])
    detached = replace(x, batch=None, tied=frozenset())
    shape = (*np.broadcast_shapes(pointers.shape[:-2], x.shape[:-2]), index.shape[-1], x.shape[-1])
    rows = product(b, Layout(shape, None, frozenset()), pointers, detached, "matmul")
    return replace(b.reshaped(rows, out), exact=x.exact)


@handles("one_hot")
def one_hot_(b: Builder, out: Layout, ids: Activation, classes: int) -> Activation:
    require_exact(ids, "encodes")
    return one_hot(b, ids, out.shape[-1]).laid_out(out)


@handles("index_select")
def index_select(b: Builder, out: Layout, x: Operand, dim: int, index: Operand) -> Any:
    rank = x.rank if isinstance(x, Activation) else x.ndim
    return index_(b, out, x, [*[None] * (dim % rank), index])


@handles("index", "_unsafe_index")
def index_(b: Builder, out: Layout, x: Operand, indices: Sequence[Operand | None]) -> Any:
    given = [(dim, i) for dim, i in enumerate(indices) if i is not None]
    if isinstance(x, Activation) and x.batch in [dim for dim, _ in given] and len(given) > 1:
        if out.batch is None:
            raise Refusal("takes one sample for all")
        given = [(dim, i) for dim, i in given if dim != x.batch]  # every sample is its own
    dims = [dim for dim, _ in given]  # several indices address one flattened axis, if they stand side by side
    booleans = any(isinstance(i, Tensor) and i.dtype == torch.bool for _, i in given)
    if dims != list(range(dims[0], dims[0] + len(dims))) or (len(dims) > 1 and booleans):
        raise Refusal("is indexed along axes that do not stand side by side")
    if not isinstance(x, Activation):
        return _from_constant(b, out, x, dims, [i for _, i in given])
    axes = [x.axis(dim) for dim in dims]
    sizes = [x.shape[axis] for axis in axes]
    x = b.reshaped(x, x.with_axes(axes[0], prod(sizes), end=axes[-1] + 1))
    if any(isinstance(i, Activation) for _, i in given):
        flat = _flat_index(b, out, [i for _, i in given], sizes)
        lead, width = x.shape[: axes[0]], prod(x.shape[axes[0] + 1 :])
        matrices = b.reshaped(x, x.with_shape(*lead, prod(sizes), width))
        return picked(b, out, matrices, b.reshaped(flat, Layout((prod(flat.shape),), None, frozenset())))
    constants = [i for _, i in given if isinstance(i, Tensor)]
    chosen = [i.nonzero().ravel() if i.dtype == torch.bool else i for i in constants]
    broadcast = np.broadcast_arrays(*(i.numpy() % size for i, size in zip(chosen, sizes, strict=True)))
    places = np.ravel_multi_index(tuple(broadcast), tuple(sizes))
    return b.reshaped(b.taken(x, axes[0], places.ravel(), out), out)


def _flat_index(b: Builder, out: Layout, indices: Sequence[Any], sizes: Sequence[int]) -> Activation:
    """Indices along several axes as one along these axes flattened: exact integers."""
    for i in indices:
        if isinstance(i, Activation):
            require_exact(i, "is indexed by")
            if i.exact < Exact.INTEGERS:
                raise Refusal("is indexed by what is no integer")
    arrays = [None if isinstance(i, Activation) else b.sample_array(i, _like(out, i)) for i in indices]
    shapes = [i.shape if a is None else a.shape for i, a in zip(indices, arrays, strict=True)]
    layout = Layout(np.broadcast_shapes(*shapes), None, frozenset())
    terms, fixed, stride = [], np.zeros(layout.shape), 1
    for i, array, size in reversed(list(zip(indices, arrays, sizes, strict=True))):
        if array is None:
            term = b.expanded(replace(i, batch=None, tied=frozenset()), layout)
            terms.append(term if stride == 1 else b.scaled(term, b.array(float(stride)), b.name("scale"), layout))
        else:
            fixed = fixed + stride * (array % size)
        stride *= size
    if fixed.any():
        terms.append(b.constant(b.array(torch.from_numpy(fixed)), b.name("constant"), layout, raw=True))
    return terms[0] if len(terms) == 1 else b.added(terms, b.name("add"), layout)


def _like(out: Layout, constant: Tensor) -> Layout:
    """The layout of a constant index: it has the batch axis where the result has it, or is shorter."""
    return out if constant.ndim > len(out.shape) - 1 and out.batch == 0 else replace(out, batch=None, tied=frozenset())


def _same_everywhere(out: Layout, table: Tensor) -> Tensor | None:
    """What a look-up gives in a constant that is one number everywhere, whatever the index is: a constant, too."""
    return table.flatten()[0].expand(out.full_shape) if bool((table == table.flatten()[0]).all()) else None


def _from_constant(b: Builder, out: Layout, table: Tensor, dims: Sequence[int], indices: Sequence[Any]) -> Any:
    """Entries of a constant by an index that depends on the input: rows of a table."""
    same = _same_everywhere(out, table)
    if same is not None:
        return same
    sizes = [table.shape[dim] for dim in dims]
    if dims[0] and prod(table.shape[: dims[0]]) > 1:
        raise Refusal("looks up along an axis of a constant that is not its first")
    flat = _flat_index(b, out, indices, sizes)
    return _row(b, out, flat, b.array(table.reshape(prod(sizes), -1)))


@handles("gather")
def gather(b: Builder, out: Layout, x: Operand, dim: int, index: Operand, *args: Any) -> Any:
    """Along one axis, an index of its own for every element; ``x`` is cut to the index along the others."""
    axis = out.axis(dim)
    if not isinstance(x, Activation):
        return _gathered_constant(b, out, x, dim, index)
    if isinstance(index, Tensor):
        places = b.sample_array(index, out).astype(np.int64) % x.shape[axis]
        return _moved(b, out, x, axis, np.broadcast_to(places, out.shape))
    require_exact(index, "is indexed by")
    index, columns = _without_copies(b, index, axis)
    for other, size in enumerate(out.shape):
        if other != axis and x.shape[other] != size:
            x = b.emit(ops.Slice(other, 0, size, 1), [x], b.name("slice"), x.with_axes(other, size))
    rows = [other for other in range(len(out.shape)) if other != axis and other not in columns]
    order = [*rows, axis, *columns]
    width = prod(out.shape[other] for other in columns)
    lead = tuple(out.shape[other] for other in rows)
    matrices = b.reshaped(_ordered(b, x, order), x.with_shape(*lead, x.shape[axis], width))
    pointers = b.reshaped(_ordered(b, index, order), index.with_shape(*lead, index.shape[axis]))
    sorted_layout = out.with_shape(*(out.shape[other] for other in order))
    return _ordered(b, picked(b, sorted_layout, matrices, pointers), np.argsort(order).tolist())


def _ordered(b: Builder, x: Activation, order: Sequence[int]) -> Activation:
    if list(order) == sorted(order):
        return x
    return b.reordered(x, order, x)


def _without_copies(b: Builder, index: Activation, axis: int) -> tuple[Activation, list[int]]:
    """An index as it was before it was copied along other axes than ``axis``, and these axes."""
    before = b.copied.get(index.name, index)
    if len(before.shape) != len(index.shape):
        return index, []
    copied = [i for i, (size, of) in enumerate(zip(before.shape, index.shape, strict=True)) if size != of]
    return (index, []) if axis in copied else (before, copied)


def _moved(b: Builder, out: Layout, x: Activation, axis: int, places: np.ndarray) -> Activation:
    """A gather by constants: a movement along as few axes, flattened, as the index differs along."""
    lead = 0
    while lead < axis and x.shape[lead] == out.shape[lead] and (places == places.take([0], lead)).all():
        lead += 1
    grid = np.indices(out.shape[lead:])
    grid[axis - lead] = places[(0,) * lead]
    flat = np.ravel_multi_index(tuple(grid), x.shape[lead:]).ravel()
    x = b.reshaped(x, x.with_axes(lead, prod(x.shape[lead:]), end=len(x.shape)))
    return b.reshaped(b.taken(x, lead, flat, out), out)


def _gathered_constant(b: Builder, out: Layout, table: Tensor, dim: int, index: Any) -> Any:
    """Entries of a constant, which is the same along every other axis than ``dim``, by an index that depends on the input."""
    same = _same_everywhere(out, table)
    if same is not None:
        return same
    row = b.array(table).swapaxes(dim, -1)
    row = row.reshape(-1, row.shape[-1])
    if not (row == row[:1]).all():
        raise Refusal("gathers from a constant that differs along other axes, by an index that depends on the input")
    require_exact(index, "is indexed by")
    return _row(b, out, index, row[0][:, None])
