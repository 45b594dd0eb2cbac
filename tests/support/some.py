"""Of many alike parameters some run always, and the others in `make test-all`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest


def some(values: Mapping[str, Any], *names: str) -> list[Any]:
    """The values as parameters, named by their keys; those that are not of ``names`` are slow."""
    unknown = set(names) - set(values)
    assert not unknown, unknown
    return [pytest.param(v, id=name, marks=() if name in names else pytest.mark.slow) for name, v in values.items()]
