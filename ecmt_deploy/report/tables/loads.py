"""What the terminal shows of cores and links: the fullest, the busiest, and how far cores differ."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.errors import plural
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.report import units


def loads(found: Loads | None) -> str:
    """A line each; nothing where the target has no cores."""
    if found is None or not found.cores:
        return ""
    events = found.events
    by_core = events.sum(axis=0)
    step, fullest = divmod(int(events.argmax()), found.cores)
    least, quarter, median, rest, most = (units.count(x / found.samples) for x in np.percentile(by_core, (0, 25, 50, 75, 100)))
    lines = [
        f"{plural(found.cores, 'core')} in {plural(found.steps, 'step')} of the chip:"
        f" {least} to {most} events a core and inference, half of the "
        f"cores {quarter} to {rest}, median {median}",
        f"fullest core: {fullest}, {units.count(events.max() / found.samples)} events in step {step + 1}",
    ]
    if found.links:
        step, link = divmod(int(found.link_packets.argmax()), len(found.links))
        chip, *tiles = found.links[link]
        packets = units.count(found.link_packets.max() / found.samples)
        way = f"tile ({tiles[0]}, {tiles[1]}) to ({tiles[2]}, {tiles[3]})"
        lines.append(f"busiest link: chip {chip}, {way}, {packets} packets in step {step + 1}")
    return "\n".join(lines)
