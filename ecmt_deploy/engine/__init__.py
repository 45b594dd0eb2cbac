"""The batched torch engine: ``SpikingModel``, an ``nn.Module`` that executes a program on CPU or GPU.

Time folds into the batch, streams are kept as sums so far, and one product serves all steps. It is written from the equations,
not from the kernels, so that each checks the other.
"""

from importlib import import_module
from pkgutil import iter_modules

from ecmt_deploy.engine.model import SpikingModel, load

for _module in iter_modules(__path__):  # each registers the ops that it runs
    import_module(f"{__name__}.{_module.name}")

__all__ = ["SpikingModel", "load"]
