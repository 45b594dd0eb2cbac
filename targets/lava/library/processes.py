"""The Lava processes and their floating-point models, which call the project's kernels: the written semantics.

Lava matches a model's ports and variables with its process by name, at class level, so every number of operands has a class of
its own; :func:`_family` makes them from one body.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any, ClassVar

import nir
import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from ecmt_deploy.activity import INTEGER_COUNTS, Counts
from ecmt_deploy.graph import nodes as n
from ecmt_deploy.kernels import InputKernel, Kernel, Site, kernel
from targets.lava.wires import MAX_PORTS, Wire, pack, unpack


class NodeProcess(AbstractProcess):
    """One node of a program as a Lava process.

    Parameters
    ----------
    node : the node
    site : where it stands (shapes of its operands, which of them spike)
    reset_interval : steps T of one inference; state is zeroed before every T-th step
    dtype : floating dtype of the arithmetic
    received : shape of the stream at each port, and whether it spikes; by default the operands as they are
    wires : the operands as expressions over the ports; by default one port each
    name : name of the node
    failures : directory in which a model that fails leaves its traceback before the simulation is stopped

    Ports ``in_0``, ``in_1``, .. and ``s_out``; variable ``counts``, the integer counts in the order of
    ``INTEGER_COUNTS`` and then the elements evaluated.
    """

    ports: ClassVar[int] = 0
    #: variables that show the kernel's state, with the attribute of the kernel they show
    state: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        node: Any,
        site: Site,
        reset_interval: int,
        dtype: Any = np.float64,
        received: tuple[tuple[tuple[int, ...], bool], ...] | None = None,
        wires: tuple[Wire, ...] | None = None,
        name: str = "node",
        failures: Path | None = None,
        **extra: Any,
    ) -> None:
        if received is None:
            received = tuple(zip(site.operand_shapes, site.spiking, strict=True))
        if wires is None:
            wires = tuple(Wire(port=i) for i in range(len(received)))
        super().__init__(
            node=node, site=site, reset_interval=reset_interval, dtype=np.dtype(dtype), received=received, wires=wires,
            name=name, failures=failures, **extra,
        )  # fmt: skip
        for i, (shape, spikes) in enumerate(received):
            setattr(self, f"in_{i}", InPort(shape=_message_shape(shape, spikes)))
        self.s_out = OutPort(shape=_message_shape(site.shape, isinstance(node, n.MultiThreshold)))
        self.counts = Var(shape=(len(INTEGER_COUNTS) + 1,), init=0)
        for variable, shape in self._state_shapes(site).items():
            setattr(self, variable, Var(shape=shape or (1,), init=0.0))

    def _state_shapes(self, site: Site) -> dict[str, tuple[int, ...]]:
        return {}

    def read_counts(self, ecm_kind: str | None) -> Counts:
        """The counts so far, of a running or paused process; ``ecm_kind`` names the elements evaluated."""
        *integers, elements = (int(c) for c in self.counts.get())
        ops = {ecm_kind: elements} if ecm_kind and elements else {}
        return Counts(**dict(zip(INTEGER_COUNTS, integers, strict=True)), ecm_ops=ops)


class MultiThresholdNeuron(NodeProcess):
    """A layer of multi-threshold neurons; variable ``v`` is the membrane."""

    ports = 1
    state: ClassVar[dict[str, str]] = {"v": "v"}

    def _state_shapes(self, site: Site) -> dict[str, tuple[int, ...]]:
        return {"v": site.shape}


class ExpectationCompensation(NodeProcess):
    """An ECM of one operand; variables ``accumulator`` and ``previous`` are its state."""

    ports = 1
    state: ClassVar[dict[str, str]] = {"accumulator": "accumulators", "previous": "previous"}

    def _state_shapes(self, site: Site) -> dict[str, tuple[int, ...]]:
        return {"accumulator": site.operand_shapes[0], "previous": site.shape}


class CompensatedProduct(NodeProcess):
    """An ECM product; variables ``accumulator_left`` and ``accumulator_right`` are its running sums."""

    ports = 2
    state: ClassVar[dict[str, str]] = {"accumulator_left": "a", "accumulator_right": "b"}

    def _state_shapes(self, site: Site) -> dict[str, tuple[int, ...]]:
        return {"accumulator_left": site.operand_shapes[0], "accumulator_right": site.operand_shapes[1]}


class Sample(NodeProcess):
    """The input: ``samples`` (N, *shape) stream through, each for ``reset_interval`` steps."""

    ports = 0


class Sink(NodeProcess):
    """The output: variable ``readouts`` (N * T, classes) collects the readout after every step; ``heartbeat`` is a file whose
    time is set at every step."""

    ports = 1

    def __init__(self, *args: Any, samples: int, **kwargs: Any) -> None:
        super().__init__(*args, samples=samples, **kwargs)
        site, steps = self.proc_params["site"], self.proc_params["reset_interval"]
        self.readouts = Var(shape=(samples * steps, int(np.prod(site.shape))), init=0.0)


class NodeModel(PyLoihiProcessModel):
    """Receives its operands, steps its kernel, sends the result: all within one time step, in the order of the graph."""

    process: ClassVar[type[NodeProcess]]

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.parameters = proc_params
        self.kernel: Kernel = kernel(proc_params["node"], proc_params["site"], proc_params["dtype"])
        if isinstance(self.kernel, InputKernel):
            self.samples = proc_params["samples"]

    def run_spk(self) -> None:
        try:
            self._step()
        except BaseException:
            # Lava waits for ever for a model that raised; the host learns of it from this file
            directory = self.parameters["failures"]
            if directory is not None:
                text = f"{self.parameters['name']}\n{traceback.format_exc()}"
                temporary = Path(directory) / f"{id(self)}.partial"
                temporary.write_text(text)
                temporary.rename(temporary.with_name("failure.txt"))
            raise

    def _step(self) -> None:
        elapsed, dtype = self.time_step - 1, self.parameters["dtype"]
        interval = self.parameters["reset_interval"]
        if elapsed % interval == 0:
            self.kernel.reset()
            if isinstance(self.kernel, InputKernel):
                self.kernel.present(self.samples[elapsed // interval])
        received = [
            unpack(getattr(self, f"in_{i}").recv(), spikes, dtype) for i, (_, spikes) in enumerate(self.parameters["received"])
        ]
        operands = [wire.stream(received) for wire in self.parameters["wires"]]
        result = self.kernel.step(elapsed % interval + 1, *operands)
        self.finish(elapsed, result.value)
        self.s_out.send(pack(result, self.kernel.emits_spikes))
        counts = self.kernel.counts
        self.counts = np.array([*(getattr(counts, c) for c in INTEGER_COUNTS), sum(counts.ecm_ops.values())])
        for variable, attribute in self.process.state.items():
            value = getattr(self.kernel, attribute)
            setattr(self, variable, np.atleast_1d(value[0] if isinstance(value, list) else value))

    def finish(self, elapsed: int, value: np.ndarray) -> None:
        """What else is done with the result of a step."""


class SinkBody(NodeModel):
    """Keeps what arrives."""

    def finish(self, elapsed: int, value: np.ndarray) -> None:
        self.readouts[elapsed] = value.ravel()
        heartbeat = self.parameters["heartbeat"]
        if heartbeat is not None:
            Path(heartbeat).write_text(str(elapsed + 1))


def _message_shape(shape: tuple[int, ...], spikes: bool) -> tuple[int, ...]:
    return (shape or (1,)) if spikes else (2, *shape)


def _family(process: type[NodeProcess], body: type[NodeModel], ports: int, variables: tuple[str, ...]) -> type[NodeModel]:
    """The floating-point model of ``process``, with its ports and variables declared as Lava wants them."""
    attributes: dict[str, Any] = {
        **{f"in_{i}": LavaPyType(PyInPort.VEC_DENSE, float) for i in range(ports)},
        "s_out": LavaPyType(PyOutPort.VEC_DENSE, float),
        "counts": LavaPyType(np.ndarray, np.int64, precision=64),
        **{variable: LavaPyType(np.ndarray, float) for variable in variables},
        "process": process,
        "__module__": __name__,
        "__doc__": f"Floating-point model of {process.__name__}.",
    }
    model = type(f"{process.__name__}FloatModel", (body,), attributes)
    made: type[NodeModel] = implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(tag("floating_pt")(model)))
    return made


_HERE = sys.modules[__name__]
_BY_PORTS: dict[int, type[NodeProcess]] = {}
for _ports in range(MAX_PORTS + 1):  # linear maps, sums, means, constants, concatenations: no state worth showing
    _process = type(
        f"Node{_ports}", (NodeProcess,), {"ports": _ports, "__module__": __name__, "__doc__": f"{_ports} operands."}
    )
    setattr(_HERE, _process.__name__, _process)
    setattr(_HERE, f"{_process.__name__}FloatModel", _family(_process, NodeModel, _ports, ()))
    _BY_PORTS[_ports] = _process
MultiThresholdNeuronFloatModel = _family(MultiThresholdNeuron, NodeModel, 1, ("v",))
ExpectationCompensationFloatModel = _family(ExpectationCompensation, NodeModel, 1, ("accumulator", "previous"))
CompensatedProductFloatModel = _family(CompensatedProduct, NodeModel, 2, ("accumulator_left", "accumulator_right"))
SampleFloatModel = _family(Sample, NodeModel, 0, ())
SinkFloatModel = _family(Sink, SinkBody, 1, ("readouts",))

_SPECIAL: dict[type, type[NodeProcess]] = {
    n.MultiThreshold: MultiThresholdNeuron,
    n.ECM: ExpectationCompensation,
    n.ECMProduct: CompensatedProduct,
    nir.Input: Sample,
    nir.Output: Sink,
}


def process_for(node: nir.NIRNode, ports: int) -> type[NodeProcess]:
    """The class of Lava process that runs ``node`` when its operands arrive through ``ports`` ports."""
    special = _SPECIAL.get(type(node))
    return special if special is not None and special.ports == ports else _BY_PORTS[ports]
