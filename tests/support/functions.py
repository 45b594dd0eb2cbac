"""Functions and their readers: which of those that a new function needs does not know it."""

from __future__ import annotations

from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.functions.integer import IntegerForm

#: functions that have an integer form
INTEGER = [name for name, function in FUNCTIONS.items() if isinstance(function.integer, IntegerForm)]
