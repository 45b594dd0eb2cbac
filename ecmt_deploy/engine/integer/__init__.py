"""Integer programs on the batched torch engine: every saturation, rounding and carried remainder, bit for bit.

Sums that telescope in floats do not in integers: what a step rounds or clips decides what the next one does. So streams hold
what each step brings, and every node steps through t = 1..T, in tiles that stay in a CPU's cache. What does not depend on the
step before (products with weights, products of running sums) is computed for all steps at once. Which node did what is counted
as for float programs. :mod:`~ecmt_deploy.engine.integer.exact` says why floats compute integers exactly here.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):  # each registers the ops that it runs
    import_module(f"{__name__}.{_module.name}")
