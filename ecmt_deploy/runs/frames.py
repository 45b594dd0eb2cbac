"""What a run of a stream keeps of its frames: a row for each, pictures of some, and what else could have been done."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from ecmt_deploy.estimation.frames import FrameTimes
from ecmt_deploy.evaluation.alternative import Alternative
from ecmt_deploy.shown import Brief

#: a row for every frame, as JSON and CSV, and pictures of some
FRAMES, FRAMES_CSV, FILM = "frames.json", "frames.csv", "film.npz"
#: pictures that a run keeps, at most
MOST_PICTURES = 24


class FrameRow(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One frame.

    Attributes
    ----------
    frame, seconds : its number from 0 on, and when it is shown; ``None`` where the clip does not say
    begun : whether the stream began with it: the first, and those behind a cut
    pixels_changed : share of the pixels that differ from the frame before by half a grey level or more
    patches_sent : share of the patches of the input that the gate let through
    events_per_mac : synaptic events per multiply-accumulate of the ANN; encoding layers are left out of both
    spikes, synops, macs : of all nodes
    snn_pj : energy with memory, view (c)
    chips_pj : dynamic energy at the chips' own prices, view (b), by chip; what has no price is not in it
    top : the most probable classes with their probabilities; of a program without class names its largest outputs
    label : the class that the frame shows, where the clip says so
    network_top, network_error : the network's own class for the frame, and how far the readout is from its, over the RMS
        distance of the network's readouts from their mean over the clip; ``None`` where the network did not run
    """

    frame: int
    seconds: float | None
    begun: bool
    pixels_changed: float
    patches_sent: float
    events_per_mac: float | None
    spikes: int
    synops: int
    macs: int
    snn_pj: float
    chips_pj: dict[str, float]
    top: list[tuple[str, float]]
    label: str | None = None
    network_top: str | None = None
    network_error: float | None = None


class ClipRecord(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run of a stream was.

    Attributes
    ----------
    fps : frames per second of the clip; ``None`` where they are not known
    gate : threshold at the input, in units of the program's input
    cuts : whether the stream begins anew behind a cut
    every : of every so many frames the network ran too; ``None`` where it never did
    chips : whose prices are in the rows
    ann_pj : energy of the ANN on a frame, view (c), which ``snn_pj`` of the rows compares with
    ann_bits : width of the ANN's activations in it
    times : by chip, how long a frame takes; empty in runs of older versions
    break_even_per_mac : below so many events per MAC the stream takes less than the ANN on every frame; ``None``: never
    frames_per_second : frames that the target computed in a second, reading and pricing left out
    network_per_second : the same of the network itself, where it ran
    interrupted : whether somebody stopped it before the end of the clip
    alternatives : the stream itself, and what it is compared with, where that was asked for
    """

    fps: float | None
    gate: float
    cuts: bool
    every: int | None
    chips: tuple[str, ...]
    ann_pj: float
    ann_bits: int
    frames_per_second: float | None
    network_per_second: float | None = None
    interrupted: bool = False
    alternatives: tuple[Alternative, ...] = ()
    break_even_per_mac: float | None = None
    times: dict[str, FrameTimes] = {}


class FrameTable(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of all frames, as ``frames.json`` keeps them."""

    rows: list[FrameRow]


class Pictures:
    """Pictures of frames at equal distances, never more than :data:`MOST_PICTURES`: of which frames, is known at the end.

    Attributes
    ----------
    frames : numbers of the frames that are kept
    """

    def __init__(self) -> None:
        self.frames: list[int] = []
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []
        self._stride = 1

    def offer(self, frame: int, picture: np.ndarray | None, heat: np.ndarray | None) -> None:
        """Keep a picture (h, w, 3) of a frame, and the events (patches,) that fell in it, if it is its turn."""
        if frame % self._stride or picture is None:
            return
        self.frames.append(frame)
        self._kept.append((picture, np.zeros(0) if heat is None else heat))
        if len(self.frames) > MOST_PICTURES:
            self.frames, self._kept, self._stride = self.frames[::2], self._kept[::2], 2 * self._stride

    def arrays(self, patches: np.ndarray) -> dict[str, np.ndarray]:
        """As ``film.npz`` keeps them: ``frames`` (n,), ``pictures`` (n, h, w, 3) uint8, ``events`` (n, patches), which is empty
        where nobody knows where they fell, and ``patches`` (H, W), the number of the patch of every pixel.
        """
        pictures, heats = zip(*self._kept, strict=True) if self._kept else ((), ())
        return {
            "frames": np.array(self.frames, np.int64),
            "pictures": np.stack(pictures) if pictures else np.zeros((0, 0, 0, 3), np.uint8),
            "events": np.stack(heats) if heats else np.zeros((0, 0)),
            "patches": patches,
        }


def read_film(film: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """Arrays of :meth:`Pictures.arrays` from a file; ``None`` where they do not fit one another."""
    names = ("frames", "pictures", "events", "patches")
    if set(names) - set(film):
        return None
    found = {name: film[name] for name in names}
    frames, pictures, events, patches = (found[name] for name in names)
    sound = (
        len(frames) <= MOST_PICTURES and len(frames) == len(pictures) == len(events)
        and pictures.ndim == 4 and pictures.shape[-1] == 3 and pictures.dtype == np.uint8
        and frames.ndim == 1 and frames.dtype.kind == "i"
        and events.ndim == 2 and events.dtype.kind == "f" and bool((np.isfinite(events) & (events >= 0)).all())
        and patches.ndim == 2 and patches.dtype.kind == "i"
        and patches.size > 0 and patches.min() >= 0 and events.shape[1] in (0, 1 + patches.max())
    )  # fmt: skip
    return found if sound else None


def files(rows: Sequence[FrameRow], pictures: Pictures, patches: np.ndarray) -> dict[str, bytes]:
    """Contents of the files of a run, by name.

    Parameters
    ----------
    patches : number of the patch of every element of the input
    """
    plane = patches[0] if patches.ndim > 2 else patches.reshape(-1, patches.shape[-1])
    film, table, columns = io.BytesIO(), io.StringIO(), _columns(rows)
    np.savez_compressed(film, **pictures.arrays(plane))
    writer = csv.DictWriter(table, list(columns[0]))
    writer.writeheader()
    writer.writerows(columns)
    return {
        FRAMES: msgspec.json.format(msgspec.json.encode(FrameTable(list(rows))), indent=1),
        FRAMES_CSV: table.getvalue().encode(),
        FILM: film.getvalue(),
    }


def _columns(rows: Sequence[FrameRow]) -> list[dict[str, Any]]:
    """Rows for a CSV: units in the names, one column a chip, the five first classes with their scores beside one another."""
    found = []
    for row in rows:
        flat = msgspec.to_builtins(row)
        top, chips = flat.pop("top"), flat.pop("chips_pj")
        flat |= {f"{chip}_pj": value for chip, value in chips.items()}
        for place, (name, share) in enumerate(top, start=1):
            flat |= {f"top{place}": name, f"top{place}_score": share}
        found.append(flat)
    return found
