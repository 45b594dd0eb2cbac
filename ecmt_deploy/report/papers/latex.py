"""Tables as LaTeX: booktabs, no other package but for tables that are longer than a page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ecmt_deploy.report.papers.tables import Paper
from ecmt_deploy.untrusted.text import one_line

#: rows of a page; a longer table goes over several
PAGE = 45
_ESCAPES = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "`": r"\textasciigrave{}", '"': "''",
    "\u00a0": "~", "\u202f": "~", "≤": r"$\leq$", "≥": r"$\geq$", "µ": r"$\mu$", "μ": r"$\mu$", "·": r"$\cdot$",
    "×": r"$\times$", "±": r"$\pm$", "²": "$^2$", "→": r"$\to$", "…": r"\ldots{}", "–": "--", "\ufffd": "?",
})  # fmt: skip
#: LaTeX joins dashes to longer ones
_DASHES = re.compile(r"-(?=-)")


def escaped(text: str) -> str:
    """Text as LaTeX shows it, on one line: no character of it has a meaning of its own there."""
    return _DASHES.sub("-{}", one_line(text)).replace("-{}", "\0").translate(_ESCAPES).replace("\0", "-{}")


def latex(tables: Sequence[Paper], made_by: str, cited: Sequence[str] = ()) -> str:
    """A file to ``\\input``: a table environment each, captions from titles, notes below.

    Parameters
    ----------
    tables : what to write
    made_by : which command made it; a comment at the top
    cited : keys of BibTeX entries that the last table's notes cite
    """
    packages = ["booktabs", *(["longtable"] if any(table.rows > PAGE for table in tables) else [])]
    lines = [f"% {one_line(made_by)}", f"% \\usepackage{{{','.join(packages)}}}"]
    for number, table in enumerate(tables):
        sources = cited if number == len(tables) - 1 else ()
        lines += ["", *(f"% {one_line(line)}" for line in table.intro), *_environment(table, number, sources)]
    return "\n".join(lines) + "\n"


def _environment(table: Paper, number: int, cited: Sequence[str]) -> Iterator[str]:
    long = table.rows > PAGE
    columns = "".join("l" if left else "r" for left in table.left)
    caption = f"\\caption{{{escaped(table.title)}}}\\label{{tab:ecmt-{number + 1}}}"
    header = [r"\toprule", _row(table.header), r"\midrule"]
    sections = [[_row(row) for row in section] for section in table.sections]
    body = [line for i, rows in enumerate(sections) for line in ([r"\midrule"] if i else []) + rows]
    notes = [f"{escaped(note).rstrip('.')}." for note in table.notes]
    if cited:
        notes.append(f"Prices: \\cite{{{','.join(cited)}}}.")
    below = [r"\par\smallskip", rf"{{\footnotesize {' '.join(notes)}\par}}"] if notes else []
    if long:
        yield from [rf"\begin{{longtable}}{{{columns}}}", f"{caption}\\\\", *header, r"\endhead", r"\bottomrule", r"\endfoot"]
        yield from [*body, r"\end{longtable}", *below]
    else:
        yield from [r"\begin{table}", r"\centering", caption, rf"\begin{{tabular}}{{{columns}}}", *header, *body]
        yield from [r"\bottomrule", r"\end{tabular}", *below, r"\end{table}"]


def _row(cells: Sequence[str]) -> str:
    """A row; an empty group before what a row's end, or a rule, would take for an argument of its own."""
    first, *others = map(escaped, cells)
    return " & ".join([first if first[:1].isalnum() else f"{{}}{first}", *others]) + r" \\"
