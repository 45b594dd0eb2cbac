"""The NIR dialect: what a program is, its rules, and the file that holds it."""

from ecmt_deploy.graph.program import Program
from ecmt_deploy.graph.provenance import DIALECT_VERSION, CalibrationRecord, Provenance
from ecmt_deploy.graph.verify import verify

__all__ = ["DIALECT_VERSION", "CalibrationRecord", "Program", "Provenance", "verify"]
