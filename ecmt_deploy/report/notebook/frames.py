"""Results as tables of pandas: one row an item, units in the names of columns, integers as integers, and NaN where unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ecmt_deploy.chips.schema import Figure, Hardware, statements
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.estimation.result import Energy
from ecmt_deploy.evaluation.intervals import interval
from ecmt_deploy.placement.result import Placement
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import INTEGER_COUNTS, Activity
from ecmt_deploy.program.frames import FrameCounts
from ecmt_deploy.program.layers import module_of
from ecmt_deploy.program.parameters import network_parameters
from ecmt_deploy.report import comparison as compare
from ecmt_deploy.report import data
from ecmt_deploy.report.csv import Table
from ecmt_deploy.simulation.traces import Trace

if TYPE_CHECKING:
    from pandas import DataFrame

#: name of the column of elements evaluated, of all kinds of functions together
_ELEMENTS = "ecm_ops"


def pandas() -> Any:
    """The library, imported when it is used.

    Raises
    ------
    ConfigError
        if it is not installed.
    """
    try:
        import pandas as found
    except ImportError as error:
        raise ConfigError("tables need pandas, which is not installed; pip install 'ecmt-deploy[pandas]'") from error
    return found


def framed(table: Table, index: Sequence[str], **about: object) -> DataFrame:
    """A table with these columns as its index.

    A column of whole numbers is ``int64``, or ``Int64`` where some are unknown; one of other numbers, or of which nothing is
    known, is ``float64`` with NaN for what is unknown; any other holds objects.
    """
    pd = pandas()
    header = list(table.header or index)  # of no rows at all, only the index is known
    columns = {name: _column(pd, table.column(name)) for name in table.header}
    found = pd.DataFrame(columns, columns=header).set_index(list(index))
    found.attrs.update(about)
    result: DataFrame = found
    return result


def _column(pd: Any, cells: Sequence[Any]) -> Any:
    known = [cell for cell in cells if cell is not None]
    if any(isinstance(cell, str | bool) for cell in known):
        return pd.Series(cells, dtype=bool if all(isinstance(cell, bool) for cell in cells) else object)
    if known and all(isinstance(cell, int) for cell in known):
        return pd.Series(cells, dtype="int64" if len(known) == len(cells) else "Int64")
    return pd.Series([float("nan") if cell is None else float(cell) for cell in cells], dtype="float64")


def _by_step(text: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{text}_t{t}": value for t, value in enumerate(values, start=1)}


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    header = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(header, [tuple(row.get(name) for name in header) for row in rows])


def activity(counted: Activity) -> DataFrame:
    """Counts of every node, over all samples."""
    header = ("node", "module", *INTEGER_COUNTS, _ELEMENTS)
    rows = [
        (name, module_of(name), *(getattr(counts, field) for field in INTEGER_COUNTS), sum(counts.ecm_ops.values()))
        for name, counts in counted.items()
    ]
    return framed(Table(header, rows), ["node"], n_samples=counted.n_samples, timesteps=counted.timesteps)


def frames(counted: FrameCounts) -> DataFrame:
    """Counts of every node in every frame of a stream."""
    pd = pandas()
    nodes = list(counted.program.nodes)
    index = pd.MultiIndex.from_product([range(len(counted)), nodes], names=["frame", "node"])
    rows = counted.rows.sum(axis=1).reshape(-1, counted.rows.shape[-1])
    found = pd.DataFrame(rows, index=index, columns=[*INTEGER_COUNTS, _ELEMENTS])
    found.insert(0, "module", np.tile([module_of(name) for name in nodes], len(counted)))
    result: DataFrame = found
    return result


def run(made: Any) -> DataFrame:
    """Counts of a run; of a stream, frame by frame."""
    return activity(made.activity) if made.frames is None else frames(made.frames)


def energy(e: Energy) -> DataFrame:
    """Energy per inference of every node by component, and of all together the range; ``static`` belongs to no node."""
    names = [name for name in data.components([e]) if name != "static"]
    rows = [
        {"node": row.node, "module": module_of(row.node), "type": row.kind,
         **{f"{name}_pj": row.components_pj[name].value if name in row.components_pj else None for name in names},
         **dict(zip(("low_pj", "priced_pj", "high_pj", "bounds", "unpriced"), data.cost(row), strict=True))}
        for row in e.rows
    ]  # fmt: skip
    static = e.components_pj.get("static")
    about = {
        "hardware": e.hardware, "timesteps": e.timesteps, "n_samples": e.n_samples,
        "static_pj": static.value if static else float("nan"),
        "total_pj": e.total_pj.value if e.components_pj else float("nan"),
    }  # fmt: skip
    return framed(_table(rows), ["node"], **about)


def score(result: Any) -> DataFrame:
    """Accuracy and agreement after every step, with their 95 % intervals (Wilson)."""
    rows = []
    for t, right in enumerate(result.accuracy, start=1):
        same = None if result.agreement is None else result.agreement[t - 1]
        shares: dict[str, Any] = {"timesteps": t}
        for name, share in (("accuracy", right), ("agreement", same)):
            low, high = (None, None) if share is None else interval(share, result.n_samples)
            shares |= {name: share, f"{name}_low": low, f"{name}_high": high}
        rows.append({**shares, "analog_accuracy": result.analog_accuracy, "n_samples": result.n_samples})
    return framed(_table(rows), ["timesteps"])


def comparison(compared: compare.Comparison) -> DataFrame:
    """Every run on every chip; all figures are per inference."""
    return framed(compare.summary(compared), ["run", "hardware"])


def placement(placed: Placement) -> DataFrame:
    """Every unit with its cores and what they hold."""
    about = {"hardware": placed.hardware, "cores": placed.cores, "chips": placed.chips, "fits": placed.fits}
    return framed(data.units(placed), ["unit"], **about)


def program(loaded: Program) -> DataFrame:
    """Every node of a program; its multiply-accumulates are those of the network for one sample."""
    rows = [
        {
            "node": name, "module": module_of(name), "type": f"{node.kind} {node.detail}".strip(), "role": node.role,
            "shape": " x ".join(map(str, loaded.shapes[name])), "elements": prod(loaded.shapes[name]),
            "parameters": network_parameters(loaded, name), "dense_macs": loaded.network_macs(name),
            "spikes": name in loaded.spiking, "standard_nir": bool(node.standard),
        }
        for name, node in loaded.nodes.items()
    ]  # fmt: skip
    return framed(_table(rows), ["node"])


def summary(of: Any) -> DataFrame:
    """Every module of a program; what was counted on no run, or placed on no chip, is not known."""
    rows = [{name: getattr(row, name) for name in row.__struct_fields__} for row in of.rows]
    return framed(_table(rows), ["module"], timesteps=of.timesteps)


def trace(measured: Trace) -> DataFrame:
    """Relative error of every node after every step, of neurons the spikes of each at every step, and what integers add."""
    rows = [
        {"node": node.node, "module": module_of(node.node), "type": node.kind,
         **_by_step("relative_error", node.relative_error), "own_error": node.own_error,
         **_by_step("spikes_per_neuron", node.spike_rate), **_by_step("saturated_share", node.saturation)}
        for node in measured.nodes
    ]  # fmt: skip
    return framed(_table(rows), ["node"], n_samples=measured.n_samples)


def hardware(chip: Hardware) -> DataFrame:
    """Every statement about a chip with its range, grade and sources; abilities have no unit."""
    rows = []
    for name, stated in statements(chip):
        figure = stated if isinstance(stated, Figure) else None
        value = getattr(stated, "value", None)
        rows.append({"name": name, "value": None if value is None else float(value), "unit": figure.unit if figure else "",
                     "low": figure.low if figure else None, "high": figure.high if figure else None,
                     "bound": figure.bound if figure else "", "method": stated.method, "grade": stated.grade,
                     "source": " ".join(stated.source)})  # fmt: skip
    return framed(_table(rows), ["name"])


def stream(result: Any) -> DataFrame:
    """A row for every frame of a clip; energies are per frame."""
    rows = []
    for row in result.rows:
        given = {name: getattr(row, name) for name in row.__struct_fields__ if name not in ("chips_pj", "top")}
        best = row.top[0] if row.top else (None, None)
        rows.append({**given, **{f"{chip}_pj": pj for chip, pj in row.chips_pj.items()}, "top": best[0], "top_share": best[1]})
    return framed(_table(rows), ["frame"])


FRAMES = {
    "Activity": activity, "FrameCounts": frames, "Run": run, "StoredRun": lambda stored: activity(stored.activity),
    "Energy": energy, "Evaluation": score, "Score": score, "Comparison": comparison, "Placement": placement,
    "Program": program, "SpikingModel": lambda model: program(model.program), "Trace": trace, "Hardware": hardware,
    "StreamResult": stream, "Summary": summary,
}  # fmt: skip
