"""What the terminal shows of a run: accuracy, clipped integers, classes of images."""

from __future__ import annotations

from collections.abc import Sequence

from ecmt_deploy.errors import plural
from ecmt_deploy.evaluation.score import Evaluation, Spread
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.report import units
from ecmt_deploy.report.tables.plain import PlainTable
from ecmt_deploy.runs.record import RunRecord


def answer(result: Evaluation | RunRecord) -> str:
    """Accuracy after the last step, the ANN's, and how often both choose the same class, in a sentence with 95 % intervals."""
    if not result.accuracy:
        return ""
    n = result.n_samples
    said = [f"{units.accuracy(result.accuracy[-1], n)} % of {plural(n, 'sample')} right at T = {result.timesteps}"]
    if result.analog_accuracy is not None:
        said.append(f"the ANN {units.accuracy(result.analog_accuracy, n)} %")
    if result.agreement:
        said.append(f"the same class as the ANN in {units.accuracy(result.agreement[-1], n)} %")
    return f"{'; '.join(said)}."


def accuracy(result: Evaluation | RunRecord, cosine: Spread | None = None) -> PlainTable:
    """Accuracy after every step, with the analog model's in the last row, where there is one, each with its 95 % interval.

    Beside the cosine of the readouts with the analog ones, its mean, that of one sample in twenty, and the worst.
    """
    samples, agreement, analog = result.n_samples, result.agreement, result.analog_accuracy
    compared = agreement is not None and analog is not None
    columns = [*(["agreement %"] if compared else []), *(["cosine", "5th %ile", "worst"] if cosine else [])]
    table = PlainTable(f"Accuracy on {plural(samples, 'sample')} (95 % interval)", "T", "accuracy %", *columns)
    for t, right in enumerate(result.accuracy):
        same = [units.accuracy(agreement[t], samples)] if agreement is not None and compared else []
        near = [f"{values[t]:.4f}" for values in (cosine.mean, cosine.percentile_5, cosine.worst)] if cosine else []
        table.add_row(str(t + 1), units.accuracy(right, samples), *same, *near)
    if analog is not None and compared:
        table.add_row()
        table.add_row("ANN", units.accuracy(analog, samples))
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


def classification(item: str, steps: Sequence[Sequence[tuple[str, float]]]) -> PlainTable:
    """The most probable classes of one image or sentence, one row per step."""
    table = PlainTable(item, "T", *(f"{i}." for i in range(1, len(steps[0]) + 1)))
    for t, best in enumerate(steps, start=1):
        table.add_row(str(t), *(f"{name} {100 * p:.1f} %" for name, p in best))
    return table


def skipped(count: int) -> str:
    """How many samples were left out because they are damaged; nothing where none were."""
    return f"{plural(count, 'damaged image')} left out" if count else ""
