"""Lava processes of spiking transformers, for networks made by hand.

Neurons of levels and of payloads, token-wise synapses, and expectation compensation (ECM) with its accumulators as state.
They connect to any other Lava process, take ``Monitor`` probes on their ports and variables, and run under ``Loihi2SimCfg``
with ``select_tag`` ``floating_pt`` or ``fixed_pt``. What they compute is written down in ``docs/format.md``; their models call
the project's kernels.

Import this package before anything of ``lava``: on Python 3.11 and later, lava-nc cannot be imported without it.

All of them pass a message on within the time step in which it arrives, so a network of them must have no loop without a delay.
"""

from .. import compat

compat.prepare()

from .compensation import ECMGELU, ECMLayerNorm, ECMSoftmax  # noqa: E402
from .graded import Graded  # noqa: E402
from .neuron import MultiThreshold  # noqa: E402
from .product import ECMProduct  # noqa: E402
from .synapse import TokenLinear  # noqa: E402

__all__ = ["ECMGELU", "ECMLayerNorm", "ECMProduct", "ECMSoftmax", "Graded", "MultiThreshold", "TokenLinear"]
