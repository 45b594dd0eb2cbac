"""What a person looks at: pages about a run, and about several side by side; every chart with its numbers as CSV."""

from ecmt_deploy.report.comparison import Comparison, Entry, pareto_front, summary
from ecmt_deploy.report.data import Table
from ecmt_deploy.report.model import AccuracyCurve, Raster, Report, make_report
from ecmt_deploy.report.page import render_comparison, render_html
from ecmt_deploy.verbs.room import call_with

__all__ = [
    "AccuracyCurve", "Comparison", "Entry", "Raster", "Report", "Table", "make_report", "pareto_front", "render_comparison",
    "render_html", "summary",
]  # fmt: skip

call_with(__name__, "ecmt_deploy.verbs.runs:report")  # ``ecmt_deploy.report(runs, out)``
