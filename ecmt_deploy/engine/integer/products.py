"""Products of running sums in integers: exact in float64, in which no sum of a product has more than 53 digits."""

from __future__ import annotations

import torch
from torch import Tensor

from ecmt_deploy.engine import compensation
from ecmt_deploy.engine.base import runs
from ecmt_deploy.engine.integer.base import Clips, of_rows, on_grid, tiles
from ecmt_deploy.engine.integer.exact import divided, shifted
from ecmt_deploy.engine.integer.following import Following
from ecmt_deploy.engine.signal import Chunk, Signal
from ecmt_deploy.kernels.integers import limit
from ecmt_deploy.program import Program, ops

SIDES = ("left", "right")


@runs(ops.ECMProduct, integers=True)
class Product(Following, compensation.Product):  # type: ignore[misc]
    """The term is A B, in rate coding t (A / t) (B / t), of running sums A, B brought to ``operand_bits``."""

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program, name)
        form, self.rate = self.node.format, self.node.coding == "rate"
        self.grids = {side: shape or (1,) for side, shape in zip(SIDES, self.operand_shapes, strict=True)}
        self.shifts = {side: int(getattr(form, f"{side}_shift")) for side in SIDES}
        for side in SIDES:
            axes = len(self.grids[side])
            self.hold_integers(f"{side}_unit", on_grid(getattr(form, f"{side}_unit"), axes))
            self.hold_integers(f"{side}_initial", on_grid(getattr(self.node, f"{side}_initial"), axes))
        self.most, self.out = float(limit(form.operand_bits)), self.shape or (1,)

    def factors(self, chunk: Chunk, side: str, x: Tensor, clips: Clips) -> tuple[Tensor, Tensor]:
        """The running sums as the multiplier takes them, (steps, B, ...), and the last sum as it is, in float64."""
        grid, unit = self.grids[side], getattr(self, f"{side}_unit")
        x = x.reshape(*x.shape[:2], *grid)
        before = self.own(chunk).state.get(side)
        begun = getattr(self, f"{side}_initial").expand(x.shape[1:]) if before is None else before
        total = begun.clone(memory_format=torch.contiguous_format)
        found = torch.empty(chunk.steps, *x.shape[1:], dtype=torch.float64, device=x.device)
        for tile in tiles(chunk.batch, grid):
            held = total[tile]
            for t in range(chunk.steps):
                if t < len(x):
                    clips.clip_(held.addcmul_(x[t][tile].double(), of_rows(unit, tile[1])), t, tile[0])
                mean = divided(held, chunk.start + t) if self.rate else held
                found[t][tile] = clips.clip_(shifted(mean, self.shifts[side]), t, tile[0], self.most)
        return found, total

    def forward(self, chunk: Chunk, *signals: Signal) -> Signal:
        clips, state = Clips(self, chunk, signals[0].value), self.own(chunk).state
        restless = self.begin(chunk, signals[0].value.device)
        sides = [self.factors(chunk, side, signal.value, clips) for side, signal in zip(SIDES, signals, strict=True)]
        (left, a), (right, b) = sides
        axes = len(self.out) + 2
        left, right = (f.reshape(*f.shape[:2], *[1] * (axes - f.ndim), *f.shape[2:]) for f in (left, right))
        scaled = left * 2.0 ** -int(self.node.format.shift)  # by a power of two: the products lose no digit
        products = scaled @ right if self.matmul else scaled * right
        before = state.get("previous")
        shape = (chunk.batch, *self.out)
        previous = torch.zeros(shape, dtype=self.dtype, device=products.device) if before is None else before.clone()
        value = torch.empty(chunk.steps, *shape, dtype=self.dtype, device=products.device)
        half = 0.5 if int(self.node.format.shift) > 0 else 0.0
        for tile in tiles(chunk.batch, self.out):
            held = previous[tile]
            for t in range(chunk.steps):
                # what is beyond the range stays beyond it, whatever float it becomes
                term = clips.clip_(products[t][tile].add_(half).floor_().to(self.dtype), t, tile[0])
                if self.rate and chunk.start + t > 1:
                    term = clips.clip_(term * (chunk.start + t), t, tile[0])
                held.add_(clips.clip_(torch.sub(term, held, out=value[t][tile]), t, tile[0]))
        return self.stream(chunk, value, clips, restless, left=a, right=b, previous=previous)
