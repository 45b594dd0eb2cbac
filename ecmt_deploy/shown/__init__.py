"""How results show themselves: briefly at a prompt, as a card in a notebook, as a table of pandas, as a chart.

What things look like is known in the room ``report``, which builds on all rooms that results live in. So results take these
classes as bases, and the room is loaded when somebody looks.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ecmt_deploy.errors import plural
from ecmt_deploy.untrusted.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Value = TypeVar("Value")

#: characters of a line about a result, at most
LONGEST = 300


class _Fields(reprlib.Repr):
    """Fields of a line: the first of many items, and of an array what it holds and its shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxother, self.maxstring = 2, 80, 60
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = self.maxfrozenset = 3

    def repr_ndarray(self, array: Any, level: int) -> str:
        return f"{array.dtype} {array.shape}"


_fields = _Fields()


def brief(item: object, names: Iterable[str]) -> str:
    """An object and these fields of it, on a line of at most :data:`LONGEST` characters."""
    said = ", ".join(f"{name}={_fields.repr(getattr(item, name))}" for name in names)
    line = one_line(f"{type(item).__name__}({said})")
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 4]} ..)"


class Brief:
    """A struct whose fields may be long: its line names all of them that fit, and says so where some do not."""

    __slots__ = ()

    def __repr__(self) -> str:
        return brief(self, getattr(self, "__struct_fields__", ()) or getattr(self, "__dataclass_fields__", ()))


class Named(dict[str, Value]):
    """A dictionary of hundreds of things by name, whose line is how many there are and the first names."""

    def __repr__(self) -> str:
        names = [*map(repr, islice(self, 3)), *([".."] if len(self) > 3 else [])]
        return one_line(f"{plural(len(self), 'item')}: {', '.join(names)}")[:LONGEST]


class Shown(Brief):
    """A result that a notebook shows as a card: what it is, the answer, and a few figures."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        html: str = import_module("ecmt_deploy.report.notebook").html(self)
        return html


class Tabular(Shown):
    """A result that is a table."""

    __slots__ = ()

    def to_frame(self) -> DataFrame:
        """The numbers as a table of pandas, one row an item; units stand in the names of columns, and what is unknown is NaN.

        Raises
        ------
        ConfigError
            if pandas is not installed.
        """
        return import_module("ecmt_deploy.report.notebook").frame(self)


class Plotted(Shown):
    """A result with charts.

    Attributes
    ----------
    charts : their names, the usual one first; functions of :mod:`ecmt_deploy.report.plots`
    """

    __slots__ = ()
    charts: ClassVar[tuple[str, ...]]

    def plot(self, chart: str | None = None, *args: Any, axes: Axes | None = None, **options: Any) -> Axes:
        """Draw a chart.

        Parameters
        ----------
        chart : which one, of ``charts``; by default the first
        args, options : what the chart needs besides, such as the node of a ``raster``
        axes : axes of matplotlib to draw on; by default new ones

        Returns
        -------
        the axes, on which more can be drawn or changed

        Raises
        ------
        ConfigError
            if there is no such chart of this result.
        """
        return import_module("ecmt_deploy.report.notebook").plot(self, chart, *args, axes=axes, **options)
