"""What the terminal shows: tables, and the few lines that go with them."""

from ecmt_deploy.report.tables.checks import presets, refusals, suitable, unsuitable, verdict
from ecmt_deploy.report.tables.hardware import chip, chips
from ecmt_deploy.report.tables.loads import loads
from ecmt_deploy.report.tables.placements import cores, placement_lines
from ecmt_deploy.report.tables.prices import energy
from ecmt_deploy.report.tables.programs import converted, program, provenance
from ecmt_deploy.report.tables.runs import accuracy, breaks, classification, quantized, saturations, took, trace
from ecmt_deploy.report.tables.streams import streamed
from ecmt_deploy.report.tables.sweeps import compared

__all__ = [
    "accuracy", "breaks", "chip", "chips", "classification", "compared", "converted", "cores", "energy", "loads",
    "placement_lines", "presets", "program", "provenance", "quantized", "refusals", "saturations", "streamed", "suitable",
    "took", "trace", "unsuitable", "verdict",
]  # fmt: skip
