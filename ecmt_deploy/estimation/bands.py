"""Ranges of energy and time from placements at both ends of a chip's limits."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ecmt_deploy.estimation.result import NOTHING, Band, Energy, Row, Timing


def widened(value: Energy, ends: Sequence[Energy]) -> Energy:
    """A run priced on a placement, its bands widened to those of the same run on other placements.

    Ends of bands are the least and the most of all; values are those of ``value``.
    """
    if not ends:
        return value
    rows = [{row.node: row for row in end.rows} for end in ends]
    return msgspec.structs.replace(
        value,
        rows=tuple(_row(row, [mine[row.node] for mine in rows if row.node in mine]) for row in value.rows),
        components_pj=_components(value.components_pj, [end.components_pj for end in ends]),
        total_pj=_band(value.total_pj, [end.total_pj for end in ends]),
        timing=_timing(value.timing, [end.timing for end in ends if end.timing is not None]),
        energy_delay_nj_ms=_known(value.energy_delay_nj_ms, [end.energy_delay_nj_ms for end in ends]),
        sources={key: source for each in (*ends, value) for key, source in each.sources.items()},
    )


def _band(value: Band, others: Sequence[Band]) -> Band:
    return Band(min(x.low for x in (value, *others)), value.value, max(x.high for x in (value, *others)))


def _known(value: Band | None, others: Sequence[Band | None]) -> Band | None:
    return None if value is None else _band(value, [other for other in others if other is not None])


def _components(value: dict[str, Band], others: Sequence[dict[str, Band]]) -> dict[str, Band]:
    """Component by component; one that a placement is without, such as a crossing of chips, is nothing there."""
    names = dict.fromkeys(name for each in (value, *others) for name in each)
    return {name: _band(value.get(name, NOTHING), [other.get(name, NOTHING) for other in others]) for name in names}


def _row(value: Row, others: Sequence[Row]) -> Row:
    components = _components(value.components_pj, [other.components_pj for other in others])
    return msgspec.structs.replace(value, components_pj=components)


def _timing(value: Timing | None, others: Sequence[Timing]) -> Timing | None:
    """Every band of it."""
    if value is None:
        return None
    bands = {name: each for name in value.__struct_fields__ if isinstance(each := getattr(value, name), Band)}
    return msgspec.structs.replace(
        value, **{name: _known(each, [getattr(other, name) for other in others]) for name, each in bands.items()}
    )
