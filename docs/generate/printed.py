"""Tables that commands print, put into the documents: what chips can price (docs/chips.md), and the comparison with SANA-FE
(docs/energy.md, where SANA-FE is installed).

    python -m docs.generate.printed
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from docs.generate.documents import put
from ecmt_deploy.chips import available, hardware
from ecmt_deploy.chips.overview import markdown

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    """Write both."""
    put(DOCS / "chips.md", "overview", markdown([hardware(name) for name in available()]).splitlines())
    if find_spec("sanafe") is None:
        print("docs/energy.md: the comparison stays as it is; SANA-FE is not installed (extra crosscheck)")
        return
    from tests.support.sanafe_comparison import table

    put(DOCS / "energy.md", "sanafe", table().splitlines())


if __name__ == "__main__":
    main()
