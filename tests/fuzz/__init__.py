"""Damaged files of every format that the project reads: whatever is in them, reading ends well or in one line.

``python -m tests.fuzz`` runs campaigns (``--help``), ``tests/untrusted/test_fuzz.py`` short ones. :mod:`~tests.fuzz.corpus`
makes good files, :mod:`~tests.fuzz.mutations` and :mod:`~tests.fuzz.hdf5` damage them, by bytes and structure,
:mod:`~tests.fuzz.readers` read them as the project does, :mod:`~tests.fuzz.worker` does so for one seed after the other in a
process with a limit of memory, and :mod:`~tests.fuzz.campaign` watches it. A case is its format and its seed, and nothing else.
"""
