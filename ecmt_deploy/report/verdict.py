"""Whether spiking pays with memory included, and where, in one sentence."""

from __future__ import annotations

from ecmt_deploy.estimation import MemoryView, together
from ecmt_deploy.program.layers import grouped
from ecmt_deploy.report import data, units


def pays(view: MemoryView) -> str:
    """The sentence about view (c): the ratio of both sides, the layers that cost less, and below what rate the whole does."""
    spiking = {
        layer: rows for layer, names in grouped(view.rows).items()
        if together(rows := [view.rows[name] for name in names])[0] is not None
    }  # fmt: skip
    snn, ann = data.both(view)
    if not spiking or not ann:
        return "Nothing spikes into weights or products, so that there is nothing to compare."
    cheaper = [layer for layer, rows in spiking.items() if sum(data.both(row)[0] - data.both(row)[1] for row in rows) < 0]
    if len(cheaper) in (0, len(spiking)):
        where = f"in {'every' if cheaper else 'no'} layer"
    else:
        where = f"in {len(cheaper)} of {len(spiking)} layers ({', '.join(cheaper)})"
    even = together(list(view.rows.values()))[1]
    whole = "never as a whole" if even is None else f"as a whole below {units.per_mac(even)} events per MAC"
    return f"Spiking costs {units.ratio(snn, ann)} times the quantised ANN: it pays {where}, and {whole}."
