"""From a pretrained vision transformer to simulated neuromorphic cores, without training.

The public verbs are loaded when they are first used: ``import ecmt_deploy`` loads neither torch nor lava.
"""

from __future__ import annotations

import sys
import types
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecmt_deploy import data as data
    from ecmt_deploy import models as models
    from ecmt_deploy.chips import hardware as hardware
    from ecmt_deploy.config import ConvertConfig as ConvertConfig
    from ecmt_deploy.config import Execution as Execution
    from ecmt_deploy.engine import SpikingModel as SpikingModel
    from ecmt_deploy.engine import load as load
    from ecmt_deploy.errors import EcmtError as EcmtError
    from ecmt_deploy.placement import place as place
    from ecmt_deploy.program import Program as Program
    from ecmt_deploy.program import read as read
    from ecmt_deploy.program.activity import Activity as Activity
    from ecmt_deploy.program.activity import Counts as Counts
    from ecmt_deploy.runs.merge import merge as merge
    from ecmt_deploy.simulation.target import Run as Run
    from ecmt_deploy.verbs.check import check as check
    from ecmt_deploy.verbs.convert import convert as convert
    from ecmt_deploy.verbs.evaluation import evaluate as evaluate
    from ecmt_deploy.verbs.evaluation import simulate as simulate
    from ecmt_deploy.verbs.papers import bibtex as bibtex
    from ecmt_deploy.verbs.papers import latex as latex
    from ecmt_deploy.verbs.papers import markdown as markdown
    from ecmt_deploy.verbs.papers import neurobench as neurobench
    from ecmt_deploy.verbs.program import classify as classify
    from ecmt_deploy.verbs.program import draw as draw
    from ecmt_deploy.verbs.program import quantize as quantize
    from ecmt_deploy.verbs.program import trace as trace
    from ecmt_deploy.verbs.runs import energy as energy
    from ecmt_deploy.verbs.runs import report as report
    from ecmt_deploy.verbs.runs import sweep as sweep
    from ecmt_deploy.verbs.streams import stream as stream
    from ecmt_deploy.verbs.summary import summary as summary

    class _Chips(types.ModuleType):
        def __call__(self) -> list[str]: ...

    chips: _Chips

#: packages that are part of the interface as they are, ``ecmt_deploy.data.open``, ``ecmt_deploy.models.load``; two of them are
#: verbs as well, ``ecmt_deploy.chips()``, ``ecmt_deploy.report(runs, out)``
_PACKAGES = ("chips", "data", "models", "report")
_PUBLIC = {
    "Activity": "program.activity",
    "ConvertConfig": "config",
    "Counts": "program.activity",
    "EcmtError": "errors",
    "Execution": "config",
    "Program": "program",
    "Run": "simulation.target",
    "SpikingModel": "engine",
    "bibtex": "verbs.papers",
    "check": "verbs.check",
    "classify": "verbs.program",
    "convert": "verbs.convert",
    "draw": "verbs.program",
    "energy": "verbs.runs",
    "evaluate": "verbs.evaluation",
    "hardware": "chips",
    "latex": "verbs.papers",
    "load": "engine",
    "markdown": "verbs.papers",
    "merge": "runs.merge",
    "neurobench": "verbs.papers",
    "place": "placement",
    "quantize": "verbs.program",
    "read": "program",
    "simulate": "verbs.evaluation",
    "stream": "verbs.streams",
    "summary": "verbs.summary",
    "sweep": "verbs.runs",
    "trace": "verbs.program",
}

__all__ = sorted([*_PUBLIC, *_PACKAGES, "__version__"])


def call_with(package: str, verb: str) -> None:
    """Make a package a verb as well: it takes its name here as soon as anything imports it, and a function would be gone.

    Parameters
    ----------
    package : name of the package, which is being imported
    verb : ``module:function`` that a call is passed to; imported when it is called, as it may build on the package
    """
    module, _, function = verb.partition(":")

    class Room(types.ModuleType):
        """A package that is a verb as well; Python lets a module have a class of its own."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return getattr(import_module(module), function)(*args, **kwargs)

        @property
        def __signature__(self) -> Any:
            from inspect import signature  # slow to import

            return signature(getattr(import_module(module), function))

    sys.modules[package].__class__ = Room


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # slow to import

        return version("ecmt-deploy")
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
