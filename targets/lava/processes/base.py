"""What the processes share: a node of the dialect, and a model that steps its kernel.

Lava executes the files of this folder once more whenever it looks for models, so nothing here may depend on being imported
as a package: the files import each other by their installed names.
"""

import operator
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess, LogConfig
from lava.magma.core.process.variable import Var

from ecmt_deploy.kernels import Site, Stream, kernel
from ecmt_deploy.program.ops import Op
from ecmt_deploy.program.verification import infer
from ecmt_deploy.targets.lava.models import model_class

#: sizes of the axes, or the size of a vector
Shape = tuple[int, ...] | int


class NodeProcess(AbstractProcess):
    """A node of the dialect as a process; base of the others.

    Its variables are the state of the node, under the names that the node gives it; what a node of the kind may keep and this
    one does not is zero.

    Parameters
    ----------
    node : a node, floating or integer
    shapes : shapes of its operands
    reset_interval : steps T of one inference: state is zeroed before every T-th step; ``None`` for one that never ends
    name, log_config : as in any Lava process
    """

    #: Lava asks a process for it even where its construction failed
    _runtime: Any = None
    #: names of the ports, an input for each operand, and of the variables
    inputs: ClassVar[tuple[str, ...]] = ("a_in",)
    output: ClassVar[str] = "a_out"
    state: ClassVar[tuple[str, ...]] = ()
    takes_spikes: ClassVar[bool] = False

    def __init__(
        self, *, node: Op, shapes: Sequence[Shape], reset_interval: int | None = None,
        name: str | None = None, log_config: LogConfig | None = None,
    ) -> None:  # fmt: skip
        if reset_interval is not None and whole(reset_interval) < 1:
            raise ValueError(
                f"{type(self).__name__}: reset_interval is {reset_interval}, expected at least 1, or None for never"
            )
        sizes = tuple(shape_of(shape, type(self).__name__) for shape in shapes)
        site = Site(sizes, infer(node, list(sizes)), (self.takes_spikes,) * len(sizes), False)
        super().__init__(node=node, site=site, reset_interval=reset_interval, name=name, log_config=log_config)
        for port, size in zip(self.inputs, sizes, strict=True):
            setattr(self, port, InPort(shape=size))
        setattr(self, self.output, OutPort(shape=site.shape))
        kept = node.state(site.shape, *sizes)
        for variable in self.state:
            setattr(self, variable, Var(shape=kept.get(variable, site.shape), init=0))

    @classmethod
    def from_node(cls, node: Op, *shapes: Shape, **keywords: Any) -> "NodeProcess":
        """A process for a node of a program, for operands of ``shapes``; the only way to one with a ``fixed_pt`` model.

        Parameters
        ----------
        node : of the type that belongs to the class, for example ``program.nodes["blocks.0.attn.qkv"]``
        keywords : ``reset_interval``, ``name``, ``log_config``
        """
        made = cls.__new__(cls)
        NodeProcess.__init__(made, node=node, shapes=shapes, **keywords)
        made._post_init()  # what Lava does after a constructor
        return made


class NodeModel(PyLoihiProcessModel):
    """Receives, steps the kernel, sends: within one time step, in the order of the connections."""

    process: ClassVar[type[NodeProcess]]
    dtype: ClassVar[type]

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        node = proc_params["node"]
        integer = node.format is not None
        if integer != (self.dtype is np.int32):
            kinds = ("a floating node", "floating_pt") if not integer else ("an integer node", "fixed_pt")
            raise ValueError(
                f"{proc_params['name']}: {kinds[0]} runs with select_tag {kinds[1]!r} only; quantise the program for the other"
            )
        site = proc_params["site"]
        self.kernel = kernel(node, site, np.dtype(np.int64 if integer else self.dtype))
        self.kept = tuple(node.state(site.shape, *site.operand_shapes))
        self.interval: int | None = proc_params["reset_interval"]

    def run_spk(self) -> None:
        """One step of the node."""
        elapsed = self.time_step - 1
        step = elapsed % self.interval if self.interval else elapsed
        if step == 0:
            self.kernel.reset()
        received = [getattr(self, port).recv().astype(self.kernel.dtype, copy=False) for port in self.process.inputs]
        spikes = self.process.takes_spikes
        streams = [Stream(x, x != 0 if spikes else np.ones(x.shape, bool)) for x in received]
        sent = self.kernel.step(step + 1, *streams).value
        getattr(self, self.process.output).send(sent.astype(self.dtype, copy=False))
        for variable, value in zip(self.kept, self.kernel.remembered(), strict=True):
            setattr(self, variable, value)


def models(process: type[NodeProcess]) -> tuple[Any, Any]:
    """The ``floating_pt`` and the ``fixed_pt`` model of a process, which Lava finds as names of the process's module."""
    made = [model_class(NodeModel, process, process.inputs, process.output, process.state, kind) for kind in (float, np.int32)]
    for model, kind in zip(made, (float, np.int32), strict=True):
        model.process, model.dtype = process, kind
    return made[0], made[1]


def whole(value: Any) -> int:
    """A whole number as a Python one; 0 for what is none (and no size is 0)."""
    try:
        return 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return 0


def shape_of(shape: Any, process: str) -> tuple[int, ...]:
    """A shape, given as Lava takes it: sizes in any sequence or array, or a single number for a vector.

    Raises
    ------
    ValueError
        if it holds anything but positive whole numbers, or nothing.
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) or np.ndim(shape) else (shape,)
    if not sizes or any(whole(size) < 1 for size in sizes):
        raise ValueError(f"{process}: shape is {shape!r}, expected one or several sizes of at least 1, such as (197, 192) or 5")
    return tuple(whole(size) for size in sizes)


def per_element(value: Any) -> np.ndarray:
    """A parameter as an array of floats."""
    return np.asarray(value, np.float64)
