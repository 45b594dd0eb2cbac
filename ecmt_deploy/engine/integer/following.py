"""What functions and products share: sent is the change of a term, as far as a stream holds it; the rest follows."""

from __future__ import annotations

import torch
from torch import Tensor

from ecmt_deploy.engine.integer.base import Clips, IntegerOp
from ecmt_deploy.engine.signal import STEP, Chunk, Signal


class Following(IntegerOp):
    """y_t = sat(term - p), p <- p + y_t, so that p is the sum of everything sent.

    What was not clipped at a step is not clipped at the next where nothing comes, so it does not matter whether it is computed
    again. Where something was, what follows is an event by itself.
    """

    def begin(self, chunk: Chunk, device: torch.device) -> Tensor:
        """Whether something was clipped in the step before, (B,)."""
        found = self.own(chunk).state.get("restless")
        return torch.zeros(chunk.batch, dtype=torch.bool, device=device) if found is None else found

    def stream(self, chunk: Chunk, value: Tensor, clips: Clips, restless: Tensor, **state: Tensor) -> Signal:
        """The stream of values (steps, B, ...), of which it keeps the state.

        Parameters
        ----------
        restless : of :meth:`begin`
        """
        clips.count()
        value = value.reshape(*value.shape[:2], *self.shape)
        follows = None
        if clips.numbers is not None or restless.any():
            later = torch.zeros_like(restless).expand(chunk.steps, -1) if clips.numbers is None else clips.numbers > 0
            before = torch.cat([restless[None], later[:-1]]).reshape(chunk.steps, chunk.batch, *[1] * len(self.shape))
            sent = value != 0
            follows = before & (sent.any(dim=-1, keepdim=True) if self.shape else sent)
            restless = later[-1]
        self.kept(chunk, restless=restless, **state)
        return Signal(value, STEP, changed=follows)

    def count(self, chunk: Chunk, signal: Signal, *signals: Signal) -> Tensor | None:
        changed = super().count(chunk, signal._replace(changed=None), *signals)
        return changed if signal.changed is None or changed is None else changed | signal.changed
