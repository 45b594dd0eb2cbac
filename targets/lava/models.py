"""Classes of Lava process models.

Lava matches the ports and variables of a model with those of its process by name, at class level, so every set of names and
every dtype has a class of its own. :func:`model_class` makes them all from one body.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


def model_class(
    body: type, process: type[AbstractProcess], inputs: Iterable[str], output: str, state: Iterable[str], dtype: type
) -> Any:
    """The model of ``process`` in one dtype.

    Parameters
    ----------
    body : what the model does, a subclass of ``PyLoihiProcessModel``
    inputs, output, state : names of the process's ports and variables
    dtype : of its messages and variables: with integers it is tagged ``fixed_pt``, otherwise ``floating_pt``. Integer
        variables have 64 bits, for what rounding leaves is as wide as the shift
    """
    fixed = np.dtype(dtype).kind == "i"
    attributes: dict[str, Any] = {
        **{port: LavaPyType(PyInPort.VEC_DENSE, dtype) for port in inputs},
        output: LavaPyType(PyOutPort.VEC_DENSE, dtype),
        **{
            variable: LavaPyType(np.ndarray, np.int64 if fixed else dtype, precision=24 if fixed else None)
            for variable in state
        },
        "__module__": process.__module__,  # Lava looks for models beside the process
        "__doc__": f"{'Integer' if fixed else 'Floating-point'} model of :class:`{process.__name__}`.",
    }
    model = type(f"Py{process.__name__}{'Fixed' if fixed else 'Float'}", (body,), attributes)
    tagged = tag("fixed_pt" if fixed else "floating_pt")(model)
    return implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(tagged))
