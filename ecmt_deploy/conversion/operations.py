"""What the calls of a captured graph are called."""

from __future__ import annotations

from torch import fx


def operation(node: fx.Node) -> str:
    """Name of the ATen operation of a call, without namespace and overload."""
    target = getattr(node.target, "overloadpacket", node.target)
    return getattr(target, "__name__", str(target))
