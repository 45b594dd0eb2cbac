"""Tokens, masks, and what follows from them alone, in a float program that is drawn at random."""

from __future__ import annotations

import numpy as np

from ecmt_deploy.program import ops
from ecmt_deploy.program.functions import FUNCTIONS
from ecmt_deploy.program.functions.integer import IntegerForm
from ecmt_deploy.program.inputs import Inputs, NamedInput
from ecmt_deploy.testing.drawing import Drawing, Shape

#: share of the programs that have such inputs
NAMED_SHARE = 0.3
#: functions whose operands must be exact
NEEDS_EXACT = [name for name, function in FUNCTIONS.items() if function.needs_exact and function.operands == 1]
#: others, which may stand on exact streams too
SMOOTH = ("relu", "clamp", "tanh")
WORDS = 7


class ExactDrawing(Drawing):
    """What a program may grow by that has tokens and masks.

    Draws of its own say what, so that the other programs are of a seed what they were before there were any.
    """

    def __init__(self, seed: int, quantisable: bool) -> None:
        super().__init__(seed, quantisable)
        self.exactly = np.random.default_rng((seed, 3))
        self.named = bool(self.exactly.random() < NAMED_SHARE)
        #: exact streams; those of them that hold integers; those that an Embedding may take
        self.exact: set[str] = set()
        self.integers: set[str] = set()
        self.ids: set[str] = set()
        self.inputs: list[NamedInput] = []

    def hidden(self) -> set[str]:
        return super().hidden() | self.exact

    def begin_named(self) -> None:
        """Inputs beside the sample, and rows of tables of the first."""
        shape: Shape = tuple(int(size) for size in self.exactly.integers(1, 4, size=int(self.exactly.integers(1, 3))))
        for holds in ("tokens", "mask", "tokens")[: int(self.exactly.integers(1, 4))]:
            limit = WORDS if holds == "tokens" else 0
            self.inputs.append(NamedInput(f"{len(self.nodes):02}.input", shape, holds, limit))
            self.sample = self.drawn(self.inputs[-1])
            name = self.add(ops.Input({"input": np.array(shape)}, holds=holds, limit=limit))
            self.exact.add(name)
            self.integers.add(name)
            self.ids.update([name] if holds == "tokens" else [])
        self.embedding()

    def drawn(self, entry: NamedInput) -> np.ndarray:
        """What one sample has of an input."""
        most = entry.largest
        assert most is not None
        return self.exactly.integers(0, most + 1, size=entry.shape).astype(np.float64)

    def packed(self, name: str, values: np.ndarray) -> np.ndarray:
        """Samples of which ``values`` (N, *shape) are the input ``name``."""
        if not self.named:
            return values
        inputs = Inputs((NamedInput(name, values.shape[1:]), *self.inputs))
        drawn = {entry.name: np.stack([self.drawn(entry) for _ in values]) for entry in self.inputs}
        return inputs.pack({name: values, **drawn})

    def exact_stage(self) -> None:
        """One more node, or a few, that have to do with exact streams."""
        stages = (
            self.embedding,
            self.exact_function,
            self.exact_sum,
            self.exact_wiring,
            self.exact_product,
            self.exact_product,
        )
        stages[int(self.exactly.integers(len(stages)))]()

    def one_of(self, names: set[str]) -> str:
        """One of some streams."""
        return str(self.exactly.choice(sorted(names)))

    def embedding(self) -> None:
        """Rows of a table, held in rate coding, through a layer perhaps."""
        weight = self.exactly.normal(size=(WORDS, int(self.exactly.integers(1, 5))))
        name = self.add(ops.Embedding(weight), self.one_of(self.ids))
        if self.coding == "rate":
            self.add(ops.Hold(), name)

    def exact_function(self) -> None:
        known = [*SMOOTH, *(NEEDS_EXACT if self.integers else [])]
        if self.quantisable:
            known = [name for name in known if isinstance(FUNCTIONS[name].integer, IntegerForm)]
        name = str(self.exactly.choice(known))
        function = FUNCTIONS[name]
        source = self.one_of(self.integers if function.needs_exact else self.exact)
        made = {key: np.asarray(value) for key, value in function.example.items()}
        result = self.add(ops.ECM((source,), name, "differential", made), source)
        self.exact.add(result)
        self.integers.update([result] if function.needs_exact else [])

    def exact_sum(self) -> None:
        """The sum of an exact stream and a constant that enters once."""
        source = self.one_of(self.exact)
        value = self.exactly.integers(-3, 4, size=self.values[source].shape).astype(np.float64)
        constant = self.add(ops.Constant(value, "first"))
        self.exact.add(constant)  # nothing else takes it
        result = self.add(ops.Add((source, constant)), source, constant)
        self.exact.add(result)
        self.integers.update([result] if source in self.integers else [])

    def exact_wiring(self) -> None:
        source = self.one_of(self.exact)
        shape = self.values[source].shape
        turned = self.exactly.permutation(len(shape)).astype(np.int64)
        result = self.add(ops.Permute(turned), source)
        self.exact.add(result)
        for names in (self.integers, self.ids):
            names.update([result] if source in names else [])

    def exact_product(self) -> None:
        """A product of a stream with an exact one that broadcasts to it: element by element, or their matrices."""
        source, exact = self.operand(), self.one_of(self.exact)
        shape, size = self.values[source].shape, self.values[exact].size
        if shape and size % shape[-1] == 0 and self.exactly.random() < 0.5:  # exact (rows, n) times (.., n, 1)
            column = self.add(ops.Reshape(np.array([*shape, 1])), source)
            matrix = self.lasting(self.exactly_shaped(exact, (size // shape[-1], shape[-1])))
            self.add(ops.ECMProduct((matrix, column), "matmul", self.coding), matrix, column)
            return
        fitting = next((axis for axis, length in enumerate(shape) if length == size), None)
        if fitting is None:
            exact = self.first_of(exact)
        else:
            exact = self.exactly_shaped(exact, (size, *[1] * (len(shape) - fitting - 1)))
        other = self.lasting(exact)
        sides = (source, other) if self.exactly.random() < 0.5 else (other, source)
        self.add(ops.ECMProduct(sides, "multiply", self.coding), *sides)

    def counted(self, unused: str) -> str:
        """A stream that what nothing took so far is multiplied into."""
        sides = self.operand(), self.lasting(self.first_of(unused))
        return self.add(ops.ECMProduct(sides, "multiply", self.coding), *sides)

    def first_of(self, source: str) -> str:
        """The first element of an exact stream, (1,)."""
        flat = self.exactly_shaped(source, (self.values[source].size,))
        self.exact.add(first := self.add(ops.Slice(0, 0, 1, 1), flat))
        return first

    def exactly_shaped(self, source: str, shape: Shape) -> str:
        result = self.add(ops.Reshape(np.array(shape, np.int64)), source)
        self.exact.add(result)
        return result

    def lasting(self, source: str) -> str:
        """An exact stream as a node takes it at every step."""
        if self.coding == "differential":
            return source
        held = self.add(ops.Hold(), source)
        self.exact.add(held)  # nothing else takes it
        return held
