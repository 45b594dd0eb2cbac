"""PilotNet on loihi2, layer by layer, beside the log of Lava's compiler; the table in docs/placement.md.

    python -m docs.generate.pilotnet

The shapes, and the cores of the log, are those of lava-dl's notebook pilotnet_sdnn/benchmark.ipynb. Weights are random, as
placement depends on shapes alone.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np

from docs.generate.documents import put, table
from ecmt_deploy.placement import Placement, place
from ecmt_deploy.program import Program, ops
from ecmt_deploy.testing.handmade import program

DOCUMENT = Path(__file__).parents[2] / "docs" / "placement.md"
CHIP = "loihi2"
#: the image: channels, height, width
IMAGE = (3, 66, 200)
#: channels out, strides and padding (height, width) of 3 x 3 convolutions; outputs of dense layers
CONVOLUTIONS = {
    "conv1": (24, (2, 2), (0, 0)), "conv2": (36, (2, 2), (0, 0)), "conv3": (48, (2, 2), (0, 0)), "conv4": (64, (2, 1), (1, 0)),
    "conv5": (64, (1, 1), (0, 0)),
}  # fmt: skip
DENSE = {"dense1": 100, "dense2": 50, "dense3": 10, "dense4": 1}
#: cores of each layer by the compiler's log
LOG = {
    "conv1": 25, "conv2": 13, "conv3": 3, "conv4": 3, "conv5": 2, "dense1": 12, "dense2": 1, "dense3": 1, "dense4": 1,
}  # fmt: skip
PAYLOAD_BITS = 8


def pilotnet() -> Program:
    """PilotNet of graded sigma-delta neurons behind rectifiers, without biases."""
    random = np.random.default_rng(0)
    steps: list[tuple[str, nir.NIRNode]] = [("input", nir.Input(input_type={"input": np.array(IMAGE)}))]

    def layer(name: str, node: nir.NIRNode) -> None:
        relu = ops.ECM((name,), "relu", "differential", {})
        steps.extend([(name, node), (f"{name}.relu", relu), (f"{name}.neuron", ops.Graded(np.array(0.1), PAYLOAD_BITS))])

    channels, size = IMAGE[0], IMAGE[1:]
    for name, (out, strides, padding) in CONVOLUTIONS.items():
        weights = random.normal(size=(out, channels, 3, 3))
        layer(name, nir.Conv2d(size, weights, strides, padding, (1, 1), 1, np.zeros(out)))
        height, width = ((n + 2 * p - 3) // s + 1 for n, p, s in zip(size, padding, strides, strict=True))
        channels, size = out, (height, width)
    into = channels * size[0] * size[1]
    steps.append(("flatten", ops.Reshape(np.array([into]))))
    for name, out in DENSE.items():
        layer(name, nir.Linear(random.normal(size=(out, into))))
        into = out
    steps += [("readout", ops.Readout("differential")), ("output", nir.Output(output_type={"output": np.array([into])}))]
    names = [name for name, _ in steps]
    return program(dict(steps), list(pairwise(names)))


def cores(placed: Placement) -> dict[str, int]:
    """Cores of every layer."""
    return {unit.name: unit.cores for unit in placed.units}


def lines() -> list[str]:
    """The table: every layer, and the sum."""
    placed = place(pilotnet(), CHIP)
    mine = cores(placed)
    rows = [[f"`{name}`", *_cells(placed, name), str(mine[name]), str(LOG[name])] for name in LOG]
    total, log = sum(mine.values()), sum(LOG.values())
    rows.append(["together", "", "", str(total), str(log)])
    said = f"{100 * (total / log - 1):+.0f} % of the log's {log} cores."
    return [*table(["layer", "outputs of a core", "what decides", "cores", "cores by the log"], rows), "", said]


def _cells(placed: Placement, name: str) -> list[str]:
    unit = placed.unit_of(name)
    assert unit is not None
    return [f"{unit.rows_per_core:,} x {unit.columns_per_core:,}", unit.binding or ""]


def main() -> None:
    """Place, print, and write the table."""
    made = lines()
    print("\n".join(made))
    put(DOCUMENT, "pilotnet", made)


if __name__ == "__main__":
    main()
