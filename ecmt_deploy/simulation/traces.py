"""What a trace says: how far each node of a spiking program is from its analog value, step by step."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ecmt_deploy.errors import plural
from ecmt_deploy.files import read_measured
from ecmt_deploy.shown import Brief, Plotted, Tabular


class NodeTrace(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node of a trace.

    Attributes
    ----------
    node, kind : name and type of the node (the function of an ECM, the product of an ECM product)
    relative_error : after every step, the norm of (value so far - analog value) over the norm of the analog value, over all
        samples and all rows that the readout depends on; the value so far is the mean of the stream in rate coding, its sum
        in differential coding
    spike_rate : at every step, spikes per neuron; empty for other nodes
    saturation : at every step, share of the neurons that fired their highest level; empty for other nodes
    percentile_95, worst : after every step, the relative error of single samples, each over its own analog value: of the one in
        twenty that is the least bad, and of the worst; empty in traces of older versions
    own_error : of an integer program, after the last step, the relative error that the node adds by itself: its value so far
        against what the float program's node makes of the same operands; ``None`` of neurons, which keep back, and of floats
    """

    node: str
    kind: str
    relative_error: tuple[float, ...]
    spike_rate: tuple[float, ...] = ()
    saturation: tuple[float, ...] = ()
    percentile_95: tuple[float, ...] = ()
    worst: tuple[float, ...] = ()
    own_error: float | None = None


class Trace(Tabular, Plotted, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A spiking program against its analog one, node by node in the program's order.

    Attributes
    ----------
    n_samples, timesteps : over how many samples and steps
    coding : of the program
    nodes : every node that computes something
    program_sha256, data : the file and the samples, where known
    skipped : how many samples were left out because they are damaged
    """

    charts = ("trace",)

    n_samples: int
    timesteps: int
    coding: str
    nodes: tuple[NodeTrace, ...]
    program_sha256: str | None = None
    data: str | None = None
    skipped: int = 0

    @property
    def breaking(self) -> list[NodeTrace]:
        """Of an integer program the nodes that add an error by themselves, the largest first."""
        own = [node for node in self.nodes if node.own_error is not None]
        return sorted(own, key=lambda node: -(node.own_error or 0.0))

    def __repr__(self) -> str:
        final = {node.node: node.relative_error[-1] for node in self.nodes if node.relative_error}
        worst = max(final, key=final.__getitem__, default=None)
        largest = "" if worst is None else f", largest error at the end {final[worst]:.3g} at {worst!r}"
        return f"Trace({plural(self.n_samples, 'sample')}, T = {self.timesteps}, {plural(len(self.nodes), 'node')}{largest})"


def load_trace(path: Path) -> Trace:
    """A trace from the file that ``trace --out`` wrote.

    Raises
    ------
    RunError
        if it is missing or malformed, or says what no trace can.
    """
    return read_measured(path, Trace, "trace", _impossible)


def _impossible(trace: Trace) -> str | None:
    """Why nothing can have measured this."""
    if trace.n_samples < 1 or trace.timesteps < 1:
        return f"{plural(trace.n_samples, 'sample')} of {plural(trace.timesteps, 'step')}"
    for node in trace.nodes:
        if len(node.relative_error) != trace.timesteps or not all(error >= 0 for error in node.relative_error):
            return f"node {node.node}: relative_error is no error for each of {plural(trace.timesteps, 'step')}"
        for name, shares in (("spike_rate", node.spike_rate), ("saturation", node.saturation)):
            if len(shares) not in (0, trace.timesteps) or not all(0 <= share <= 1 for share in shares):
                return f"node {node.node}: {name} is no share for each of {plural(trace.timesteps, 'step')}"
    return None
