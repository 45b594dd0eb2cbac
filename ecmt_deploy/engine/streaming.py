"""Streams on the torch engine: what frame after frame brings, with all state kept.

What the engine keeps of a stream does not drift: neurons hold the sum of what they sent and compare it with the sum of what
came, which follows from the frame itself through sums of spikes alone; nothing is added up from increments.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.config import require_timesteps
from ecmt_deploy.engine.context import Observer, RunContext
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.frames import FrameCounts, row_of
from ecmt_deploy.program.gate import Gate, Sent, require_differential

if TYPE_CHECKING:
    from ecmt_deploy.engine.model import SpikingModel

#: of so many of the latest frames counts are kept one by one, unless somebody asks for another number
KEPT_FRAMES = 1000


class Stream:
    """Streams of frames side by side through one model; made by :meth:`SpikingModel.stream`.

    Example
    -------
    >>> with snn.stream(steps_per_frame=1) as stream:
    ...     for frame in frames:  # (C, H, W), or (B, C, H, W) of B streams
    ...         logits = stream.push(frame)

    Attributes
    ----------
    frames : frames pushed so far
    total : counts of all of them; ``None`` before the first
    """

    _run: RunContext | None

    def __init__(self, model: SpikingModel, steps_per_frame: int, gate: float | None, cuts: bool, keep: int) -> None:
        require_timesteps(steps_per_frame, "steps_per_frame")
        if not hasattr(keep, "__index__") or keep < 1:
            raise ConfigError(f"keep is {keep!r}; expected how many frames to keep the counts of, at least 1")
        require_differential(model.program)
        self.model, self.steps, self.gate = model, steps_per_frame, Gate(model.program, gate, cuts)
        self._closed, self.frames = False, 0
        self.total: Activity | None = None
        self._rows: deque[tuple[np.ndarray, bool]] = deque(maxlen=keep)
        self.reset()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._run, self._closed = None, True  # the state goes; counts stay

    def reset(self) -> None:
        """Forget all state, as at a cut: the next frame is the first of its stream again. Counts go on."""
        self._run, self._step = None, 1
        self.gate.reset()

    def push(self, frame: Tensor | np.ndarray, observe: Observer | None = None) -> Tensor:
        """Run the next frame of every stream.

        Parameters
        ----------
        frame : (B, *input_shape) of B streams, always as many; or (*input_shape) of one
        observe : called with the name of every neuron and its spikes (B, ...), step after step

        Returns
        -------
        (B, classes), or (classes,): the readout after the last step of the frame

        Raises
        ------
        ConfigError
            if the stream is closed.
        DataError
            if the frame has another shape, another number of streams than before, or holds what is no number.
        """
        return self.push_steps(frame, observe)[-1]

    def push_steps(self, frame: Tensor | np.ndarray, observe: Observer | None = None) -> Tensor:
        """As :meth:`push`; (S, B, classes) or (S, classes): the readout after every step of the frame."""
        shown = torch.as_tensor(frame)
        alone = tuple(shown.shape) == self.model.program.input_shape
        outputs = self.advance(self.gate.send(_array(shown[None] if alone else shown)), observe)
        return outputs[:, 0] if alone else outputs

    @torch.no_grad()
    def advance(self, frame: Sent, observe: Observer | None = None, watch_events: Observer | None = None) -> Tensor:
        """As :meth:`push_steps`, behind the gate.

        ``watch_events`` : called with the name of every neuron and the events of each of its rows (S, B, ..., 1)
        """
        if self._closed:
            raise ConfigError("the stream is closed; push frames inside its `with` block, or open another")
        streams = len(frame.held)
        if not streams:
            raise DataError("a frame of no streams; expected at least one")
        model = self.model
        model.require_range()
        if self._run is None or frame.begins:
            self._run, self._step = model.context(streaming=True), 1
        self._run.watch_streams, self._run.watch_events = observe, watch_events
        x, changed = torch.from_numpy(frame.held).to(model.like), torch.from_numpy(frame.sent).to(model.device)
        outputs = model.runner.frame(x, changed, self._step, self.steps, self._run)
        counts, begun = self._run.counts(), self._step == 1
        activity = Activity(streams, self.steps, counts, 0 if begun else streams)
        self.total = activity if self.total is None else self.total + activity
        self._rows.append((np.array([row_of(each) for each in counts.values()], np.int64), begun))
        self.frames, self._step = self.frames + 1, self._step + self.steps
        return outputs

    @property
    def activity(self) -> FrameCounts:
        """Counts of the latest frames, one by one: ``stream.activity[-1]`` is the last frame's.

        Raises
        ------
        DataError
            before the first frame.
        """
        if self.total is None:
            raise DataError("the stream has had no frame yet; push one")
        rows, begun = zip(*self._rows, strict=True)
        return FrameCounts(self.model.program, self.steps, np.stack(rows), np.array(begun), self.total.n_samples // self.frames)


def _array(frame: Tensor) -> np.ndarray:
    """A frame where the gate compares it; half precision has no counterpart there."""
    wide = frame if frame.dtype in (torch.float32, torch.float64) else frame.float()
    array: np.ndarray = wide.detach().cpu().numpy()
    return array
