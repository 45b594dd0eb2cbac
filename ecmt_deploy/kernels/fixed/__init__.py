"""One step of every integer node in NumPy: the written semantics of ``docs/fixed_point.md``."""

from ecmt_deploy.kernels.base import Kernel
from ecmt_deploy.kernels.fixed.ecm import FixedECMKernel, FixedProductKernel
from ecmt_deploy.kernels.fixed.linear import (
    FixedAddKernel,
    FixedConstantKernel,
    FixedHoldKernel,
    FixedInputKernel,
    FixedMeanKernel,
    FixedReadoutKernel,
    FixedScaleKernel,
)
from ecmt_deploy.kernels.fixed.neuron import FixedNeuronKernel
from ecmt_deploy.kernels.fixed.synapses import FixedConvKernel, FixedLinearKernel
from ecmt_deploy.program import fixed as f

FIXED_KERNELS: dict[type, type[Kernel]] = {
    f.FixedInput: FixedInputKernel,
    f.FixedConstant: FixedConstantKernel,
    f.FixedLinear: FixedLinearKernel,
    f.FixedConv: FixedConvKernel,
    f.FixedScale: FixedScaleKernel,
    f.FixedAdd: FixedAddKernel,
    f.FixedMean: FixedMeanKernel,
    f.FixedHold: FixedHoldKernel,
    f.FixedMultiThreshold: FixedNeuronKernel,
    f.FixedECM: FixedECMKernel,
    f.FixedECMProduct: FixedProductKernel,
    f.FixedReadout: FixedReadoutKernel,
}
