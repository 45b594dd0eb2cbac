"""Time series of neurons and accumulators: which are asked for, and the file in a run that keeps them.

The file is NIR's own for recordings (``nir.NIRGraphData``, :func:`nir.read_data`): one entry per node, its observables
``spikes``, ``membrane`` and ``state`` as ``TimeGriddedData`` of shape (samples, steps, neurons) with ``dt`` = 1 step, neurons
in row-major order of the node's shape. Spikes keep their signed size.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

import nir
import numpy as np

from ecmt_deploy.errors import ConfigError, RunError, reading
from ecmt_deploy.program import Program
from ecmt_deploy.simulation.target import PROBE_KINDS, Probe
from ecmt_deploy.untrusted.hdf5 import read_tree
from ecmt_deploy.untrusted.text import require_names


def parse_probes(program: Program, asked: Iterable[str | Probe]) -> tuple[Probe, ...]:
    """Probes from ``NODE``, ``NODE:spikes``, ``NODE:membrane`` or ``NODE:state``, each once.

    Raises
    ------
    ConfigError
        if there is no such node, or it is no neuron (for ``state``: it has no memory); names close matches.
    """
    remembering = tuple(name for name in program.nodes if program.state(name))
    probes = []
    for text in asked:
        node, _, kind = str(text).rpartition(":")
        probe = Probe(node, kind) if node and kind in PROBE_KINDS else Probe(str(text))
        wanted, fitting = ("a node with a state", remembering) if probe.kind == "state" else ("a neuron", program.neurons)
        if probe.node not in fitting:
            what = f"is a {program.nodes[probe.node].kind}" if probe.node in program.nodes else "is not in the program"
            close = difflib.get_close_matches(probe.node, fitting, 3, 0.3) or list(fitting[:3])
            raise ConfigError(f"--probe {text}: {probe.node} {what}; probe {wanted}, for example {', '.join(close)}")
        probes.append(probe)
    return tuple(dict.fromkeys(probes))


def probe_shape(program: Program, probe: Probe) -> tuple[int, ...]:
    """Shape of what a probe records at one step."""
    shape = program.shapes[probe.node]
    if probe.kind != "state":
        return shape
    return (sum(prod(kept) for kept in program.state(probe.node).values()),)


def save_probes(path: Path, series: Mapping[Probe, np.ndarray]) -> None:
    """Write time series (N, T, *shape)."""
    nodes: dict[str, nir.NIRNodeData] = {}
    for probe, values in series.items():
        gridded = nir.TimeGriddedData(values.reshape(*values.shape[:2], -1), dt=1.0)
        nodes.setdefault(probe.node, nir.NIRNodeData({})).observables[probe.kind] = gridded
    nir.write_data(str(path), nir.NIRGraphData(nodes))


def load_probes(path: Path) -> dict[Probe, np.ndarray]:
    """Time series (N, T, neurons) from a file, by name, spikes first; none where there is no file.

    Raises
    ------
    RunError
        if the file is damaged or is no recording.
    """
    if not path.exists():
        return {}
    with reading(RunError, f"{path}: no recording of neurons", "simulate again with --probe"):
        tree = read_tree(path)
    try:
        series = {
            Probe(name, kind): seen["data"]
            for name, node in tree["nodes"].items()
            for kind, seen in node["observables"].items()
        }
        sound = all(p.kind in PROBE_KINDS and values.ndim == 3 and values.dtype.kind in "fi" for p, values in series.items())
    except (KeyError, AttributeError, TypeError, IndexError):  # a member is missing, or a group where there should be an array
        sound = False
    if not sound:
        raise RunError(
            f"{path}: no recording of neurons: expected spikes, membranes and states, each of shape (samples, steps, neurons); "
            "simulate again with --probe"
        )
    require_names((probe.node for probe in series), RunError)
    return dict(sorted(series.items(), key=lambda item: (item[0].node, PROBE_KINDS.index(item[0].kind))))
