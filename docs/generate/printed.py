"""Tables that commands print, put into the documents: what chips can price (docs/chips.md), and the comparison with SANA-FE
(docs/energy.md, where SANA-FE is installed).

    python -m docs.generate.printed
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from docs.generate.documents import put, table
from ecmt_deploy.chips import available, hardware
from ecmt_deploy.chips.overview import priced, size
from ecmt_deploy.report import units

DOCS = Path(__file__).parents[2] / "docs"


def chips() -> list[str]:
    """The table of the chips that come with the project."""
    rows = []
    for chip in map(hardware, available()):
        limits = chip.limits
        neurons, memory = limits.neurons_per_core, limits.memory_bytes_per_core or limits.synaptic_memory_bytes_per_core
        held = [
            f"{neurons.value:,.0f}" if neurons else "",
            f"{units.kib(memory.value).removesuffix('.0')} KiB" if memory else "",
        ]
        rows.append([f"`{chip.name}`", chip.title, size(chip), *held, ", ".join(priced(chip))])
    return table(["name", "chip", "cores (x chips)", "neurons per core", "memory per core", "priced"], rows)


def main() -> None:
    """Write both."""
    put(DOCS / "chips.md", "overview", chips())
    if find_spec("sanafe") is None:
        print("docs/energy.md: the comparison stays as it is; SANA-FE is not installed (extra crosscheck)")
        return
    from tests.support.sanafe_comparison import table as compared

    put(DOCS / "energy.md", "sanafe", compared().splitlines())


if __name__ == "__main__":
    main()
