"""Streams on the torch engine: what frame after frame brings, with all state kept.

What the engine keeps of a stream does not drift: neurons hold the sum of what they sent and compare it with the sum of what
came, which follows from the frame itself through sums of spikes alone; nothing is added up from increments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.config import require_timesteps
from ecmt_deploy.engine.context import Observer, RunContext
from ecmt_deploy.engine.presenting import presented, readable
from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.frames import COLUMNS, FrameCounts, activity_of
from ecmt_deploy.program.gate import Gate, Sent, require_differential

if TYPE_CHECKING:
    from ecmt_deploy.engine.model import SpikingModel

#: of so many of the latest frames counts are kept one by one, unless somebody asks for another number
KEPT_FRAMES = 1000
#: frames of one step that are computed together where they are there, at most
MOST_AT_ONCE = 8


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
    """

    _run: RunContext | None

    def __init__(self, model: SpikingModel, steps_per_frame: int, gate: float | None, cuts: bool, keep: int) -> None:
        require_timesteps(steps_per_frame, "steps_per_frame")
        if not hasattr(keep, "__index__") or keep < 1:
            raise ConfigError(f"keep is {keep!r}; expected how many frames to keep the counts of, at least 1")
        require_differential(model.program)
        self.model, self.steps, self.gate = model, steps_per_frame, Gate(model.program, gate, cuts)
        self._closed, self.frames, self._inferences, self._continued = False, 0, 0, 0
        self._sum = np.zeros((steps_per_frame, len(model.program.nodes), COLUMNS), np.int64)
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
        outputs = self.advance([self.gate.send(self._array(shown[None] if alone else shown))], observe)[0]
        return outputs[:, 0] if alone else outputs

    def push_many(self, frames: Tensor | np.ndarray) -> Tensor:
        """Run several frames of every stream, one after another: the same as :meth:`push` of each, in less time.

        Parameters
        ----------
        frames : (F, B, *input_shape), or (F, *input_shape) of one stream

        Returns
        -------
        (F, B, classes), or (F, classes): the readout after the last step of each frame
        """
        shown = torch.as_tensor(frames)
        alone = tuple(shown.shape[1:]) == self.model.program.input_shape
        array = self._array(shown[:, None] if alone else shown)
        parts = []
        for begin in range(0, len(array), MOST_AT_ONCE):
            parts.append(self.advance([self.gate.send(frame) for frame in array[begin : begin + MOST_AT_ONCE]])[:, -1])
        if not parts:
            raise DataError("there are no frames to run; pass at least one")
        outputs = torch.cat(parts)
        return outputs[:, 0] if alone else outputs

    @torch.no_grad()
    def advance(self, frames: Sequence[Sent], observe: Observer | None = None, watch_events: Observer | None = None) -> Tensor:
        """Run frames behind the gate, several of one step at once where they go on from one another.

        Parameters
        ----------
        frames : of every stream, in order; one at least
        observe : as of :meth:`push`
        watch_events : called with the name of every neuron and the events of each of its rows (steps, B, ..., 1)

        Returns
        -------
        (F, S, B, classes)
        """
        outputs, waiting = [], list(frames)
        room = max(self.model.memory_bytes // (self.model.step_bytes * max(len(waiting[0].held), 1)), 1)
        while waiting:
            together = 1
            if self.steps == 1 and observe is None and not waiting[0].begins and self._run is not None:
                following = (i for i, frame in enumerate(waiting) if frame.begins)
                together = min(next(following, len(waiting)), room)
            outputs.append(self._together(waiting[:together], observe, watch_events))
            del waiting[:together]
        return torch.cat(outputs)

    def _together(self, frames: Sequence[Sent], observe: Observer | None, watch_events: Observer | None) -> Tensor:
        """The readouts (F, S, B, classes) of one frame, or of several of one step that go on from one another."""
        if self._closed:
            raise ConfigError("the stream is closed; push frames inside its `with` block, or open another")
        number, streams = len(frames), len(frames[0].held)
        if not streams:
            raise DataError("a frame of no streams; expected at least one")
        model = self.model
        model.require_range()
        if self._run is None or frames[0].begins:
            self._run, self._step = model.context(streaming=True), 1
        self._run.watch_streams, self._run.watch_events = observe, watch_events
        x = torch.from_numpy(np.stack([frame.held for frame in frames])).to(model.like)
        sent = torch.from_numpy(np.stack([frame.sent for frame in frames])).to(model.device)
        outputs = model.runner.frames(x, sent, self._step, self.steps, self._run)
        rows, begun = self._run.rows(self._step, number * self.steps), self._step == 1
        rows = rows.reshape(number, *self._sum.shape)
        self._rows += [(row, begun) for row in rows]
        self._sum += rows.sum(axis=0)
        self._inferences += number * streams
        self._continued += 0 if begun else number * streams
        self.frames, self._step = self.frames + number, self._step + number * self.steps
        return readable(model.program, outputs).unflatten(0, (number, self.steps))

    def _array(self, frame: Tensor) -> np.ndarray:
        """A frame where the gate compares it; half precision has no counterpart there."""
        if self.model.program.integer:
            wide = presented(self.model.program, frame.cpu(), frame.new_zeros(0, dtype=torch.float64, device="cpu")).long()
        else:
            wide = frame if frame.dtype in (torch.float32, torch.float64) else frame.float()
        array: np.ndarray = wide.detach().cpu().numpy()
        return array

    @property
    def total(self) -> Activity | None:
        """Counts of all frames so far; ``None`` before the first."""
        if not self.frames:
            return None
        return activity_of(self.model.program, self._sum, self._inferences, self._continued)

    @property
    def activity(self) -> FrameCounts:
        """Counts of the latest frames, one by one: ``stream.activity[-1]`` is the last frame's.

        Raises
        ------
        DataError
            before the first frame.
        """
        if not self.frames:
            raise DataError("the stream has had no frame yet; push one")
        rows, begun = zip(*self._rows, strict=True)
        return FrameCounts(self.model.program, self.steps, np.stack(rows), np.array(begun), self._inferences // self.frames)
