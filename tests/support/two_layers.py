"""Two layers on three cores of a made-up chip, small enough to price by hand.

The program, rate coding, T = 2, one sample x = (1, 0.25, 0.5):

    input (3) -> l1 (2 x 3, takes the image: encoding) -> n1 -> l2 (2 x 2) -> n2 -> readout -> output

Neurons have levels 0.5 and 1, which fire at 0.37 and 0.74.

    t = 1   l1: (1, 0.75)   n1: v = (1, 0.75), spikes (1, 1), v = (0, -0.25)
            l2: (2, 0)      n2: v = (2, 0), spikes (1, 0), v = (1, 0)
    t = 2   l1: nothing     n1: nothing arrives, none fires: 2 idle updates
            l2: nothing     n2: v = (1, 0), spikes (1, 0): 1 active update (it fired), 1 idle

So, per inference: l1: 6 MACs; n1: 2 spikes and messages, 2 active and 2 idle updates; l2: 2 spikes x 2 outputs = 4 synops, of
4 MACs of the ANN; n2: 2 spikes, 3 active updates (all is news at t = 1), 1 idle; readout: 2 elements x 2 steps = 4.
"""

from __future__ import annotations

import nir
import numpy as np
import pytest

from ecmt_deploy.chips import Hardware, Limits, Price
from ecmt_deploy.chips.schema import Barrier
from ecmt_deploy.estimation import Band
from ecmt_deploy.placement import Placement, Route, Unit, Use
from ecmt_deploy.program import ops
from ecmt_deploy.testing.handmade import program

X = np.array([[1, 0.25, 0.5]], np.float32)
TIMESTEPS = 2


def neuron() -> ops.MultiThreshold:
    return ops.MultiThreshold(np.array(0.5), np.array(0.5), 2, "nearest", 0.74)


PROGRAM = program(
    {
        "input": nir.Input(input_type={"input": np.array([3])}),
        "l1": nir.Linear(np.array([[1.0, 0, 0], [0, 1, 1]])),
        "n1": neuron(),
        "l2": nir.Linear(np.array([[1.0, 1], [1, -1]])),
        "n2": neuron(),
        "readout": ops.Readout("rate"),
        "output": nir.Output(output_type={"output": np.array([2])}),
    },
    [("input", "l1"), ("l1", "n1"), ("n1", "l2"), ("l2", "n2"), ("n2", "readout"), ("readout", "output")],
)


def figure(value: float, unit: str = "pJ", low: float | None = None, high: float | None = None, **more) -> Price:
    return Price(value=value, unit=unit, low=low, high=high, source=("x",), method="measured", grade="A", **more)


#: level and sign of 2 levels are one of 5: 3 bits, so a spike is two packets of 2 bits
CHIP = Hardware(
    name="handmade",
    title="made up",
    description="for tests",
    sources={},
    limits=Limits(
        neurons_per_core=figure(8, "neurons"), graded_payload_bits=figure(8, "bit"), payload_bits_per_packet=figure(2, "bit")
    ),
    prices={
        "synop_pj": figure(10, low=8, high=12),
        "mac_pj": figure(5),
        "neuron_update_active_pj": figure(3),
        "neuron_update_idle_pj": figure(1),
        "spike_pj": figure(2),
        "message_pj": figure(7),
        "message_in_pj": figure(1),
        "tile_pj": figure(0.1),
        "hop_ew_pj": figure(0.5),
        "hop_ns_pj": figure(0.25),
        "chip_crossing_pj": figure(100),
        "static_mw": figure(2, "mW", low=1, high=3),
        "ecm_op_pj.readout": figure(1.5),
    },
    times={
        "synop_ns": figure(4, "ns"),
        "neuron_update_active_ns": figure(2, "ns"),
        "neuron_update_idle_ns": figure(1, "ns"),
        "spike_ns": figure(3, "ns"),
        "message_in_ns": figure(2, "ns"),
        "message_ns": figure(5, "ns"),
    },
    barrier=(Barrier(1, figure(10, "ns")), Barrier(5, figure(30, "ns"))),
)

#: l1 on core 0, l2 on cores 1 and 2, a tile each; a message of n1 goes to one of them, one tile east
PLACEMENT = Placement(
    hardware="handmade",
    title="made up",
    units=(
        Unit("l1", ("l1", "n1"), 0, 1, 1, 2, {"synaptic_memory_bytes": Use(6, None), "state_memory_bytes": Use(6, None)}, None),
        Unit("l2", ("l2", "n2", "readout"), 1, 2, 1, 1,
             {"synaptic_memory_bytes": Use(2, None), "state_memory_bytes": Use(6, None)}, None),
    ),
    routes=(Route("n1", "l2", packets=1.0, within_tile=0.0, hops_ew=1.0, hops_ns=0.0, chip_crossings=0.0),),
    cores=3,
    chips=2,
    mesh=(2, 1, 1),
    obstacles=(),
    assumptions=(),
)  # fmt: skip


def near(low: float, value: float, high: float) -> Band:
    """A band that is this one but for rounding."""
    return Band(*(pytest.approx(x) for x in (low, value, high)))
