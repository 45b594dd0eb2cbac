"""Samples as a program takes them, readouts as people read them: an integer program computes in units of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program import Program

#: what has no meaning for integers, and what to do instead
WITHOUT_ANALOG = (
    "an integer program has no analog network: its spikes have units of their own; run the float program that it was made of"
)
OWN_WIDTHS = "an integer program computes in the widths that its nodes declare; leave out --dtype, which is for float programs"
NO_KERNELS = "fused kernels are of float programs; run an integer program without --compile"


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
        return x.to(like)
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
