"""Arrays of any library, and named arrays of a batch as the packed samples of a program with named inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecmt_deploy.errors import DataError, said
from ecmt_deploy.program.inputs import Inputs

#: what labels are called in a batch that is a mapping
LABELS = ("y", "label", "labels", "target", "targets")


def is_array(value: Any) -> bool:
    """Whether this is an array or tensor of some library."""
    return hasattr(value, "__array__")


def as_array(value: Any) -> np.ndarray:
    """What NumPy makes of an array of any library.

    Raises
    ------
    DataError
        if that is nothing.
    """
    try:
        if hasattr(value, "detach"):  # torch's, which may want gradients, be elsewhere, or have a dtype NumPy does not know
            value = value.detach().cpu()
            if value.is_floating_point() and value.element_size() < 4:
                value = value.float()
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{type(value).__name__} does not become an array: {said(error)}") from error


def named_samples(item: Any, alone: bool, inputs: Inputs) -> tuple[np.ndarray, Any, bool]:
    """One piece of data as packed samples of a program with named inputs.

    Parameters
    ----------
    item : a mapping of one array for each input, (N, *shape) or of a single sample, in which ``y`` or ``labels`` may be beside
        them; packed samples (N, *inputs.shape), of one input as integers too; or a pair of either and labels
    alone : whether it is known to be a single sample

    Returns
    -------
    samples (N, *inputs.shape), or (*inputs.shape) of a single one; labels, ``None`` where there are none; and whether it is one

    Raises
    ------
    DataError
        naming the input, what was found and what is expected.
    """
    labels = None
    if isinstance(item, list | tuple) and item and (isinstance(item[0], Mapping) or is_array(item[0])):
        if len(item) > 2:
            raise DataError(f"a {type(item).__name__} of {len(item)}; expected pairs ({{name: array}}, labels)")
        item, labels = item[0], item[1] if len(item) == 2 else None
    if not isinstance(item, Mapping):
        x = as_array(item)
        alone = alone or x.shape == inputs.shape
        if len(inputs) > 1 and x.shape[0 if alone else 1 :] != inputs.shape:
            raise DataError(f"input of shape {x.shape}; expected a mapping of {inputs.sentence}")
        packed = inputs.pack(inputs.unpack(x[None] if alone else x))
        return packed[0] if alone else packed, labels, alone
    found = {key: _numbers(key, value) for key, value in item.items() if is_array(value) or isinstance(value, list | int)}
    given = [key for key in found if key in LABELS and key not in inputs.names]
    if given and labels is None:
        labels = found[given[0]]
    arrays = {key: array for key, array in found.items() if key not in given}
    inputs.require_names(arrays)
    alone = alone or all(arrays[entry.name].shape == entry.shape for entry in inputs)
    packed = inputs.pack({key: array[None] if alone else array for key, array in arrays.items()})
    return packed[0] if alone else packed, labels, alone


def _numbers(key: Any, value: Any) -> np.ndarray:
    """An array, also from nested lists as tokenizers give them."""
    try:
        array = as_array(value)
    except DataError:
        raise DataError(f"{key} does not become an array; pad all samples to one length") from None
    if array.dtype.kind not in "fiub":
        raise DataError(f"{key} has dtype {array.dtype}, expected numbers")
    return array
