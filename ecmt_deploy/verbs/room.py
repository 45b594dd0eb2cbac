"""Two names are a room and a verb: ``ecmt_deploy.chips`` and ``ecmt_deploy.report``.

A package takes its name in ``ecmt_deploy`` as soon as anything imports it, and a function of that name would be gone. So the
package can be called itself: Python lets a module have a class of its own.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def call_with(package: str, verb: str) -> None:
    """Make a package callable.

    Parameters
    ----------
    package : name of the package, which is being imported
    verb : ``module:function`` that a call is passed to; imported when it is called, as it may build on the package
    """
    module, _, name = verb.partition(":")

    class Room(ModuleType):
        """A package that is a verb as well."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return getattr(import_module(module), name)(*args, **kwargs)

        @property
        def __signature__(self) -> inspect.Signature:
            return inspect.signature(getattr(import_module(module), name))

    sys.modules[package].__class__ = Room
