"""What the nodes of a program may do for each other, found once and kept beside the program: who adds a constant early, who
writes in place, who shows single spikes.

Nothing of this changes a stream; where somebody watches the streams, or gradients are taken, it is not done. Each kind of op
says what holds of it in its own file (:meth:`~ecmt_deploy.engine.base.TorchOp.prepare`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from ecmt_deploy.program import Program

if TYPE_CHECKING:
    from ecmt_deploy.engine.base import TorchOp


class Hints(nn.Module):
    """What one node may do; its tensors move with the model.

    Attributes
    ----------
    overwrites : number of the operand whose memory may take the result, as nobody else needs it; ``None`` where none may
    shows_spikes : whether somebody downstream counts by elements and needs the spikes of single steps
    bias, bias_form : the constant that the only consumer of a linear node adds, as one vector (out,), and the form of streams
        in which it is the same always
    firing_rows : rows (bool) of a linear node's operand in which a neuron can fire at all, where they are few
    offset : what the only consumer of a neuron begins with, which is added to the sums it gives
    """

    overwrites: int | None = None
    shows_spikes: bool = False
    bias_form: str | None = None
    bias: Tensor | None
    firing_rows: Tensor | None
    offset: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        for name in ("bias", "firing_rows", "offset"):
            self.register_buffer(name, None, persistent=False)


class Neighbour(NamedTuple):
    """An operand of a node: the op that gives it, what that may do, and whether nobody else takes it."""

    op: TorchOp
    hints: Hints
    alone: bool


class Plan(nn.Module):
    """The hints of every node.

    Parameters
    ----------
    program : the program
    ops : the op of every node, in topological order
    """

    def __init__(self, program: Program, ops: Mapping[str, TorchOp]) -> None:
        super().__init__()
        self._all = nn.ModuleList(Hints() for _ in ops)
        self._by_name: dict[str, Any] = dict(zip(ops, self._all, strict=True))
        takers: dict[str, int] = dict.fromkeys(ops, 0)
        for sources in program.operands.values():
            for source in sources:
                takers[source] += 1
        for name, op in ops.items():
            around = [Neighbour(ops[source], self[source], takers[source] == 1) for source in program.operands[name]]
            op.prepare(self[name], around)
        wanted: set[str] = set()
        for name, op in reversed(list(ops.items())):
            self[name].shows_spikes = name in wanted
            if name in wanted if op.keeps_rows else op.takes_elements:
                wanted.update(source for source in program.operands[name] if source in program.spiking)

    def __getitem__(self, name: str) -> Hints:
        hints: Hints = self._by_name[name]
        return hints
