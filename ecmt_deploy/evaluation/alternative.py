"""A row of the table of what could have been done with a clip."""

from __future__ import annotations

from typing import Literal

import msgspec

from ecmt_deploy.shown import Brief

#: the stream itself; the program reset for every frame; the network on every frame, on every k-th, on the first alone; token
#: gating as good as the stream
Kind = Literal["stream", "reset", "network", "held", "frozen", "gating"]


class Alternative(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What else could have been done with the same clip, or the stream itself.

    Attributes
    ----------
    name, kind : in words, and which of them it is
    per_mac : synaptic events, or multiply-accumulates, over those of the network on every frame
    pj_per_frame : energy with memory, view (c), mean over the frames; ``None`` where it is not known
    cosine, agreement, agreement_interval : of its answers with the network's own, as of
        :class:`~ecmt_deploy.evaluation.streams.Fidelity`
    steady_per_mac : as ``per_mac``, of all frames that did not begin a stream; ``None`` where every one did
    """

    name: str
    kind: Kind
    per_mac: float | None
    pj_per_frame: float | None
    cosine: float | None
    agreement: float | None
    agreement_interval: tuple[float, float] | None
    steady_per_mac: float | None = None
