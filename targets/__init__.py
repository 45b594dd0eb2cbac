"""Machines that run programs, found by entry points."""
