"""The command line: a thin shell over the public Python verbs."""

from ecmt_deploy.cli.entry import main

__all__ = ["main"]
