"""The gate at the input of a stream: which patches of a frame are sent, and what the receiver then holds.

A sensor's noise changes every pixel of every frame. A patch is sent when it differs from what was last sent of it by more than
a threshold; what is not sent is not lost: differences add up until they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecmt_deploy.errors import ConfigError, DataError
from ecmt_deploy.program.graph import Program
from ecmt_deploy.program.patches import patches


def require_differential(program: Program) -> None:
    """Refuse with a :class:`ConfigError` a program of rate coding, or with a node of it, in which every inference begins anew,
    and one that takes tokens, a mask or several inputs: they are no frames of pictures."""
    if program.inputs.named:
        raise ConfigError(
            f"the program takes {program.inputs.sentence}, which are no frames; expected a program with one input of values"
        )
    repeating = [name for name, node in program.nodes.items() if node.every_step or node.sends == "always"]
    if repeating:
        raise ConfigError(
            f"the program is of rate coding (node {repeating[0]}), which has no streams: what came is sent again at every "
            "step; convert the model with --preset graded or accurate"
        )


def default_gate(program: Program) -> float:
    """The threshold that calibration on a clip found; 0 where there was none."""
    return float((program.provenance.config or {}).get("gate") or 0.0)


#: of the patches, more than this are sent behind a cut
MOST = 0.5


class Sent(NamedTuple):
    """A frame as the gate lets it through, of streams side by side.

    Attributes
    ----------
    held : (B, *input_shape), what the receiver holds: of every patch the latest that was sent
    sent : (B, *input_shape) bool, what of it is sent with this frame; elsewhere it is what it was
    begins : whether the streams begin with it: the first frame, and one behind a cut
    share : share of the patches that are sent
    """

    held: np.ndarray
    sent: np.ndarray
    begins: bool
    share: float = 1.0


class Gate:
    """What of every frame is sent, of streams side by side.

    Parameters
    ----------
    program : what takes the frames
    threshold : a patch is sent when the root mean square of its difference from what was last sent of it exceeds this, in units
        of the program's input; 0: where anything differs; ``None``: as :func:`default_gate`
    cuts : whether streams begin anew where a scene is cut: to go from one picture to another that has nothing to do with it
        takes more events than to begin with the other. A frame is behind a cut where most patches are sent, and where it is
        further from what is held than from its own mean in every channel; of streams side by side, where that is so in all

    Raises
    ------
    ConfigError
        if the threshold is negative or no number.
    """

    def __init__(self, program: Program, threshold: float | None = None, cuts: bool = True) -> None:
        self.threshold = default_gate(program) if threshold is None else float(threshold)
        if not 0 <= self.threshold < float("inf"):
            raise ConfigError(f"gate is {threshold}; expected 0 (what differs at all is sent) or a positive number")
        self.shape, self.cuts = program.input_shape, cuts
        self.numbers = patches(program).ravel()
        self._order = np.argsort(self.numbers, kind="stable")
        sizes = np.bincount(self.numbers)
        self._begins, self._sizes = np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes
        #: value of one unit of the frames: those of an integer program are integers
        self._unit = 2.0 ** program.exponents[program.input_name] if program.integer else 1.0
        self.held: np.ndarray | None = None

    def reset(self) -> None:
        """Forget what was sent: the next frame is sent whole."""
        self.held = None

    def send(self, frames: np.ndarray) -> Sent:
        """What the receiver holds when one frame of every stream was shown to the gate, and what of it was sent.

        Parameters
        ----------
        frames : (B, *input_shape)

        Raises
        ------
        DataError
            if frames have another shape, or a value that is infinite or no number; if there are not as many as before.
        """
        if frames.shape[1:] != self.shape or (self.held is not None and frames.shape != self.held.shape):
            streams = "" if self.held is None else f", of the {len(self.held)} streams as before"
            raise DataError(f"frames of shape {frames.shape}; expected (streams, *{self.shape}){streams}")
        if not np.isfinite(frames).all():
            raise DataError("a frame holds a value that is infinite or no number; expected numbers")
        if self.held is None:
            self.held = frames.copy()
            return Sent(self.held, np.ones(frames.shape, bool), True)
        patches_sent = self.differences(frames, self.held) > self.threshold
        if self.cuts and len(frames) and (patches_sent.mean(axis=1) > MOST).all() and _unlike(frames, self.held).all():
            self.held = None
            return self.send(frames)
        sent = patches_sent[:, self.numbers].reshape(frames.shape)
        self.held = np.where(sent, frames, self.held)
        return Sent(self.held, sent, False, float(patches_sent.mean()))

    def differences(self, frames: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Root mean square of the difference of every patch, (B, patches), in units of the program's input."""
        squares = np.square((frames.astype(np.float64) - others).reshape(len(frames), -1))
        by_patch = np.add.reduceat(squares[:, self._order], self._begins, axis=1)
        found: np.ndarray = self._unit * np.sqrt(by_patch / self._sizes)
        return found


def _unlike(frames: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Of every stream, whether the frame is further from what is held than from its own mean."""
    of_channel = tuple(range(2, frames.ndim)) if frames.ndim > 2 else (1,)
    moved = frames.astype(np.float64) - held
    spread = frames - frames.mean(axis=of_channel, keepdims=True, dtype=np.float64)
    further: np.ndarray = np.square(moved).reshape(len(frames), -1).sum(axis=1) > np.square(spread).reshape(
        len(frames), -1
    ).sum(axis=1)
    return further
