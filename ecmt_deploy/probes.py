"""Time series of neurons: which are asked for, and the file in a run that keeps them.

The file is NIR's own for recordings (``nir.NIRGraphData``, :func:`nir.read_data`): one entry per node, its observables
``spikes`` and ``membrane`` as ``TimeGriddedData`` of shape (samples, steps, neurons) with ``dt`` = 1 step, neurons in
row-major order of the node's shape. Spikes keep their signed size.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

import nir
import numpy as np

from ecmt_deploy.errors import ConfigError, RunError
from ecmt_deploy.graph import Program
from ecmt_deploy.target import PROBE_KINDS, Probe


def parse_probes(program: Program, asked: Iterable[str | Probe]) -> tuple[Probe, ...]:
    """Probes from ``NODE``, ``NODE:spikes`` or ``NODE:membrane``, each once.

    Raises
    ------
    ConfigError
        if there is no such node or it is no neuron; names close matches.
    """
    probes = []
    for text in asked:
        node, _, kind = str(text).rpartition(":")
        probe = Probe(node, kind) if node and kind in PROBE_KINDS else Probe(str(text))
        if probe.node not in program.neurons:
            what = (
                f"is a {type(program.nodes[probe.node]).__name__}" if probe.node in program.nodes else "is not in the program"
            )
            close = difflib.get_close_matches(probe.node, program.neurons, 3, 0.3) or list(program.neurons[:3])
            raise ConfigError(f"--probe {text}: {probe.node} {what}; probe a neuron, for example {', '.join(close)}")
        probes.append(probe)
    return tuple(dict.fromkeys(probes))


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
    try:
        read = nir.read_data(str(path))
        series = {Probe(n, k): data.data for n, node in read.nodes.items() for k, data in node.observables.items()}
        if not all(
            probe.kind in PROBE_KINDS and values.ndim == 3 and values.dtype.kind in "fi" for probe, values in series.items()
        ):
            raise ValueError("expected spikes and membranes of shape (samples, steps, neurons)")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: no recording of neurons: {error}; simulate again with --probe") from None
    return dict(sorted(series.items(), key=lambda item: (item[0].node, PROBE_KINDS.index(item[0].kind))))
