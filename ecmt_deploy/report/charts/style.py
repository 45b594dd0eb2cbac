"""How charts look: the style of the pages, and that of a column of a paper, as settings of matplotlib."""

from __future__ import annotations

from typing import Any

from ecmt_deploy.report.charts.palette import INK, LINE, SOFT

#: settings that suit any figure; charts set what must hold under every style themselves
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"], "font.size": 9,
    "axes.labelsize": 9, "axes.titlesize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8,
    "text.color": INK, "axes.labelcolor": INK, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "xtick.color": SOFT,
    "ytick.color": SOFT, "axes.edgecolor": SOFT, "hatch.linewidth": 0.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.axisbelow": True, "grid.color": LINE, "grid.linewidth": 0.6, "legend.frameon": False, "text.parse_math": False,
    "axes.formatter.use_mathtext": False, "figure.constrained_layout.h_pad": 0.06, "figure.constrained_layout.w_pad": 0.06,
    "svg.fonttype": "none", "pdf.fonttype": 42,
}  # fmt: skip
#: of pages: as narrow as a phone, where text of 8 units is then 8 px, and at most as tall as a hundred rows
PAGE: dict[Any, Any] = {**STYLE, "figure.figsize": (4.7, 14.0)}
#: of papers: a column of 3.4 inches, and text that can be read there
PAPER: dict[Any, Any] = {
    **STYLE, "figure.figsize": (3.4, 2.4), "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "legend.fontsize": 7, "savefig.dpi": 300,
}  # fmt: skip
