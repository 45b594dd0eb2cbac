"""Docstrings as the site shows them: an extension of griffe, which reads them.

Types stand in the signatures, so that what follows ``name :`` in a docstring is its meaning; numpydoc has the type there. Roles
of Sphinx become code.
"""

from __future__ import annotations

import re
from textwrap import dedent, indent
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?\.?([^`]+)`")
_SECTION = re.compile(r"^(Parameters|Attributes|Returns|Yields)\n-+\n", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) : (.*(?:\n[ \t]+\S.*)*)$", re.MULTILINE)
_END = re.compile(r"\n\n(?=\S[^\n]*\n-{3,}\n)|\Z")


def shown(text: str) -> str:
    """The docstring with the meaning below the name of every parameter, one name each, and what is returned without its type.

    griffe gives names that stand together the type of the first.
    """
    text, made, at = _ROLE.sub(lambda role: f"`{role[1].rsplit('.', 1)[-1]}`", text), "", 0
    while section := _SECTION.search(text, at):
        end = _END.search(text, section.end())
        assert end is not None  # the end of the text is one
        body = text[section.end() : end.start()]
        if section[1] in ("Returns", "Yields"):  # a nameless entry: griffe then takes the type from the signature
            body = ":\n" + indent(dedent(body), "    ")
        else:
            body = _ENTRY.sub(lambda entry: "\n".join(f"{name}\n    {entry[2]}" for name in entry[1].split(", ")), body)
        made += text[at : section.end()] + body
        at = end.start()
    return made + text[at:]


class Docstrings(griffe.Extension):
    """Rewrites the docstring of every object that is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """One object."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)
