"""The batched torch engine: ``SpikingModel``, an ``nn.Module`` that executes a program on CPU or GPU.

Time folds into the batch, streams are kept as sums so far, and one product serves all steps. It is written from the equations,
not from the kernels, so that each checks the other.
"""

from ecmt_deploy.engine.model import SpikingModel, load

__all__ = ["SpikingModel", "load"]
