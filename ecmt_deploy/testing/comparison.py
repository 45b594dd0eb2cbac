"""Whether a target does what the reference target does: every output, every count, and every time series it records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ecmt_deploy.chips import Hardware
from ecmt_deploy.door import ChipLike, as_chip
from ecmt_deploy.errors import EcmtError, NotFiniteError, TargetError, plural
from ecmt_deploy.program import Program
from ecmt_deploy.simulation.run import simulate
from ecmt_deploy.simulation.target import Probe, Run, Target, Unsupported, find
from ecmt_deploy.testing.cases import CASES, case
from ecmt_deploy.testing.handmade import Case

#: a float that differs by less than this share of the largest beside it differs by rounding
ROUNDING = 1e-10


@dataclass(frozen=True)
class Outcome:
    """What a target made of a case.

    Attributes
    ----------
    unsupported : the target's own reasons (``Target.check``) why it did not run the case; empty where it ran
    differences : one line each: node, step, what was found and what the reference has; empty where all is equal
    unrecorded : why the target recorded no time series; ``None`` where it did, and they were compared
    """

    unsupported: tuple[Unsupported, ...] = ()
    differences: tuple[str, ...] = ()
    unrecorded: str | None = None

    @property
    def equal(self) -> bool:
        """Whether the target ran the case, and all was equal."""
        return not self.unsupported and not self.differences


@dataclass(frozen=True)
class Conformance:
    """What a target made of many cases; as a text, a summary that lists and counts what differs and what is unsupported."""

    target: str
    outcomes: dict[str, Outcome]

    @property
    def different(self) -> dict[str, tuple[str, ...]]:
        """Differences, by case."""
        return {name: outcome.differences for name, outcome in self.outcomes.items() if outcome.differences}

    @property
    def unsupported(self) -> dict[str, int]:
        """Number of cases, by the reason why they are unsupported."""
        return dict(Counter(r for outcome in self.outcomes.values() for r in {each.reason for each in outcome.unsupported}))

    @property
    def unrecorded(self) -> dict[str, int]:
        """Number of cases, by the reason why no time series were compared."""
        return dict(Counter(outcome.unrecorded for outcome in self.outcomes.values() if outcome.unrecorded))

    def __str__(self) -> str:
        equal, different = sum(outcome.equal for outcome in self.outcomes.values()), len(self.different)
        refused = len(self.outcomes) - equal - different
        lines = [f"target {self.target}: {equal} cases equal, {different} different, {refused} unsupported"]
        lines += [f"different: {name}: {line}" for name, found in self.different.items() for line in found]
        lines += [f"unsupported in {plural(count, 'case')}: {reason}" for reason, count in self.unsupported.items()]
        lines += [f"time series not compared in {plural(count, 'case')}: {reason}" for reason, count in self.unrecorded.items()]
        return "\n".join(lines)


def conformance(target: str | Target, names: Iterable[str] = CASES, hardware: ChipLike | None = None) -> Conformance:
    """Run the suite, or the cases of it that are named, on a target.

    Parameters
    ----------
    target : name of a registered target, or the target itself
    names : from :data:`ecmt_deploy.testing.CASES`
    hardware : of a target that runs programs on the cores of a chip, the chip; whether cases fit it is not asked

    Raises
    ------
    ConfigError
        if there is no such case.
    TargetError
        if there is no such target, or what it needs is not installed.
    """
    chosen = find(target)
    return Conformance(chosen.name, {name: check(chosen, case(name), hardware) for name in names})


def check(target: str | Target, which: str | Case, hardware: ChipLike | None = None) -> Outcome:
    """Run a case, the name of one or one of your own, on a target and on the reference target, in float64 or its integers.

    A difference is looked for in runs of fewer steps too: what is reported is of the first step that has one.

    Raises
    ------
    ConfigError, TargetError
        as of :func:`conformance`. Errors that are not of the family :class:`~ecmt_deploy.errors.EcmtError` are raised as they
        are: with their traceback they say more.
    """
    chosen, wanted = find(target), case(which) if isinstance(which, str) else which
    chip = None if hardware is None else as_chip(hardware)
    if reasons := chosen.check(wanted.program, chip):
        return Outcome(unsupported=tuple(reasons))
    outcome = _compare(chosen, wanted, chip)
    for steps in range(1, wanted.timesteps if outcome.differences else 1):
        if (earlier := _compare(chosen, wanted._replace(timesteps=steps), chip)).differences:
            return earlier
    return outcome


def differences(program: Program, run: Run | None, expected: Run | None) -> Iterator[str]:
    """One line for every count, time series and step of the readout in which ``run`` is not as ``expected``.

    ``None`` stands for a run that came to infinity. Nodes are in the order of the program: the first line is the nearest to the
    cause. Integers, and where spikes are, are compared exactly, floats but for rounding.
    """
    if run is None or expected is None:
        if run is not expected:
            found, other = ("the target", "the reference") if run is None else ("the reference", "the target")
            yield f"{found} comes to infinity, {other} does not"
        return
    for name in program.nodes:
        for probe in (probe for probe in expected.probes if probe.node == name):
            if probe not in run.probes:
                yield f"node {name}: {probe.kind} were asked for and not recorded"
            elif where := _first(run.probes[probe], expected.probes[probe], program.integer, probe.kind == "spikes"):
                sample, t, *element = where
                values = (series[where].item() for series in (run.probes[probe], expected.probes[probe]))
                yield f"node {name}, step {t + 1}: {probe.kind} of sample {sample}, element {element}: {_against(*values)}"
        for t, (mine, theirs) in enumerate(zip(run.activity.steps, expected.activity.steps, strict=False), start=1):
            for count, own, wanted in mine[name].differences(theirs[name]):
                yield f"node {name}, step {t}: {count}: {_against(own, wanted)}"
        if not run.activity.steps:  # a target need not count every step by itself
            for count, own, wanted in run.activity[name].differences(expected.activity[name]):
                yield f"node {name}, step {len(expected.outputs)}: {count} so far: {_against(own, wanted)}"
    if where := _first(run.outputs, expected.outputs, program.integer):
        t, sample, *element = where
        values = (outputs[where].item() for outputs in (run.outputs, expected.outputs))
        yield f"node {program.output_name}, step {t + 1}: readout of sample {sample}, element {element}: {_against(*values)}"


def _against(found: object, expected: object) -> str:
    return f"{found}, the reference has {expected}"


def _first(found: np.ndarray, expected: np.ndarray, exact: bool, events: bool = False) -> tuple[int, ...] | None:
    """Index of the first value that differs; of ``events`` also one that is zero in one of them alone."""
    if exact:
        same = found == expected
    else:
        largest = np.abs(expected, where=np.isfinite(expected), out=np.zeros(expected.shape)).max(initial=0)
        same = np.isclose(found, expected, rtol=0, atol=max(ROUNDING * largest, 1e-300), equal_nan=True)
        if events:
            same &= (found == 0) == (expected == 0)
    return None if same.all() else tuple(int(i) for i in np.argwhere(~same)[0])


def _compare(target: Target, wanted: Case, chip: Hardware | None) -> Outcome:
    program, unrecorded = wanted.program, None
    probes = [Probe(name, "spikes") for name in program.neurons]
    probes += [Probe(name, "state") for name in program.nodes if program.state(name)]
    try:
        try:
            run = _run(target, wanted, probes, chip)
        except TargetError as refusal:  # as targets do that cannot record
            probes, unrecorded = [], str(refusal)
            run = _run(target, wanted, probes, chip)
    except EcmtError as error:
        return Outcome(differences=(f"step {wanted.timesteps}: {error}",))
    return Outcome(differences=tuple(differences(program, run, _run("reference", wanted, probes))), unrecorded=unrecorded)


def _run(target: str | Target, wanted: Case, probes: list[Probe], chip: Hardware | None = None) -> Run | None:
    """The run of a case; ``None`` where it comes to infinity."""
    program, x, timesteps = wanted
    try:
        with np.errstate(all="ignore"):
            precision = "fixed" if program.integer else "float"
            return simulate(program, x, target, timesteps, precision, chip, probes=probes, allow_misfit=True)
    except TargetError as error:
        # a target whose processes are its own has the error as a text
        if isinstance(error, NotFiniteError) or "infinite or no number" in str(error):
            return None
        raise
