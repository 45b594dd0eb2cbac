"""Whether a stream pays: against the network on every frame, on fewer frames, and token gating; and where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import NamedTuple

from ecmt_deploy.evaluation.alternative import Alternative
from ecmt_deploy.report import units
from ecmt_deploy.runs.frames import ClipRecord, FrameRow

#: answers whose cosines with the network's differ by no more are equally close
EQUAL = 0.005
#: of the patches: where more are sent in most frames, the whole picture changes
MOST = 0.5
#: frames that a sentence lists
_LISTED = 8


class Finding(NamedTuple):
    """A statement: against what (or where), whether the stream pays there (``None``: unknown), and why, a sentence."""

    against: str
    pays: bool | None
    why: str


def findings(clip: ClipRecord, rows: Sequence[FrameRow]) -> list[Finding]:
    """Everything that is to be said, the most important first."""
    spent = fmean(row.snn_pj for row in rows)
    own = next((row for row in clip.alternatives if row.kind == "stream"), None)
    events = [row.events_per_mac for row in rows if row.events_per_mac is not None]
    found = [_every_frame(clip, own, spent, fmean(events) if events else None)]
    if own is None:
        missing = "not measured; the option --compare of ecmt-deploy stream runs them on the same frames."
        found.append(Finding("the network on fewer frames, token gating and a reset for every frame", None, missing))
    else:
        found += [_fewer_frames(clip, own, spent), _gating(clip, own, spent)]
        found += _reset(clip, own, spent)
    return [*found, *_where(clip, rows)]


def headline(found: Sequence[Finding]) -> str:
    """All of it in a sentence."""
    parts = []
    for pays, verb in ((True, "pays against"), (False, "does not pay against"), (None, "is not known to pay against")):
        those = [finding.against for finding in found if finding.pays is pays and not finding.against.startswith("in ")]
        if those:
            parts.append(f"{verb} {_and(those)}")
    return f"Keeping the state {'; it '.join(parts)}."


def closeness(own: Alternative, other: Alternative) -> int | None:
    """1 where a stream is closer to the network's answers than something else, -1 where it is not as close, 0 where both are
    equally close; by the cosine, or by the share of equal classes where the cosine of either is unknown; ``None``: by neither.
    """
    if own.cosine is not None and other.cosine is not None:
        apart, least = own.cosine - other.cosine, EQUAL
    elif own.agreement is not None and other.agreement is not None:
        apart, least = own.agreement - other.agreement, 0.0
    else:
        return None
    return (apart > least) - (apart < -least)


def judged(own: Alternative, other: Alternative) -> str:
    """A stream held against a row of its table, in a few words."""
    if other.kind == "stream":
        return ""
    if own.pj_per_frame is None or other.pj_per_frame is None:
        return "energy unknown"
    energy = "less energy" if own.pj_per_frame < other.pj_per_frame else "more energy"
    close = {1: "closer", 0: "as close", -1: "less close", None: "closeness unknown"}[closeness(own, other)]
    return f"{energy}, {close}"


def _every_frame(clip: ClipRecord, own: Alternative | None, spent: float, events: float | None) -> Finding:
    how = "" if own is None else f", at {_close(own)}"
    why = f"{_against(spent, clip.ann_pj)}{how}"
    if events is not None and clip.break_even_per_mac is not None:
        why = f"{why}; it breaks even at {units.per_mac(clip.break_even_per_mac)} events per MAC, here {units.per_mac(events)}"
    return Finding("the network on every frame", spent < clip.ann_pj, f"{why}.")


def _fewer_frames(clip: ClipRecord, own: Alternative, spent: float) -> Finding:
    name = "the network on fewer frames"
    those = [(row, row.pj_per_frame) for row in clip.alternatives if row.kind == "held" and row.pj_per_frame is not None]
    if not those:
        return Finding(name, None, "the clip is too short to tell.")
    judged_ = [(row, pj, closeness(own, row)) for row, pj in those]
    if all(close is None for _, _, close in judged_):
        return Finding(name, None, "how close its answers are is unknown.")
    good = [(pj, row) for row, pj, close in judged_ if close is not None and close <= 0]
    if good:
        pj, best = min(good, key=lambda each: each[0])
        return Finding(name, spent < pj, f"{_against(spent, pj)} of {best.name}, which is as close ({_close(best)}).")
    closest, pj = max(those, key=lambda each: (each[0].cosine or 0.0, each[0].agreement or 0.0))
    why = (
        f"the closest, {closest.name}, takes {units.energy(pj)} a frame at {_close(closest)}, this stream {units.energy(spent)}"
    )
    if spent < clip.ann_pj:
        return Finding(name, True, f"none of it is as close; {why} at {_close(own)}.")
    return Finding(name, False, f"none of it is as close, but on every frame the network takes less than this stream; {why}.")


def _gating(clip: ClipRecord, own: Alternative, spent: float) -> Finding:
    name = "token gating at equal accuracy"
    found = [(row.pj_per_frame, row) for row in clip.alternatives if row.kind == "gating" and row.pj_per_frame is not None]
    if not found:
        return Finding(name, None, "none of its thresholds was as close as this stream, or the clip is too short for it.")
    pj, best = min(found, key=lambda each: each[0])
    return Finding(name, spent < pj, f"{_against(spent, pj)} of {best.name} ({_close(best)}).")


def _reset(clip: ClipRecord, own: Alternative, spent: float) -> Iterator[Finding]:
    for row in clip.alternatives:
        if row.kind == "reset" and row.pj_per_frame is not None:
            yield Finding(
                "a reset for every frame", spent < row.pj_per_frame,
                f"{_against(spent, row.pj_per_frame)} of {row.name} ({_close(row)}, here {_close(own)}).",
            )  # fmt: skip


def _where(clip: ClipRecord, rows: Sequence[FrameRow]) -> Iterator[Finding]:
    """Frames in which it does not pay, and why."""
    dear = [row.frame for row in rows if row.snn_pj >= clip.ann_pj]
    steady = [row for row in rows if not row.begun]
    behind = [row for row in rows if row.begun][1:]
    if behind:
        spent = fmean(row.snn_pj for row in behind)
        why = f"the stream begins anew: {_against(spent, clip.ann_pj)} of the network on such a frame."
        number = f"{len(behind)} frames behind cuts" if len(behind) > 1 else "the frame behind a cut"
        yield Finding(f"in {number} ({_numbers([row.frame for row in behind])})", spent < clip.ann_pj, why)
    others = sorted(set(dear) - {row.frame for row in rows if row.begun})
    if others:
        share = units.percent(len(others) / len(steady))
        where = "in every frame" if len(others) == len(steady) else f"in {share} of the frames between ({_numbers(others)})"
        yield Finding(where, False, "each takes more than the network on it.")


def remarks(clip: ClipRecord, rows: Sequence[FrameRow]) -> Iterator[str]:
    """What is to be known of the clip itself, a paragraph each."""
    steady = [row.patches_sent for row in rows if not row.begun]
    if steady and median(steady) > MOST:
        yield (
            f"Most of the picture changes in most frames (median {units.percent(median(steady))} of the patches are sent), as "
            "on a pan or with the noise of a sensor: there is little to save from keeping the state. A gate (--gate X) keeps "
            "noise out; against motion it hardly helps."
        )
    for row in clip.alternatives:
        if row.kind == "frozen" and row.agreement == 1:
            yield (
                "The network's first answer, kept for ever, has the network's class in every frame: the classes of this clip "
                "do not tell what follows it from what stands still. The cosine does."
            )


def _against(spent: float, other: float) -> str:
    times = f"{units.ratio(spent, other)} times the energy"
    return f"{times} ({units.energy(spent)} against {units.energy(other)} a frame)"


def _close(row: Alternative) -> str:
    if row.cosine is not None:
        return f"cosine {units.cosine(row.cosine)}"
    return "unknown cosine" if row.agreement is None else f"the same class in {units.percent(row.agreement)}"


def _numbers(frames: Sequence[int]) -> str:
    listed = ", ".join(map(str, frames[:_LISTED])) + (", .." if len(frames) > _LISTED else "")
    return f"{'frame' if len(frames) == 1 else 'frames'} {listed}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
