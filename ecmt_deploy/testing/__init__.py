"""The conformance suite, for targets of your own: see docs/targets.md. Nothing in the library imports this package.
``print(testing.conformance(MyTarget()))`` runs all of it.
"""

from ecmt_deploy.testing.cases import CASES, case
from ecmt_deploy.testing.comparison import Conformance, Outcome, check, conformance, differences
from ecmt_deploy.testing.float_programs import float_program
from ecmt_deploy.testing.handmade import Case
from ecmt_deploy.testing.integer_programs import integer_program

__all__ = [
    "CASES", "Case", "Conformance", "Outcome", "case", "check", "conformance", "differences", "float_program",
    "integer_program",
]  # fmt: skip
