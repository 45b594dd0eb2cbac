"""An independent recount of a program, from its file: an own reader (h5py) and plain NumPy.

Written from DESIGN and documents alone (``docs/format.md``, ``docs/fixed_point.md``), apart from everything that the product
executes programs with. Nothing here imports it, and a test asserts that. It computes everything at every step, of whole
streams, one sample after another: slow, and short enough to be checked against the documents by reading.
"""

from __future__ import annotations

from tests.support.recount.comparing import differences as differences
from tests.support.recount.comparing import total as total
from tests.support.recount.counting import recount as recount
from tests.support.recount.reading import File as File
from tests.support.recount.reading import read as read
