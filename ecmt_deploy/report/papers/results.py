"""Results of the public verbs as tables: the same that the terminal shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecmt_deploy.chips import Hardware
from ecmt_deploy.errors import ConfigError
from ecmt_deploy.estimation import Energy
from ecmt_deploy.estimation.neurobench import NeuroBench
from ecmt_deploy.evaluation.score import Evaluation
from ecmt_deploy.program import Program
from ecmt_deploy.report import papers, tables, units
from ecmt_deploy.report.comparison import Comparison
from ecmt_deploy.report.tables.plain import PlainTable
from ecmt_deploy.simulation.traces import Trace


def written(result: Any, suffix: str) -> str:
    """A result in the format of a suffix, ``.tex`` or ``.md``."""
    energies = _several(result, Energy)
    keys = papers.cited(energies) if energies else ()
    write = papers.latex if suffix == ".tex" else papers.markdown
    return write(papers.papers([_shown(result, papers.SUFFIXES[suffix])]), papers.made_by(), keys)


def _several(result: Any, kind: type) -> list[Any]:
    """The results of a kind, of one or several; none where they are of another."""
    listed = list(result) if isinstance(result, Sequence) else [result]
    return listed if all(isinstance(each, kind) for each in listed) else []


def _shown(result: Any, width: int) -> Any:
    if energies := _several(result, Energy):
        return tables.energy(energies, width)
    if chips := _several(result, Hardware):
        return tables.chips(chips)
    if isinstance(result, Evaluation):
        return tables.accuracy(result, result.cosine)
    if isinstance(result, Trace):
        return tables.trace(result)
    if isinstance(result, Comparison):
        return tables.compared(result, width)
    if isinstance(result, Program):
        return tables.program(result, None)
    if isinstance(result, NeuroBench):
        return neurobench(result)
    known = "energy, evaluate, trace, sweep, read, hardware or neurobench"
    raise ConfigError(f"{type(result).__name__} has no table; expected what {known} return")


def neurobench(metrics: NeuroBench) -> PlainTable:
    """NeuroBench's metrics, one a row, under its names."""
    table = PlainTable("NeuroBench metrics, per inference", "metric", "value")
    table.add_row("footprint, bytes", f"{metrics.footprint:,}")
    table.add_row("parameter_count", f"{metrics.parameter_count:,}")
    for name in ("connection_sparsity", "activation_sparsity", "classification_accuracy"):
        share = getattr(metrics, name)
        table.add_row(name, "?" if share is None else f"{share:.4f}")
    updates = metrics.membrane_updates
    table.add_row("membrane_updates", "?" if updates is None else units.count(updates))
    for group in ("synaptic_operations", "product_operations"):
        for name, amount in getattr(metrics, group).items():
            table.add_row(f"{group}, {name}", units.count(amount))
    return table
