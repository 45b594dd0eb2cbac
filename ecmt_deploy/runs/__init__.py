"""Runs that are kept: a run as a directory, its comparison with others, and sweeps over many."""
