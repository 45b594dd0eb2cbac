"""Energy of a stream, frame by frame."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from ecmt_deploy.chips import Hardware
from ecmt_deploy.door import ChipLike, as_chip
from ecmt_deploy.estimation.chip import chip_rows, tariff
from ecmt_deploy.estimation.memory import has_model, memory_view
from ecmt_deploy.estimation.pricing import ARITHMETIC
from ecmt_deploy.estimation.result import MemoryView, Timing
from ecmt_deploy.estimation.tiles import placed_tiles, stated_tiles
from ecmt_deploy.estimation.timing import timing
from ecmt_deploy.placement import Placement, place
from ecmt_deploy.program import Program
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.program.frames import COLUMNS, FrameCounts, counts_of, row_of
from ecmt_deploy.shown import Brief


class FrameEnergy(NamedTuple):
    """Energy of every frame, mean over the streams, in pJ.

    Attributes
    ----------
    chip_pj : (F,), at the chip's own prices, view (b), without its static power; what has no price is not in it
    snn_pj : (F,), with memory, view (c)
    ann_pj : of the ANN on any frame, view (c)
    """

    chip_pj: np.ndarray
    snn_pj: np.ndarray
    ann_pj: float


class FrameTimes(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Time of a frame on a chip, step by step left out: latency is from the frame to its answer, throughput in frames a second.

    Attributes
    ----------
    begun : of frames with which the stream begins, the first and those behind a cut, which are sent whole
    following : of those that go on from the one before; ``None`` where there was none
    """

    begun: Timing | None
    following: Timing | None


class FramePrices:
    """What the counts of a frame cost on a chip, found once for a program.

    At a chip's own prices energy is linear in the counts, so that it follows from what one of each costs.

    Parameters
    ----------
    program : what runs
    hardware : the chip, by name, file or object
    timesteps : steps of a frame
    ann_bits : width of the ANN's activations in view (c); ``None`` as of :func:`ecmt_deploy.energy`
    """

    def __init__(self, program: Program, hardware: ChipLike, timesteps: int, ann_bits: int | None = None) -> None:
        self.program, self.timesteps, self.ann_bits = program, timesteps, ann_bits
        self.chip = as_chip(hardware)
        self.memory = self.chip if has_model(self.chip) else as_chip(ARITHMETIC)
        placement = self._placement = place(program, self.chip)
        self._price_pj = _prices(program, self.chip, placement, timesteps)
        placed = placement.bounded
        self._tiles = placed_tiles(program, self.chip, placement) if placed else stated_tiles(program, self.memory)

    def chip_pj(self, activity: Activity) -> float:
        """Dynamic energy of an inference at the chip's own prices, view (b), from counts of this program."""
        rows = np.array([row_of(activity[name]) for name in self.program.nodes], np.float64)
        return float((rows * self._price_pj).sum()) / activity.n_samples

    def memory_view(self, activity: Activity) -> MemoryView:
        """View (c) of counts of this program."""
        return memory_view(activity, self.program, self.memory, self.ann_bits, self._tiles)

    def memory_pj(self, activity: Activity) -> float:
        """Energy of an inference with memory, view (c)."""
        return float(sum(self.memory_view(activity).snn_pj.values()))

    def times(self, begun: Activity | None, following: Activity | None) -> FrameTimes:
        """The times of frames that began a stream, and of those that followed, from the counts of all of each."""
        found = [
            None if activity is None else timing(activity, self.program, self.chip, self._placement)
            for activity in (begun, following)
        ]
        return FrameTimes(*(time and msgspec.structs.replace(time, phases=(), inference=()) for time in found))

    def energy(self, frames: FrameCounts) -> FrameEnergy:
        """The energy of frames of this program."""
        chip = np.einsum("fsnc,nc->f", frames.rows, self._price_pj) / frames.streams
        views = [self.memory_view(frames[i]) for i in range(len(frames))]
        snn = np.array([sum(view.snn_pj.values()) for view in views])
        return FrameEnergy(chip, snn, sum(views[0].ann_pj.values()) if views else 0.0)


def _prices(program: Program, chip: Hardware, placement: Placement, timesteps: int) -> np.ndarray:
    """Price of one of every count of every node, (nodes, columns), in pJ."""
    prices = np.zeros((len(program.nodes), COLUMNS))
    charged, place_of = tariff(chip, static=False), {name: i for i, name in enumerate(program.nodes)}
    kinds = {name: program.work(name).kind for name in program.nodes}
    for column in range(COLUMNS):
        one = [int(i == column) for i in range(COLUMNS)]
        activity = Activity(1, timesteps, {name: counts_of(one, kind) for name, kind in kinds.items()})
        for row in chip_rows(activity, program, chip, placement, charged):
            prices[place_of[row.node], column] = sum(band.value for band in row.components_pj.values())
    return prices
