"""The sources of what a bill says, as BibTeX: of the prices that it used, and no others."""

from __future__ import annotations

from collections.abc import Sequence

from ecmt_deploy.chips.bibliography import entries
from ecmt_deploy.estimation.result import Energy


def cited(energies: Sequence[Energy], views: bool = False) -> tuple[str, ...]:
    """Keys of the sources of the chips' prices; with ``views`` those of views (a) and (c), too."""
    found = {key for e in energies for key in e.sources}
    return tuple(sorted(found.union(*(e.view_sources for e in energies)) if views else found))


def bibliography(energies: Sequence[Energy]) -> str:
    """BibTeX entries of every price used, in all three views, sorted by key.

    Raises
    ------
    HardwareError
        if two chips describe one key differently.
    """
    return entries((e.hardware, sources) for e in energies for sources in (e.sources, e.view_sources))
