"""The ops of the dialect: what a spiking program is made of, one file an op.

Standard NIR nodes are used where their meaning is exact (``Input``, ``Output``, ``Linear`` on a vector, ``Conv1d`` and
``Conv2d`` with a zero bias, ``Scale`` of the same shape); the classes here derive from them. ``docs/format.md`` specifies the
meaning of every node for those who write another reader.
"""

from importlib import import_module
from pkgutil import iter_modules

from ecmt_deploy.program.ops.add import Add, Summed
from ecmt_deploy.program.ops.base import (
    CODINGS,
    NOTHING,
    OPS,
    ROLES,
    STANDARD,
    MissingTraitError,
    Op,
    ShapeError,
    Work,
    register,
)
from ecmt_deploy.program.ops.concat import Concat
from ecmt_deploy.program.ops.constant import SCHEDULES, Constant
from ecmt_deploy.program.ops.convolution import Conv1d, Conv2d, convolution
from ecmt_deploy.program.ops.corrected_linear import CorrectedLinear
from ecmt_deploy.program.ops.ecm import ECM
from ecmt_deploy.program.ops.embedding import Embedding, LookedUp
from ecmt_deploy.program.ops.expand import Expand
from ecmt_deploy.program.ops.format import Aligned, NumberFormat, Requantised, Shifted, Weighted
from ecmt_deploy.program.ops.graded import Graded
from ecmt_deploy.program.ops.hold import Hold
from ecmt_deploy.program.ops.input import Input
from ecmt_deploy.program.ops.linear import LastAxisLinear, Linear
from ecmt_deploy.program.ops.listed_convolution import ListedConvolution
from ecmt_deploy.program.ops.mean import Mean
from ecmt_deploy.program.ops.multi_threshold import RULES, MultiThreshold, Payload, thresholds
from ecmt_deploy.program.ops.multiplied import Multiplied
from ecmt_deploy.program.ops.output import Output
from ecmt_deploy.program.ops.pad import Pad
from ecmt_deploy.program.ops.permute import Permute
from ecmt_deploy.program.ops.product import PRODUCTS, ECMProduct
from ecmt_deploy.program.ops.readout import Readout
from ecmt_deploy.program.ops.reshape import Reshape
from ecmt_deploy.program.ops.scale import BroadcastScale, Scale
from ecmt_deploy.program.ops.slice import Slice
from ecmt_deploy.program.ops.take import Take

for _module in iter_modules(__path__):  # a file that is added is an op that is known
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "CODINGS", "ECM", "NOTHING", "OPS", "PRODUCTS", "ROLES", "RULES", "SCHEDULES", "STANDARD", "Add", "Aligned",
    "BroadcastScale", "Concat", "Constant", "Conv1d", "Conv2d", "CorrectedLinear", "ECMProduct", "Embedding", "Expand",
    "Graded", "Hold", "Input", "LastAxisLinear", "Linear", "ListedConvolution", "LookedUp", "Mean", "MissingTraitError",
    "MultiThreshold", "Multiplied", "NumberFormat", "Op", "Output", "Pad", "Payload", "Permute", "Readout", "Requantised",
    "Reshape", "Scale", "ShapeError", "Shifted", "Slice", "Summed", "Take", "Weighted", "Work", "convolution", "register",
    "thresholds",
]  # fmt: skip
