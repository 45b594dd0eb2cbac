"""The command line: a thin shell over the verbs."""

from ecmt_deploy.cli.app import main

__all__ = ["main"]
