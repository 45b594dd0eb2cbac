"""The loads of a run in its directory: what cores did and links carried, read with suspicion."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ecmt_deploy.errors import RunError, plural, reading
from ecmt_deploy.estimation.amounts import WORK_COUNTS, synapses_of
from ecmt_deploy.placement.loads import Loads
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity

LOADS = "loads.npz"
_ACTION = "action."


def to_bytes(loads: Loads) -> bytes:
    """Contents of the file: ``link_packets``, ``links`` (links, 5), ``samples``, and ``action.NAME`` for each action."""
    content = io.BytesIO()
    actions = {_ACTION + name: amounts for name, amounts in loads.core_actions.items()}
    links = np.array(loads.links, np.int64).reshape(-1, 5)
    np.savez(content, link_packets=loads.link_packets, links=links, samples=np.int64(loads.samples), **actions)
    return content.getvalue()


def read_loads(path: Path, program: Program, activity: Activity) -> Loads:
    """What :func:`to_bytes` wrote of a run with these counts.

    Raises
    ------
    RunError
        if the file is damaged, or holds what is not of this run.
    """
    with reading(RunError, f"{path}: cannot be read", "simulate again"), np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    actions = {name.removeprefix(_ACTION): array for name, array in found.items() if name.startswith(_ACTION)}
    others = {name: array for name, array in found.items() if not name.startswith(_ACTION)}
    if others.keys() != {"link_packets", "links", "samples"}:
        raise RunError(f"{path}: holds {sorted(others)}, expected link_packets, links, samples and actions; simulate again")
    links, samples = others["links"], others["samples"]
    if links.ndim != 2 or links.shape[1] != 5 or links.dtype.kind != "i" or samples.ndim or samples.dtype.kind != "i":
        raise RunError(f"{path}: links or samples are no integers of the expected shape; simulate again")
    try:
        named = tuple((a, b, c, d, e) for a, b, c, d, e in links.tolist())
        loads = Loads(actions, others["link_packets"], named, int(samples))
    except RunError as error:
        raise RunError(f"{path}: {error}; simulate again") from None
    if wrong := _contradiction(loads, program, activity):
        raise RunError(f"{path}: {wrong}; simulate again")
    return loads


def _contradiction(loads: Loads, program: Program, activity: Activity) -> str | None:
    """What of loads is not of a run with these counts; ``None`` where all is."""
    if loads.samples != activity.n_samples or loads.steps < activity.timesteps:
        counted = f"{activity.n_samples} of {activity.timesteps}"
        return f"loads over {plural(loads.samples, 'sample')} in {plural(loads.steps, 'step')}, but the run counts {counted}"
    expected = dict.fromkeys(loads.core_actions, 0) | dict.fromkeys(WORK_COUNTS, 0)
    sent = {"packets", "packets.analog", "packets_in", "packets_within_tile", "hops_ew", "hops_ns", "chip_crossings"}
    for name, counts in activity.items():
        found = {count: getattr(counts, count) for count in WORK_COUNTS}
        found[synapses_of(program.nodes[name])] = counts.synops
        found |= {f"ecm_ops.{kind}": elements for kind, elements in counts.ecm_ops.items()}
        for action, amount in found.items():
            expected[action] = expected.get(action, 0) + amount
    for action, amount in expected.items():
        done = int(loads.total_of(action).sum())
        if action not in sent and done != amount:
            return f"action {action} is done {done:,} times, but the run counts {amount:,}"
    return None
