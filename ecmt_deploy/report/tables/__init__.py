"""What the terminal shows: tables, and the few lines that go with them."""

from ecmt_deploy.report.tables.checks import checked, looked
from ecmt_deploy.report.tables.hardware import chip, chips
from ecmt_deploy.report.tables.loads import loads
from ecmt_deploy.report.tables.placements import cores, placement_lines
from ecmt_deploy.report.tables.prices import energy
from ecmt_deploy.report.tables.programs import converted, origin, program, provenance, summarised
from ecmt_deploy.report.tables.runs import accuracy, answer, classification, quantized, saturations, skipped, took
from ecmt_deploy.report.tables.streams import streamed
from ecmt_deploy.report.tables.sweeps import compared
from ecmt_deploy.report.tables.traces import breaks, trace, traced

__all__ = [
    "accuracy", "answer", "breaks", "checked", "chip", "chips", "classification", "compared", "converted", "cores", "energy",
    "loads", "looked", "origin", "placement_lines", "program", "provenance", "quantized", "saturations", "skipped", "streamed",
    "summarised", "took", "trace", "traced",
]  # fmt: skip
