"""Break-even over the size of a tile, the sentence a report begins with and the waterfall, of the bundled model
(docs/energy.md).

    python -m docs.generate.views

On one thread, as several round in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from docs.generate.digits import DOCUMENT, SAMPLES
from docs.generate.documents import put, table
from ecmt_deploy import convert
from ecmt_deploy.chips import hardware
from ecmt_deploy.config import ConvertConfig
from ecmt_deploy.estimation import TilePoint, energy, tile_curve
from ecmt_deploy.estimation.pricing import ARITHMETIC
from ecmt_deploy.report import units
from ecmt_deploy.report.verdict import on_chip
from ecmt_deploy.runs.directory import StoredRun
from ecmt_deploy.runs.simulate import SimulateJob, simulate_file

#: chips on which everything that is counted has a price, of a table of arithmetic and memories all but the wires between tiles
CHIPS = ("seneca", ARITHMETIC)
PRESETS = ("paper", "accurate", "graded")


def run(preset: str) -> StoredRun:
    """The bundled model in a preset, at its own number of steps, on the samples of the other examples."""
    with TemporaryDirectory() as directory:
        program, out = Path(directory) / "p.nir", Path(directory) / "run"
        convert("zoo:vit_digits", "digits", ConvertConfig(preset=preset), out=program)
        return simulate_file(SimulateJob(program=program, target="torch", data="digits", out=out, limit=SAMPLES))


def curves(runs: Sequence[StoredRun]) -> dict[str, Sequence[TilePoint]]:
    """View (c) of every run by size of a tile."""
    return {
        f"`{preset}`, T = {done.activity.timesteps}": tile_curve(done.activity, done.program, hardware(ARITHMETIC))
        for preset, done in zip(PRESETS, runs, strict=True)
    }


def over_tiles(found: dict[str, Sequence[TilePoint]]) -> list[str]:
    """Break-even and what both sides take, a row a size."""
    rows = [["events per MAC", *(units.per_mac(points[0].events_per_mac) for points in found.values())]]
    for points in zip(*found.values(), strict=True):
        cells = [f"{_even(point)} ({units.ratio(point.snn_pj, point.ann_pj)})" for point in points]
        rows.append([f"{units.size(points[0].tile_bytes)} KiB", *cells])
    return table(["break-even (spiking over ANN)", *found], rows)


def _even(point: TilePoint) -> str:
    even = point.break_even_events_per_mac
    return "never" if even is None else units.per_mac(even)


def waterfalls(done: StoredRun) -> list[str]:
    """The sentences about two chips, and their waterfalls side by side."""
    energies = [energy(done.activity, done.program, chip) for chip in CHIPS]
    lines = [f"> {on_chip(e).replace(units.SPACE, ' ')}\n" for e in energies]
    heads = ["cause", *(f"`{e.hardware}`: {what}" for e in energies for what in ("adds", "so far, of the papers' ANN"))]
    rows = []
    for causes in zip(*(e.waterfall.causes for e in energies), strict=True):
        cells = []
        for cause, e in zip(causes, energies, strict=True):
            adds = {"unknown": "unknown", "within": "in other prices"}.get(cause.state, "")
            adds = adds or f"{units.energy(abs(cause.pj or 0.0))}{' +' if cause.state == 'partly' else ''}"
            cells += [f"{'-' if cause.pj is not None and cause.pj < 0 else ''}{adds}".replace(units.SPACE, " ")]
            cells += ["" if cause.total_pj is None else units.ratio(cause.total_pj, e.paper.ann_pj)]
        rows.append([units.CAUSES[causes[0].name], *cells])
    return [*"\n".join(lines).splitlines(), "", *table(heads, rows)]


def main() -> None:
    """Run, print, and write all."""
    torch.set_num_threads(1)
    runs = [run(preset) for preset in PRESETS]
    for name, lines in (("waterfall", waterfalls(runs[0])), ("tiles", over_tiles(curves(runs)))):
        print("\n".join(lines))
        put(DOCUMENT, name, lines)


if __name__ == "__main__":
    main()
