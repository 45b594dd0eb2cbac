"""What an op is: the fields of a node, and the traits by which every reader knows what it does.

Readers (shapes, verification, kernels, quantisation, placement, energy, Lava, report) ask these traits and never for a type. A
trait that an op does not state is an error that names the reader and the op: nothing is guessed, so nothing is misread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any, ClassVar, NamedTuple, TypeVar

import nir
import numpy as np

from ecmt_deploy.program.ops.format import NumberFormat
from ecmt_deploy.program.ops.rules import Require as Require
from ecmt_deploy.program.ops.rules import Shape as Shape
from ecmt_deploy.program.ops.rules import ShapeError as ShapeError
from ecmt_deploy.program.ops.rules import broadcasts as broadcasts
from ecmt_deploy.program.ops.rules import finite as finite
from ecmt_deploy.program.ops.rules import fits as fits
from ecmt_deploy.program.ops.share import Share, elementwise
from ecmt_deploy.program.ops.traits import MissingTraitError as MissingTraitError
from ecmt_deploy.program.ops.traits import missing, trait
from ecmt_deploy.shown import brief

CODINGS = ("rate", "differential")
#: what a node is to those who read a program, and what it emits: ``operands`` is what its operands are. Movement moves values
#: and computes nothing; a synapse has weights; arithmetic is linear in its operands, without weights
ROLES = {
    "input": "analog", "constant": "analog", "movement": "operands", "synapse": "analog", "arithmetic": "analog",
    "neuron": "spikes", "function": "analog", "product": "analog", "readout": "analog", "output": "operands",
}  # fmt: skip
#: an initial state of zero, which widens no program
NOTHING = np.zeros((), np.float16)


class Work(NamedTuple):
    """What one node computes for one sample.

    Attributes
    ----------
    dense_macs : multiply-accumulates of the network's node, padding excluded; 0 where it has no weights and is no product
    fan_out : least and most weight accesses (of a product: output terms) that one spike of each operand takes part in; empty
        where the node has no weights and is no product
    kind, elements : the kind under which its elementwise work is counted, and the elements of a whole step; ``None`` and 0
        where it has none
    """

    dense_macs: int = 0
    fan_out: tuple[tuple[int, int], ...] = ()
    kind: str | None = None
    elements: int = 0


@dataclass(eq=False, repr=False)
class Op(nir.NIRNode):
    """Base of all nodes.

    A node carries no shape of its operands: shapes follow from the graph, so a file cannot contradict itself. NIR's
    ``input_type`` and ``output_type`` are filled in when the graph is verified.

    Attributes
    ----------
    format : of an integer node, its :class:`NumberFormat`; ``None`` for floating point
    """

    format: Any = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        return brief(self, self.fields)

    # --- what every op states ---
    role = trait("one of ROLES")
    #: ``int``, ``float``, ``bool``, ``string`` and ``names`` (string vector) say what they are; ``ints`` is an int64 array,
    #: ``integers`` an array of any signed integers, ``floats`` one of floating point numbers (of integers in an integer node),
    #: ``parameters`` a group of numeric arrays by name
    fields = trait("kind of each of its fields")
    infer = trait("shape of its stream, from those of its operands")
    work = trait("multiply-accumulates, fan-out and elements of one sample")
    kernel = trait("its kernel in NumPy")
    #: of a node whose elements are counted under a kind (a function has its own)
    recipe = trait("arithmetic and accesses of one element that it counts")
    #: of a neuron: its membrane before t = 1; smallest base and largest level, which a dtype must hold as normal numbers
    initial = trait("membrane before the first step")
    largest_spike = trait("magnitude of the largest positive and of the largest negative spike")
    levels_apart = trait("number of spikes of different magnitude")
    range = trait("smallest and largest number that its thresholds are made of")
    fires_from = trait("sizes of the membrane from which on a negative, and a positive, spike leaves it; infinite if silent")
    #: of an integer neuron
    unit = trait("what a payload of one is worth, in units of its membrane")

    # --- what few ops are; the default is refused or counted in full where it would matter ---
    #: number of operands: ``None`` means one or more, named in order in the field ``operands``
    arity: ClassVar[int | None] = 1
    #: what an integer node says besides its exponent and width; ``None`` where the op has no integer form, with the reason
    format_type: ClassVar[type[NumberFormat] | None] = None
    without_integer: ClassVar[str] = "nobody has written it"
    #: the kernel of its integer form
    integer_kernel = trait("its kernel in integers")
    #: whether masks (infinities) pass through, and whether they may end here
    carries_masks: ClassVar[bool] = False
    takes_masks: ClassVar[bool] = False
    #: whether the analog image passes through on its way to an encoding layer
    passes_image: ClassVar[bool] = False
    #: whether its operand is ids
    takes_tokens: ClassVar[bool] = False
    #: whether whoever presents the sample computes it, so that its stream enters a chip from outside
    outside: ClassVar[bool] = False
    #: whether its operands must be exact, as it is discontinuous; whether it brings in integers, which are
    needs_exact: ClassVar[Any] = False
    #: numbers of the operands that must follow from tokens, masks and constants alone, whether they enter once or are held
    exact_operands: ClassVar[Any] = ()
    enters_exact: ClassVar[Any] = False
    #: fields that a file leaves out where they are this
    defaults: ClassVar[Mapping[str, Any]] = {}
    #: whether an integer node takes spikes, whose units are their own
    takes_spikes: ClassVar[bool] = False
    #: of a neuron, whether a spike is any multiple of its base, so that a weight is multiplied by its payload where it arrives;
    #: otherwise it is one of a few levels, which shifts tell apart
    graded: ClassVar[bool] = False
    #: of an integer neuron, a power of two that all its payloads are multiples of
    common_payload: ClassVar[Any] = 1
    #: how outputs and cores go together: ``linear``, ``convolution``, ``matmul``, ``mean``, or element by element
    layer: ClassVar[Any] = "elements"
    #: fields that broadcast to its stream, element by element
    per_element: ClassVar[tuple[str, ...]] = ()
    #: when it sends analog values: ``once``, ``always``, or where something changed
    sends: ClassVar[Any] = "changed"

    def __post_init__(self) -> None:
        self.input_type: dict[str, Any] = {}
        self.output_type: dict[str, Any] = {}

    @property
    def analog(self) -> Op:
        """The node of the analog network, in which neurons send all that they get: most are the same there."""
        return self

    @property
    def kind(self) -> str:
        """Name of the op, under which files and reports know it."""
        return type(self).__name__

    @property
    def emits(self) -> str:
        """``spikes``, ``analog``, or ``operands``: what its operands are."""
        return ROLES[self.role]

    @property
    def needs_code(self) -> str | None:
        """Under which name it needs neurons that run code; ``None`` where any chip computes it."""
        computes = self.role in ("neuron", "function", "product")
        return missing(self, "needs_code", "kind of code that a core must run for it") if computes else None

    def state(self, shape: Shape, *operands: Shape) -> dict[str, Shape]:
        """Shape of all that it remembers from step to step, by name."""
        if self.kernel.memory:
            missing(self, "state", "shape of all that it remembers")
        return {"remainder": shape} if self.format is not None and self.format.remainder_bits else {}

    @property
    def standard(self) -> bool:
        """Whether NIR itself defines it, with this meaning."""
        return self.format is None and type(self) in STANDARD.values()

    @property
    def detail(self) -> str:
        """What tells it from others of its kind, in a word."""
        return ""

    def settle(self, require: Require) -> None:
        """Bring the fields of a node (a copy already, each of its kind) to one form."""

    def fit(self, shape: Shape) -> None:
        """Say of a node (a copy already) what the shape of its first operand decides: axes are counted from the front."""

    def check(self, require: Require) -> None:
        """Rules of the fields of a floating node."""

    def check_format(self, require: Require) -> None:
        """Rules of the fields of an integer node, besides those of every format."""

    def check_integer(self, operands: list[Shape], spiking: bool, bits: int, require: Callable[[bool, str], None]) -> None:
        """Rules of an integer node among its operands, with ``bits`` of state."""

    @property
    def bound(self) -> float | None:
        """The largest finite magnitude its stream can have; ``None`` where that follows from its operands."""
        return None

    @property
    def keeps_format(self) -> bool:
        """Whether its integer stream has its operand's exponent."""
        return False

    @property
    def every_step(self) -> bool:
        """Whether all its elements are evaluated at every step, whatever changed."""
        return False

    def coupling(self, ndim: int) -> tuple[int, ...]:
        """Axes of the operand that one output element depends on; none where the node is elementwise."""
        return ()

    def together(self, operand: int | None, ndim: int) -> tuple[int, ...]:
        """Axes, counted from the end, over which one event counts for all elements: of an operand, or of its own stream of
        ``ndim`` axes (``None``)."""
        return ()

    def share(self, elements: np.ndarray, shape: Shape, *operands: Shape) -> Share:
        """What a core computes of it that computes ``elements`` of its stream (flat, ascending)."""
        if self.coupling(max(map(len, operands), default=0)) or self.layer != "elements":
            missing(self, "share", "what one core computes of it")
        return elementwise(self, elements, shape, operands)

    def words(self, shape: Shape, *operands: Shape) -> int:
        """Words that it remembers for one element of its stream."""
        form = self.format
        wide = {} if form is None else {"remainder": ceil(form.remainder_bits / form.state_bits)}
        kept = self.state(shape, *operands).items()
        return sum(ceil(prod(size) / prod(shape)) * wide.get(name, 1) for name, size in kept)

    @property
    def reductions(self) -> int:
        """Sums over the axes that couple its elements which one element takes; 0 where it is elementwise."""
        return 0

    @property
    def maxima(self) -> int:
        """Maxima over the axes that couple its elements which one element is; 0 where it is none."""
        return 0

    @property
    def initials(self) -> tuple[np.ndarray, ...]:
        """What its memories hold before the first step, where that is not zero: membranes, running sums of a product."""
        return missing(self, "initials", "what its running sums hold before the first step") if self.role == "product" else ()

    @property
    def spikes_per_element(self) -> int:
        """Neurons, and axons, that one element takes on a chip whose spikes carry no payload."""
        return 1 if self.emits != "spikes" else missing(self, "spikes_per_element", "neurons that a binary chip needs for it")

    @property
    def message_bits(self) -> int | None:
        """Bits of one message; ``None`` where the program does not say."""
        if self.emits == "spikes":
            return missing(self, "message_bits", "bits that tell its spikes apart")
        return None if self.format is None else int(self.format.state_bits)

    @property
    def live(self) -> np.ndarray:
        """Of a neuron, where it can fire at all: bool, broadcast to its stream."""
        return np.ones((), bool)

    @property
    def requires_finite(self) -> bool:
        """Whether what is no number would end here unseen."""
        return self.role in ("neuron", "function", "readout")

    @property
    def finite(self) -> bool:
        """Whether its stream is finite wherever its operands are."""
        return False


_Node = TypeVar("_Node", bound=type[Op])
#: every op by its name
OPS: dict[str, type[Op]] = {}
#: which op reads a node of NIR's own
STANDARD: dict[type[nir.NIRNode], type[Op]] = {}


def register(cls: _Node) -> _Node:
    """Make an op known to whoever reads programs; one of NIR's own types is read as the op that derives from it."""
    OPS[cls.__name__] = cls
    for base in cls.__bases__:
        if issubclass(base, nir.NIRNode) and not issubclass(base, Op):
            STANDARD[base] = cls
    return cls
