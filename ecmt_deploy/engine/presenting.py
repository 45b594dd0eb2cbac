"""Samples as a program takes them, readouts as people read them: an integer program computes in units of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program import Program
from ecmt_deploy.program.arrays import as_array

#: samples (B, *input_shape), or one tensor of each input by name
Samples: TypeAlias = Tensor | Mapping[str, Any]
#: what has no meaning for integers, and what to do instead
WITHOUT_ANALOG = (
    "an integer program has no analog network: its spikes have units of their own; run the float program that it was made of"
)
OWN_WIDTHS = "an integer program computes in the widths that its nodes declare; leave out --dtype, which is for float programs"
NO_KERNELS = "fused kernels are of float programs; run an integer program without --compile"


def packed(program: Program, x: Samples | None, named: Mapping[str, Any]) -> Tensor:
    """Samples (B, *input_shape), from a tensor that holds them so, or from one tensor of each input by name.

    Parameters
    ----------
    x : samples, packed where there are several inputs, or a mapping of named inputs
    named : inputs that were passed as keywords

    Raises
    ------
    DataError
        naming the input, what was found and what is expected.
    """
    inputs = program.inputs
    if named and isinstance(x, Tensor) and "x" in inputs.names:  # an input that is called as the parameter is
        x, named = None, {"x": x, **named}
    if isinstance(x, Mapping) or (x is None and named):
        given = {**(x or {}), **named}
        inputs.require_names(given)
        return torch.from_numpy(inputs.pack({name: as_array(value) for name, value in given.items()}))
    if x is None or named:
        raise DataError(f"expected samples, or one tensor of each input by name: {inputs.sentence}")
    if x.ndim == 0 or tuple(x.shape[1:]) != inputs.shape:
        expected = f"; {inputs.sentence}, by name or packed in this order" if inputs.named else ""
        raise DataError(f"input of shape {tuple(x.shape)}; the program expects (batch, *{inputs.shape}){expected}")
    if inputs.integers:
        inputs.require(as_array(x))
    return x


def presented(program: Program, x: Tensor, like: Tensor) -> Tensor:
    """Samples (B, *input_shape) in the dtype that the engine takes, on the device of ``like``.

    Of an integer program: floats become the nearest multiples of the input's 2**exponent, ties to even; integers are taken as
    such multiples already.

    Raises
    ------
    ConfigError
        if torch was told to compute products of float32 matrices in fewer digits, in which integers are not exact.
    DataError
        if a sample of an integer program is infinite or no number.
    """
    if not program.integer:
        # ids are exact in single precision, and not in half; their input leaves them so
        exact = torch.promote_types(like.dtype, torch.float32) if program.inputs.integers else like.dtype
        return x.to(like.device, exact)
    if (precision := torch.get_float32_matmul_precision()) != "highest":
        raise ConfigError(
            f"torch computes float32 products in precision {precision!r}, in which integers are not exact; call "
            "torch.set_float32_matmul_precision('highest')"
        )
    own = x.to(like)
    if not own.isfinite().all():
        raise DataError("the samples hold a value that is infinite or no number; an integer program takes numbers")
    units = torch.as_tensor(np.exp2(-program.input_exponents.astype(np.float64))).to(own)
    return torch.round(own * units) if x.is_floating_point() else own


def readable(program: Program, readouts: Tensor) -> Tensor:
    """Readouts as numbers: of an integer program the integers times 2**exponent, which float64 holds exactly."""
    return readouts * 2.0 ** program.exponents[program.output_name] if program.integer else readouts


def integers(program: Program, readouts: Tensor) -> Tensor:
    """The integers (int64) that :func:`readable` made numbers of."""
    return (readouts * 2.0 ** -program.exponents[program.output_name]).long()
