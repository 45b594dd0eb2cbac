"""Chips of random limits for programs of a few nodes, so that a unit takes several cores."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.chips import Abilities, Ability, Figure, Hardware, Limits, Source

WHERE = {"source": ("self",), "method": "assumed", "grade": "C"}
_LEAST_AND_MOST = {
    "neurons_per_core": (1, 12), "synaptic_memory_bytes_per_core": (20, 300), "state_memory_bytes_per_core": (40, 600),
    "input_axons_per_core": (16, 60), "output_axons_per_core": (16, 60),
}  # fmt: skip


def made_chip(abilities: dict[str, bool], **limits: int) -> Hardware:
    """A chip of these limits."""
    return Hardware(
        name="chip", title="a chip", description="for tests",
        sources={"self": Source("misc", "a chip", "ourselves", 2025)},
        limits=Limits(**{name: Figure(value=value, unit="", **WHERE) for name, value in limits.items()}),
        prices={},
        abilities=Abilities(**{name: Ability(value=value, **WHERE) for name, value in abilities.items()}),
    )  # fmt: skip


def random_chip(seed: int) -> Hardware:
    """A chip of small cores, mostly with a mesh; what is not drawn is unknown."""
    r = np.random.default_rng(seed)
    limits = {name: int(r.integers(*span)) for name, span in _LEAST_AND_MOST.items() if r.random() < 0.5}
    if r.random() < 0.8:
        limits |= {name: int(r.integers(1, 4)) for name in ("tile_columns", "tile_rows", "cores_per_tile", "chip_columns")}
    names = ("weight_sharing", "row_reductions", "halved_layers", "axon_sharing")
    return made_chip({name: bool(r.integers(2)) for name in names}, weight_bits=8, state_bits=24, **limits)
