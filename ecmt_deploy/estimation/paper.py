"""View (a): the papers' estimate, and what it leaves out.

E = 4.6 pJ x MACs of analog operands + 0.9 pJ x T x rate x MACs of spiking ones: an fp32 multiply-accumulate and an fp32
accumulation at 45 nm (Horowitz, ISSCC 2014). An event whose payload is any number is multiplied by its weight: 4.6 pJ too.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecmt_deploy.estimation.bill import sums
from ecmt_deploy.estimation.result import MemoryView, PaperView, Row
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity

#: an accumulation and a multiply-accumulate in fp32 at 45 nm (Horowitz, ISSCC 2014), in pJ
PAPER_AC_PJ = 0.9
PAPER_MAC_PJ = 4.6
#: components that the estimate has figures for, encoding layers apart
_COUNTED = ("synapse", "product", "mac")


def event_pj(program: Program, name: str) -> float:
    """What an event costs at a node: a multiply-accumulate where events with a graded payload reach it."""
    graded = any(program.payload_bits(operand) is not None for operand in program.operands[name])
    return PAPER_MAC_PJ if graded else PAPER_AC_PJ


def papers_pj(activity: Activity, program: Program) -> tuple[float, float]:
    """What an inference costs in the papers' estimate, spiking and of the ANN, in pJ; encoding layers are left out of both."""
    others = {name: counts for name, counts in activity.items() if name not in program.encoding}
    snn = sum(n.synops * event_pj(program, name) + n.macs * PAPER_MAC_PJ for name, n in others.items())
    ann = sum(counts.dense_macs for counts in others.values()) * PAPER_MAC_PJ
    return snn / activity.n_samples, ann / activity.n_samples


def paper_view(activity: Activity, program: Program, arithmetic: Iterable[Row], memory: MemoryView) -> PaperView:
    """The view; the encoding layers are left out of both sides.

    Parameters
    ----------
    arithmetic : the same counts priced with 45 nm arithmetic, for what the estimate leaves out
    memory : view (c), for the same
    """
    encoding, (snn, ann) = program.encoding, papers_pj(activity, program)
    left_out: dict[str, float] = {}
    rows = list(arithmetic)
    for row in rows:
        for component, cost in row.components_pj.items():
            part = component if component not in _COUNTED else "encoding" if row.node in encoding else None
            if part is not None:
                left_out[part] = left_out.get(part, 0.0) + cost.value
    left_out["memory"] = memory.accesses_pj("routing" in left_out)[0]
    return PaperView(
        snn_pj=snn,
        ann_pj=ann,
        ratio=snn / ann if ann else None,
        left_out_pj=left_out,
        total_pj=snn + sum(left_out.values()),
        unpriced=sums(row.unpriced for row in rows),
    )
