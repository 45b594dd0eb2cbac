"""The nonlinear functions an ECM may hold: one file a function, which says everything that readers ask of it.

A file that is added here is a function that is known: it is found by its place. The torch engine has the arithmetic a second
time (:mod:`ecmt_deploy.engine.functions`), written from the same formula, so that the two check each other.
"""

from importlib import import_module
from pkgutil import iter_modules

from ecmt_deploy.program.functions.base import FUNCTIONS, Function, Parameter, Parameters, register

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["FUNCTIONS", "Function", "Parameter", "Parameters", "register"]
