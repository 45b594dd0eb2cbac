"""From a pretrained vision transformer to simulated neuromorphic cores, without training.

The public verbs are loaded when they are first used: ``import ecmt_deploy`` loads neither torch nor lava.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecmt_deploy.chips import hardware as hardware
    from ecmt_deploy.config import ConvertConfig as ConvertConfig
    from ecmt_deploy.conversion.converter import convert as convert
    from ecmt_deploy.engine import SpikingModel as SpikingModel
    from ecmt_deploy.engine import load as load
    from ecmt_deploy.errors import EcmtError as EcmtError
    from ecmt_deploy.estimation import energy as energy
    from ecmt_deploy.evaluation.evaluate import evaluate as evaluate
    from ecmt_deploy.placement import place as place
    from ecmt_deploy.program import Program as Program
    from ecmt_deploy.program import read as read
    from ecmt_deploy.program.activity import Activity as Activity
    from ecmt_deploy.program.activity import Counts as Counts
    from ecmt_deploy.quantization import quantize as quantize
    from ecmt_deploy.simulation.run import simulate as simulate
    from ecmt_deploy.simulation.target import Run as Run
    from ecmt_deploy.simulation.tracing import trace as trace

#: packages that are part of the interface as they are: ``ecmt_deploy.data.open``, ``ecmt_deploy.models.load``
_PACKAGES = ("chips", "data", "models")
_PUBLIC = {
    "Activity": "program.activity",
    "ConvertConfig": "config",
    "Counts": "program.activity",
    "EcmtError": "errors",
    "Program": "program",
    "Run": "simulation.target",
    "SpikingModel": "engine",
    "convert": "conversion.converter",
    "energy": "estimation",
    "evaluate": "evaluation.evaluate",
    "hardware": "chips",
    "load": "engine",
    "place": "placement",
    "quantize": "quantization",
    "read": "program",
    "simulate": "simulation.run",
    "trace": "simulation.tracing",
}

__all__ = sorted([*_PUBLIC, *_PACKAGES, "__version__"])


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
