"""What the terminal shows of a run: accuracy, clipped integers, errors of nodes, classes of images."""

from __future__ import annotations

from collections.abc import Sequence

from ecmt_deploy.errors import plural
from ecmt_deploy.evaluation.score import Evaluation, Spread
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.report import units
from ecmt_deploy.report.tables.plain import PlainTable
from ecmt_deploy.runs.record import RunRecord
from ecmt_deploy.simulation.traces import Trace

#: a relative error that is rounding
EXACT = 1e-5


def accuracy(
    spiking: Sequence[float],
    agreement: Sequence[float] | None,
    analog: float | None,
    samples: int,
    cosine: Spread | None = None,
) -> PlainTable:
    """Accuracy after every step, with the analog model's in the last row, where there is one, each with its 95 % interval.

    Beside the cosine of the readouts with the analog ones, its mean, that of one sample in twenty, and the worst.
    """
    compared = agreement is not None and analog is not None
    columns = [*(["agreement %"] if compared else []), *(["cosine", "5th %ile", "worst"] if cosine else [])]
    table = PlainTable(f"Accuracy on {plural(samples, 'sample')} (95 % interval)", "T", "accuracy %", *columns)
    for t, right in enumerate(spiking):
        same = [units.accuracy(agreement[t], samples)] if agreement is not None and compared else []
        near = [f"{values[t]:.4f}" for values in (cosine.mean, cosine.percentile_5, cosine.worst)] if cosine else []
        table.add_row(str(t + 1), units.accuracy(right, samples), *same, *near)
    if analog is not None and compared:
        table.add_row()
        table.add_row("analog", units.accuracy(analog, samples))
    return table


def quantized(result: Evaluation) -> str:
    """With how few bits the same network, plainly quantised, is as accurate, where that was measured; a line."""
    if result.quantized is None or result.agreement is None:
        return ""
    n, bits = result.n_samples, result.quantized.bits
    tried = max(result.quantized.agreement)
    plain, spiking = (units.accuracy(share, n) for share in (result.quantized.agreement[tried], result.agreement[-1]))
    shares = f"{plain} against the program's {spiking}"
    if bits is None:
        return f"plain quantisation agrees less often than the program even with {tried} bits: {shares} %"
    return f"plain quantisation agrees as often from {bits} bits on: {shares} %; energy and report take --ann-bits {bits}"


def saturations(activity: Activity) -> PlainTable | None:
    """Nodes in which integers were clipped, the most first; ``None`` where there are none."""
    found = sorted(((c.saturations, name) for name, c in activity.items() if c.saturations), reverse=True)
    if not found:
        return None
    table = PlainTable("Saturations: integers clipped to the width of their node", "node", "per inference")
    for count, name in found:
        table.add_row(name, units.figures(count / activity.n_samples))
    return table


def took(record: RunRecord) -> str:
    """Seconds to build and to run, where they are known."""
    if record.build_seconds is None or record.run_seconds is None:
        return ""
    steps = record.n_samples * record.timesteps
    return (
        f"ready after {units.seconds(record.build_seconds)}; {plural(steps, 'step')} in {units.seconds(record.run_seconds)}, "
        f"{1000 * record.run_seconds / steps:.1f} ms a step"
    )


def trace(measured: Trace) -> PlainTable:
    """Relative error of every node after every step, over all samples, and after the last step also of single samples.

    Neurons have their spikes too, and the share that fired the highest level. Nodes before the first neuron have no error and
    are left out.
    """
    steps = _shown_steps(measured.timesteps)
    title = f"Relative error in %, {measured.coding} coding, {plural(measured.n_samples, 'sample')}"
    legend = (
        f"95th, worst: percentile and worst of the samples, T={steps[-1]}   spikes: per neuron over all steps   "
        "top %: neurons and steps that fired the highest level"
    )
    table = PlainTable(title, "node", *(f"T={t}" for t in steps), "95th", "worst", "spikes", "top %", caption=legend)
    table.columns[0].min_width = 24
    for node in measured.nodes:
        if not max(node.relative_error) > EXACT:
            continue
        errors = [units.hundredths(node.relative_error[t - 1]) for t in steps]
        single = [units.hundredths(values[-1]) if values else "" for values in (node.percentile_95, node.worst)]
        spiking = (
            [units.per_neuron(sum(node.spike_rate)), units.hundredths(sum(node.saturation))] if node.spike_rate else ["", ""]
        )
        table.add_row(node.node, *errors, *single, *spiking)
    return table


def breaks(measured: Trace) -> str:
    """Of an integer program, a line that names the nodes which add the largest errors by themselves, the worst first."""
    worst = measured.breaking[:3]
    if not worst:
        return ""
    named = ", ".join(f"{node.node} ({node.kind}) {units.hundredths(node.own_error or 0.0)} %" for node in worst)
    return f"largest errors that nodes add by themselves, given their operands: {named}"


def _shown_steps(timesteps: int) -> list[int]:
    """At most four steps, the last among them; the JSON has all."""
    if timesteps <= 4:
        return list(range(1, timesteps + 1))
    return sorted({1, 2, 4, *(t for t in (8, 16, 32, 64) if t < timesteps), timesteps})[-4:]


def classification(item: str, steps: Sequence[Sequence[tuple[str, float]]]) -> PlainTable:
    """The most probable classes of one image or sentence, one row per step."""
    table = PlainTable(item, "T", *(f"{i}." for i in range(1, len(steps[0]) + 1)))
    for t, best in enumerate(steps, start=1):
        table.add_row(str(t), *(f"{name} {100 * p:.1f} %" for name, p in best))
    return table


def skipped(count: int) -> str:
    """How many samples were left out because they are damaged; nothing where none were."""
    return f"{plural(count, 'damaged image')} left out" if count else ""
