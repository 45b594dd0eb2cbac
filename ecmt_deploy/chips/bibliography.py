"""Sources of chips as BibTeX: a file's fields are the entry's fields, its keys the entry's keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ecmt_deploy.chips.schema import Figure, Hardware, Source
from ecmt_deploy.errors import HardwareError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:.+/-]*")
#: characters LaTeX gives a meaning to, where they are not escaped already
_SPECIAL = re.compile(r"(?<!\\)[&%#_]")
#: fields that are printed as they stand
_VERBATIM = ("doi", "eprint", "url")


def bibtex(hardwares: Iterable[Hardware]) -> str:
    """BibTeX entries of all sources of these chips, each once, sorted by key.

    Raises
    ------
    HardwareError
        if two chips describe one key differently.
    """
    return entries((chip.name, chip.sources) for chip in hardwares)


def entries(named: Iterable[tuple[str, Mapping[str, Source]]]) -> str:
    """BibTeX entries of sources by key, each once, sorted by key; with the name of the chip that they are of.

    Raises
    ------
    HardwareError
        if two chips describe one key differently.
    """
    found: dict[str, tuple[Source, str]] = {}
    for chip, sources in named:
        for key, source in sources.items():
            known, owner = found.setdefault(key, (source, chip))
            if known != source:
                raise HardwareError(
                    f"{chip}: source {key!r} is not the one of {owner}; expected the same fields, or another key"
                )
    return "\n".join(_entry(key, found[key][0]) for key in sorted(found))


def of_figures(hardware: Hardware, figures: Iterable[Figure]) -> dict[str, Source]:
    """The sources of these figures of a chip, by key."""
    return {
        key: hardware.sources[key]
        for key in sorted({key for figure in figures for key in figure.source})
        if key in hardware.sources
    }


def _entry(key: str, source: Source) -> str:
    # classic BibTeX knows no "online"
    kind = "misc" if source.type == "online" else source.type
    fields = {name: str(getattr(source, name)) for name in Source.__struct_fields__ if name != "type"}
    if source.eprint:
        fields["archiveprefix"] = "arXiv"
    lines = [f"  {name} = {{{text if name in _VERBATIM else _escaped(text)}}}," for name, text in fields.items() if text]
    return "\n".join([f"@{kind}{{{key},", *lines, "}", ""])


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], text)


def citation(source: Source) -> str:
    """One line for readers: first author, title, where, year, where to find it."""
    names = source.author.split(" and ")
    first = names[0] if names[0].startswith("{") else names[0].partition(",")[0]
    place = source.journal or source.booktitle or source.institution
    parts = [first + (" et al." if len(names) > 1 else ""), source.title, place, str(source.year), source.note]
    found = (source.doi and f"doi:{source.doi}") or (source.eprint and f"arXiv:{source.eprint}") or source.url
    return ". ".join(text for text in (", ".join(_plain(part) for part in parts if part), found) if text)


def _plain(text: str) -> str:
    """Without the braces and the mathematics of LaTeX."""
    return text.replace("$^2$", "²").translate({ord("{"): None, ord("}"): None})


def check_source(where: str, key: str, source: Source) -> None:
    """Refuse what would not be a BibTeX entry: ``HardwareError`` that names the field."""
    if not _KEY.fullmatch(key):
        raise HardwareError(f"{where}: sources: key is {key!r}, expected letters, digits and _:.+/- only")
    for name in Source.__struct_fields__:
        text, depth = str(getattr(source, name)), 0
        for character in text:
            depth += (character == "{") - (character == "}")
            if depth < 0:
                break
        if depth:
            raise HardwareError(f"{where}: sources.{key}: {name} is {text!r}, expected balanced braces")
