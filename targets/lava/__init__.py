"""Lava process models that simulate Loihi-style cores, with the compensation accumulators as stateful processes."""

from .host import LavaTarget

__all__ = ["LavaTarget"]
