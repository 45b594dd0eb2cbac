"""What a trace says: how far each node of a spiking program is from its analog value, step by step."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ecmt_deploy.errors import RunError


class NodeTrace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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
    """

    node: str
    kind: str
    relative_error: tuple[float, ...]
    spike_rate: tuple[float, ...] = ()
    saturation: tuple[float, ...] = ()
    percentile_95: tuple[float, ...] = ()
    worst: tuple[float, ...] = ()


class Trace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A spiking program against its analog one, node by node in the program's order.

    Attributes
    ----------
    n_samples, timesteps : over how many samples and steps
    coding : of the program
    nodes : every node that computes something
    program_sha256, data : the file and the samples, where known
    """

    n_samples: int
    timesteps: int
    coding: str
    nodes: tuple[NodeTrace, ...]
    program_sha256: str | None = None
    data: str | None = None


def load_trace(path: Path) -> Trace:
    """A trace from the file that ``trace --out`` wrote.

    Raises
    ------
    RunError
        if it is missing or malformed.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such file; `ecmt-deploy trace P.nir --data DATA --out {path}` makes one")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Trace)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunError(f"{path}: {error}; trace again") from None
