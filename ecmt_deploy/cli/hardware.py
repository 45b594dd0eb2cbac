"""``ecmt-deploy hardware``."""

from __future__ import annotations

from typing import Annotated

from ecmt_deploy.cli.options import DEFAULT, Output, described, flag
from ecmt_deploy.errors import ConfigError


def hardware(
    name: Annotated[str | None, described("A chip by name, or a .toml file.")] = None,
    /,
    *,
    bibtex: Annotated[bool, flag("Print its sources, or those of all chips, as BibTeX.")] = False,
    template: Annotated[bool, flag("Print a .toml template for describing a chip of your own.")] = False,
    output: Output = DEFAULT,
) -> None:
    """``ecmt-deploy hardware``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.chips import bibtex as sources_of
    from ecmt_deploy.chips import template as own
    from ecmt_deploy.report import tables

    if template and (name or bibtex):
        raise ConfigError("--template takes no NAME and no --bibtex: it prints the one template there is")
    if template or bibtex:
        output.without_table("the template" if template else "a bibliography")
    if template:
        output.paste("template", own())
        return
    described = [ecmt.hardware(each) for each in ([name] if name else ecmt.chips())]
    if bibtex:
        output.paste("bibtex", sources_of(described))
    else:
        output.show(described, tables.chip(described[0]) if name else tables.chips(described))
