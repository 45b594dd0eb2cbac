"""The NIR dialect: what a program is, its rules, and the file that holds it."""

from ecmt_deploy.program.graph import Program
from ecmt_deploy.program.provenance import DIALECT_VERSION, CalibrationRecord, Provenance, QuantizationRecord, TuningRecord
from ecmt_deploy.program.reader import read
from ecmt_deploy.program.verification import verify
from ecmt_deploy.program.writer import write

__all__ = [
    "DIALECT_VERSION",
    "CalibrationRecord",
    "Program",
    "Provenance",
    "QuantizationRecord",
    "TuningRecord",
    "read",
    "verify",
    "write",
]
