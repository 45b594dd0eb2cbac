"""SANA-FE (https://github.com/SLAM-Lab/SANA-FE, GPL-3), through its Python interface, with the numbers of its ``loihi.yaml``.

Changed of that file: the mesh is as wide as the chips that stand side by side in it, a core takes as many neurons as are put on
it (targets and inputs together are more than a core of the program has), and an input neuron that spikes costs what a
spike of a neuron does, for which it stands.
"""

from __future__ import annotations

import copy
from collections import Counter
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from tests.support.replay.workload import Workload

#: the mesh of a chip of ``loihi.yaml``, and cores of a tile
COLUMNS, ROWS, CORES = 8, 4, 4
#: synapses that are made in one call
CHUNK = 200_000


class Measured(NamedTuple):
    """What SANA-FE says about one period.

    Attributes
    ----------
    synops, spikes, packets, hops : counts
    synapse_pj, soma_pj, network_pj : energies
    steps_ns : length of every step
    """

    synops: int
    spikes: int
    packets: int
    hops: int
    synapse_pj: float
    soma_pj: float
    network_pj: float
    steps_ns: np.ndarray


class _Inputs(NamedTuple):
    """Input neurons of one node: for each its element and its spike train; only those that fire are made."""

    elements: np.ndarray
    fired: np.ndarray


def simulated(work: Workload) -> dict[str, Measured]:
    """Three periods: in the first, no neuron has yet been reached by what is to be worked off; the others are measured.

    Returns
    -------
    By SANA-FE's model of time: ``simple`` has no queues in the mesh, ``detailed`` has.
    """
    import sanafe

    inputs = {name: _inputs(work, name) for name in work.spikes}
    per_core: Counter[int] = Counter()
    for name, made in inputs.items():
        per_core.update(work.core_of(name)[made.elements].tolist())
    architecture = _architecture(sanafe, work, per_core)
    network = sanafe.Network()
    cores = [core for tile in architecture.tiles for core in tile.cores]
    groups, units = {}, dict.fromkeys(per_core, 0)
    # targets first: a core's somas count all its neurons, and have room for 1024
    never = {"leak_decay": 1.0, "threshold": 1e9}
    hw = {"default_synapse_hw_name": "loihi_dense_synapse", "default_dendrite_hw_name": "loihi_dendrites"}
    for name in work.consumers:
        size = int(np.prod(work.program.shapes[name]))
        group = groups[name] = network.create_neuron_group(name, size, never, **hw, soma_hw_name="loihi_lif")
        for neuron, core in zip(group, work.core_of(name).tolist(), strict=True):
            neuron.map_to_core(cores[number(core)])
    for name, made in inputs.items():
        group = groups[name] = network.create_neuron_group(name, len(made.elements))
        trains = np.tile(made.fired, (3, 1)).T.tolist()
        for neuron, train, core in zip(group, trains, work.core_of(name)[made.elements].tolist(), strict=True):
            neuron.set_attributes(soma_hw_name=f"loihi_inputs[{units[core]}]", model_attributes={"spikes": train})
            neuron.map_to_core(cores[number(core)])
            units[core] += 1
    for projection in work.projections:
        made = inputs[projection.emitter]
        _connect(groups[projection.emitter], groups[projection.consumer], made, projection.elements, projection.outputs)
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    chip.sim(work.period)
    return {timing: _measured(chip.sim(work.period, timing_model=timing, perf_trace=True)) for timing in ("simple", "detailed")}


def _measured(result: dict[str, Any]) -> Measured:
    trace = {key: np.asarray(values) for key, values in result["perf_trace"].items()}
    return Measured(
        synops=int(trace["spikes"].sum()),
        spikes=int(trace["fired"].sum()),
        packets=result["packets_sent"],
        hops=int(trace["hops"].sum()),
        synapse_pj=float(trace["synapse_energy"].sum()) * 1e12,
        soma_pj=float(trace["soma_energy"].sum()) * 1e12,
        network_pj=float(trace["network_energy"].sum()) * 1e12,
        steps_ns=trace["sim_time"] * 1e9,
    )


def _inputs(work: Workload, name: str) -> _Inputs:
    """One neuron per element and signed level; where spikes carry a payload, one per element."""
    sent = work.trains[name]
    if work.program.nodes[name].graded:
        elements = np.flatnonzero((sent != 0).any(axis=0))
        return _Inputs(elements, sent[:, elements] != 0)
    made, trains = [], []
    for element in np.flatnonzero((sent != 0).any(axis=0)).tolist():
        for level in np.unique(sent[:, element]).tolist():
            if level:
                made.append(element)
                trains.append(sent[:, element] == level)
    return _Inputs(np.array(made, np.int64), np.array(trains, bool).reshape(len(made), len(sent)).T)


def _connect(source: Any, target: Any, made: _Inputs, elements: np.ndarray, outputs: np.ndarray) -> None:
    """A synapse of weight 0 for each that a projection has of an element, from each of the element's neurons."""
    order = np.argsort(elements, kind="stable")
    elements, outputs = elements[order], outputs[order]
    first = np.searchsorted(elements, made.elements, side="left")
    count = np.searchsorted(elements, made.elements, side="right") - first
    neuron = np.repeat(np.arange(len(made.elements)), count)
    within = np.arange(len(neuron)) - np.repeat(np.cumsum(count) - count, count)
    reached = outputs[np.repeat(first, count) + within]
    for start in range(0, len(neuron), CHUNK):
        pairs = list(zip(neuron[start : start + CHUNK].tolist(), reached[start : start + CHUNK].tolist(), strict=True))
        source.connect_neurons_sparse(target, {"weight": [0.0] * len(pairs)}, pairs)


def number(core: int) -> int:
    """Our core among SANA-FE's: chips stand in a row, tiles fill a chip's rows to and fro; there, tiles are numbered down the
    columns of the one wide mesh."""
    chip, rest = divmod(core, COLUMNS * ROWS * CORES)
    tile, offset = divmod(rest, CORES)
    row, along = divmod(tile, COLUMNS)
    column = chip * COLUMNS + (along if row % 2 == 0 else COLUMNS - 1 - along)
    return (column * ROWS + row) * CORES + offset


def _architecture(sanafe: Any, work: Workload, per_core: dict[int, int]) -> Any:
    """``loihi.yaml`` with a mesh as wide as all chips, and on each core the inputs that it needs."""
    import yaml

    described = yaml.safe_load((files("sanafe.examples") / "loihi.yaml").read_text())
    chip, chips = described["architecture"], work.placement.chips
    assert chips is not None
    assert (chip["attributes"]["width"], chip["attributes"]["height"]) == (COLUMNS, ROWS)
    chip["attributes"]["width"] = COLUMNS * chips
    (pattern,) = chip["tile"]
    inputs = Counter({number(core): count for core, count in per_core.items()})
    neurons = inputs + Counter(number(core) for name in work.consumers for core in work.core_of(name).tolist())
    chip["tile"] = []
    for tile in range(COLUMNS * ROWS * chips):
        described_tile = copy.deepcopy(pattern)
        described_tile["name"] = f"loihi_tile[{tile}]"
        (core,) = described_tile["core"]
        described_tile["core"] = [
            _core(core, offset, inputs[tile * CORES + offset], neurons[tile * CORES + offset]) for offset in range(CORES)
        ]
        chip["tile"].append(described_tile)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "loihi_wide.yaml"
        quick = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        path.write_text(yaml.dump(described, Dumper=quick, sort_keys=False))
        return sanafe.load_arch(path)


def _core(pattern: Any, offset: int, inputs: int, neurons: int) -> Any:
    """A core of a tile, with so many inputs (the reader wants one at least), and room for so many neurons in all: SANA-FE keeps
    it in every unit, and takes its time where it is more than is needed."""
    core = copy.deepcopy(pattern)
    core["name"] = f"loihi_core[{offset}]"
    core["attributes"]["max_neurons_supported"] = max(neurons, 1)
    somas = {soma["name"].partition("[")[0]: soma for soma in core["soma"]}
    neuron, source = somas["loihi_lif"], somas["loihi_inputs"]
    source["name"] = f"loihi_inputs[0..{max(inputs - 1, 0)}]"
    for cost in ("energy_spike_out", "latency_spike_out"):
        source["attributes"][cost] = neuron["attributes"][cost]
    return core
