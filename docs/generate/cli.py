"""The command line as a page, from the app's own help: ``python -m docs.generate.cli`` prints it.

The site makes it when it is built (docs/generate/site.py), so that it is never older than the options.
"""

from __future__ import annotations

import re

from ecmt_deploy.cli.app import app

INTRODUCTION = """\
# Command line

This page is made from the app's own help. Every verb has `--help`, `--json`, `-v` and `-q`. A mistake of a user ends in one
line on stderr with exit status 2: what, where, what was expected, and how to mend it.
"""


def page() -> str:
    """The page in Markdown: a heading a verb, with its arguments and options and their defaults."""
    text = app.generate_docs(output_format="markdown")
    _, verbs = text.split("\n## ecmt-deploy ", 1)  # before it: the title and two lists of what follows
    text = re.sub(r"^## ecmt-deploy ", "## ", f"## ecmt-deploy {verbs}", flags=re.MULTILINE)
    return f"{INTRODUCTION}\n{text.strip()}\n"


if __name__ == "__main__":
    print(page(), end="")
