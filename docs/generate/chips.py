"""ViTs at 224 px on every chip: whether they fit, on how many cores, or what stands in the way; the table in docs/chips.md.

    python -m docs.generate.chips [MODEL ...]

Models: ViT-Tiny, ViT-Small and ViT-Base of timm (all by default), preset ``paper``. Weights are random, as placement depends
on shapes alone; so nothing here is priced.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lava import program
from docs.generate.documents import put, table
from ecmt_deploy.chips import available, hardware
from ecmt_deploy.placement import Placement, place_band

DOCUMENT = Path(__file__).parents[1] / "chips.md"
MODELS = {
    "ViT-Tiny": "vit_tiny_patch16_224",
    "ViT-Small": "vit_small_patch16_224",
    "ViT-Base": "vit_base_patch16_224",
}


def placements(label: str) -> list[Placement]:
    """Of one model, on every chip."""
    converted = program(MODELS[label])
    begun = time.process_time()
    placed = [place_band(converted, hardware(chip)).value for chip in available()]
    print(f"{label}: placed on {len(placed)} chips in {time.process_time() - begun:.1f} s", flush=True)
    return placed


def row(chip: str, placed: Sequence[Placement]) -> list[str]:
    """What becomes of every model on one chip, and the first thing in the way, or what is assumed of the first."""
    cells = [f"no: {len(each.obstacles)} obstacles" if each.obstacles else each.verdict for each in placed]
    if not placed[0].bounded:
        cells = ["unknown"] * len(placed)
    why = [each.obstacles[0].sentence for each in placed if each.obstacles]
    assumed = " ".join(placed[0].unshown)
    return [chip, *cells, why[0] if why else assumed if placed[0].bounded else "the chip states no limits"]


def main() -> None:
    """Place, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; all by default")
    chosen = parser.parse_args().models or list(MODELS)
    by_model = [placements(label) for label in chosen]
    rows = [row(chip, placed) for chip, *placed in zip(available(), *by_model, strict=True)]
    lines = table(["chip", *chosen, "what is in the way, first of all, or what nobody has shown on the chip"], rows)
    print("\n".join(lines))
    put(DOCUMENT, "chips", lines)


if __name__ == "__main__":
    main()
