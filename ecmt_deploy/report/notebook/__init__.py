"""Results in a notebook: cards (``_repr_html_``), tables of pandas (``to_frame()``), charts (``plot()``).

Results call this room by name through :mod:`ecmt_deploy.shown`. What to make of one is registered by the name of its class, so
that nothing is imported that nobody looks at: a model needs torch, and this room does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ecmt_deploy.errors import ConfigError, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from ecmt_deploy.shown import Plotted, Shown, Tabular


def html(result: Shown) -> str:
    """The card of a result."""
    from ecmt_deploy.report.notebook.cards import CARDS

    return str(_of(CARDS, result)(result))


def frame(result: Tabular) -> DataFrame:
    """The table of a result."""
    from ecmt_deploy.report.notebook.frames import FRAMES

    found: DataFrame = _of(FRAMES, result)(result)
    return found


def plot(result: Plotted, chart: str | None, *args: Any, axes: Axes | None, **options: Any) -> Axes:
    """A chart of a result, see :meth:`ecmt_deploy.shown.Plotted.plot`."""
    chosen = result.charts[0] if chart is None else chart
    if chosen not in result.charts:
        raise ConfigError(f"chart {chosen!r}: {type(result).__name__} has none; choose {listed(result.charts)}")
    return getattr(import_module("ecmt_deploy.report.plots"), chosen)(result, *args, axes=axes, **options)


def _of(table: Mapping[str, Any], result: object) -> Any:
    """What is registered for the class of a result, or for the nearest one it derives from."""
    return next(table[kind.__name__] for kind in type(result).__mro__ if kind.__name__ in table)
