"""A group of nodes as a Lava process, and its model, which runs the project's kernels: the written semantics.

Every number of ports, set of state variables and dtype has a class of its own, which :func:`process_class` makes.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.runtime.mgmt_token_enums import MGMT_COMMAND

from ecmt_deploy.errors import EcmtError
from ecmt_deploy.kernels import Stream, kernel
from ecmt_deploy.program.inputs import Inputs

from ..groups import Group, message_dtype, message_shape, pack, unpack
from ..job import Job
from ..models import model_class


def state_of(group: Group) -> dict[str, tuple[int, ...]]:
    """State variables of a group, with their shapes, member by member: those of the last have the names that the node gives
    them, those of another (the remainder of its rounding) its number behind them."""
    kept, last = {}, len(group.members) - 1
    for i, member in enumerate(group.members):
        for variable, shape in member.node.state(member.site.shape, *member.site.operand_shapes).items():
            kept[variable if i == last else f"{variable}_{i}"] = shape
    return kept


@dataclass(frozen=True)
class Recording:
    """A probe of a node: what is recorded, and the array (N * T, *shape), a file, that takes it."""

    kind: str
    series: np.ndarray


@dataclass(frozen=True)
class Plan:
    """What all processes of a network share.

    Attributes
    ----------
    job : where failures go
    dtype : of arithmetic and state
    timesteps : steps T of one inference; state is zeroed before every T-th step, unless the samples are frames of a stream
    shapes, spikes : of the streams between groups: their shapes, and which are spikes
    inputs : what stands where in a sample
    samples : (N, *input_shape), a file
    sent : of a stream, (N, *input_shape) bool, a file: where a frame is sent; ``None`` where every sample begins anew
    begins : (N,), of every sample the one with which its inference, or its stream, began
    readouts : (N * T, classes), a file
    steps : steps each group has finished, a file: the heartbeat
    counts : (records, T, nodes, counts), a file: counts at every step, as rows of ``FrameCounts``; a record for every frame
        of a stream, otherwise one for all samples
    rows : row of each node in a record of ``counts``
    recordings : probes by node
    """

    job: Job
    dtype: np.dtype
    timesteps: int
    shapes: Mapping[str, tuple[int, ...]]
    spikes: frozenset[str]
    inputs: Inputs
    samples: np.ndarray
    sent: np.ndarray | None
    begins: np.ndarray
    readouts: np.ndarray
    steps: np.ndarray
    counts: np.ndarray
    rows: Mapping[str, int]
    recordings: Mapping[str, tuple[Recording, ...]]


class GroupProcess(AbstractProcess):
    """Nodes of a program as one Lava process.

    Parameters
    ----------
    group : the nodes
    index : number of the group, its place in ``plan.steps``
    plan : what the network shares

    Ports ``in_0``, ``in_1``, .. and ``s_out``; variables are the state of its members.
    """

    model: ClassVar[type[GroupModel]]

    def __init__(self, group: Group, index: int, plan: Plan) -> None:
        super().__init__(group=group, index=index, plan=plan, name=group.name)
        for i, source in enumerate(group.ports):
            setattr(self, f"in_{i}", InPort(shape=message_shape(plan.shapes[source], source in plan.spikes, plan.dtype)))
        self.s_out = OutPort(shape=message_shape(plan.shapes[group.name], group.name in plan.spikes, plan.dtype))
        for variable, shape in state_of(group).items():
            setattr(self, variable, Var(shape=shape or (1,), init=0))


class GroupModel(PyLoihiProcessModel):
    """Receives, steps the kernels of its members in order, sends the last result: all within one time step."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.group: Group = proc_params["group"]
        self.plan: Plan = proc_params["plan"]
        self.index: int = proc_params["index"]
        with _reporting(self):
            self.kernels: list[Any] = [kernel(m.node, m.site, self.plan.dtype) for m in self.group.members]
            self.counted = [np.array(running.row, np.int64) for running in self.kernels]

    def run(self) -> None:
        """Obey the runtime service. Lava's own loop also waits for readers of variables; a program's network has none."""
        command = None
        while command != MGMT_COMMAND.STOP[0]:
            command = self.service_to_process.recv()[0]
            self._cmd_handlers[command]()

    def run_spk(self) -> None:
        with _reporting(self):
            self._step()

    def _step(self) -> None:
        plan, elapsed = self.plan, self.time_step - 1
        sample, step = divmod(elapsed, plan.timesteps)
        begun = int(plan.begins[sample])
        streams = {name: self._receive(i, name) for i, name in enumerate(self.group.ports)}
        for i, (member, running) in enumerate(zip(self.group.members, self.kernels, strict=True)):
            if step == 0:
                running.reset() if begun == sample else running.begin()
                if member.node.role == "input":
                    part = plan.inputs.part(plan.samples[sample], member.name)
                    running.present(part, None if plan.sent is None else plan.sent[sample])
            operands = [wire.stream(streams) for wire in member.operands]
            streams[member.name] = running.step(elapsed - begun * plan.timesteps + 1, *operands)
            record = 0 if plan.sent is None else sample
            before, self.counted[i] = self.counted[i], np.array(running.row, np.int64)
            plan.counts[record, step, plan.rows[member.name]] += self.counted[i] - before
            for recording in plan.recordings.get(member.name, ()):
                value = streams[member.name].value if recording.kind == "spikes" else running.state()
                recording.series[elapsed] = value.reshape(recording.series.shape[1:])
        name = self.group.name
        if self.group.members[-1].node.role == "output":
            plan.readouts[elapsed] = streams[name].value.ravel()
        self.s_out.send(pack(streams[name], name in plan.spikes, message_dtype(plan.dtype)))
        remembered = (part for running in self.kernels for part in running.remembered())
        for variable, value in zip(state_of(self.group), remembered, strict=True):
            setattr(self, variable, np.atleast_1d(value))
        plan.steps[self.index] = elapsed + 1

    def _receive(self, i: int, name: str) -> Stream:
        (channel,) = getattr(self, f"in_{i}").csp_ports  # one connection each: nothing to sum, so no copy is made for it
        return unpack(channel.recv(), self.plan.shapes[name], name in self.plan.spikes, self.plan.dtype)


@contextmanager
def _reporting(model: GroupModel) -> Iterator[None]:
    """Lava waits for ever for a model that raised; the host learns of it from the job's directory."""
    try:
        yield
    except EcmtError as error:
        model.plan.job.fail(str(error), "")
        raise
    except BaseException:
        model.plan.job.fail(f"node {model.group.name}: its process model raised", traceback.format_exc())
        raise


def process_class(group: Group, dtype: np.dtype) -> type[GroupProcess]:
    """The class of Lava process for ``group``, with its model as ``model``."""
    return _made(len(group.ports), tuple(state_of(group)), np.dtype(dtype))


@functools.cache
def _made(ports: int, state: tuple[str, ...], dtype: np.dtype) -> type[GroupProcess]:
    name = f"Group{ports}{''.join(variable.title().replace('_', '') for variable in state)}"
    process: Any = type(name, (GroupProcess,), {"__module__": __name__, "__doc__": GroupProcess.__doc__})
    inputs = [f"in_{i}" for i in range(ports)]
    process.model = model_class(GroupModel, process, inputs, "s_out", state, message_dtype(dtype).type)
    return process
