"""View (a): the papers' estimate, and what it leaves out.

E = 4.6 pJ x MACs of analog operands + 0.9 pJ x T x rate x MACs of spiking ones: an fp32 multiply-accumulate and an fp32
accumulation at 45 nm (Horowitz, ISSCC 2014).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ecmt_deploy.estimation.bill import sums
from ecmt_deploy.estimation.result import MemoryView, PaperView, Row
from ecmt_deploy.program.activity import Activity

#: an accumulation and a multiply-accumulate in fp32 at 45 nm (Horowitz, ISSCC 2014), in pJ
PAPER_AC_PJ = 0.9
PAPER_MAC_PJ = 4.6
#: components that the estimate has figures for, encoding layers apart
_COUNTED = ("synapse", "product", "mac")


def paper_view(activity: Activity, encoding: Collection[str], arithmetic: Iterable[Row], memory: MemoryView) -> PaperView:
    """The view.

    Parameters
    ----------
    encoding : the encoding layers, left out of both sides
    arithmetic : the same counts priced with 45 nm arithmetic, for what the estimate leaves out
    memory : view (c), for the same
    """
    samples = activity.n_samples
    others = [counts for name, counts in activity.items() if name not in encoding]
    snn = sum(counts.synops * PAPER_AC_PJ + counts.macs * PAPER_MAC_PJ for counts in others) / samples
    ann = sum(counts.dense_macs for counts in others) * PAPER_MAC_PJ / samples
    left_out: dict[str, float] = {}
    rows = list(arithmetic)
    for row in rows:
        for component, cost in row.components_pj.items():
            part = component if component not in _COUNTED else "encoding" if row.node in encoding else None
            if part is not None:
                left_out[part] = left_out.get(part, 0.0) + cost.value
    left_out["memory"] = sum(cost for part, cost in memory.snn_pj.items() if part != "arithmetic")
    return PaperView(
        snn_pj=snn,
        ann_pj=ann,
        ratio=snn / ann if ann else None,
        left_out_pj=left_out,
        total_pj=snn + sum(left_out.values()),
        unpriced=sums(row.unpriced for row in rows),
    )
