"""The verb ``evaluate``: accuracy after every step, against the analog model, with the events it took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from ecmt_deploy.door import ChipLike, ProgramLike, as_chip, as_program, as_steps, labelled
from ecmt_deploy.engine import SpikingModel, load
from ecmt_deploy.errors import ConfigError, DataError, RunError, plural
from ecmt_deploy.evaluation.baseline import fewest_bits, network_of
from ecmt_deploy.evaluation.score import LARGEST, RESOLUTION, Evaluation, Score, zero
from ecmt_deploy.program.activity import Activity
from ecmt_deploy.simulation.run import in_precision


class Engines(NamedTuple):
    """What an evaluation runs.

    Attributes
    ----------
    model : the program that is evaluated
    network : a float program of the same model, whose analog network it is compared with; the same one where it computes in
        floats. ``None`` of an integer program that nobody gave one for
    """

    model: SpikingModel
    network: SpikingModel | None

    @classmethod
    def of(
        cls,
        source: ProgramLike,
        precision: str,
        hardware: ChipLike | None,
        steps: int,
        network: ProgramLike | None = None,
        baseline: bool = False,
    ) -> Engines:
        """Those of a program, or of the integer program that is made of it for a chip, ``loihi2`` by default.

        Parameters
        ----------
        network : of an integer program the float program that it was made of
        baseline : whether ``network`` is to be quantised plainly, too, whatever the program computes in

        Raises
        ------
        ConfigError
            if the precision is not that of an integer program, or a chip or a network is given that nothing would use.
        """
        if hardware is not None and precision == "float":
            raise ConfigError("hardware says for which chip integers are made; give it with --precision fixed")
        program = as_program(source)
        if network is not None and not program.integer and not baseline:
            raise ConfigError(
                "--network FILE is for an integer program, and this is a float program, which is compared with its own network;"
                " leave --network out (evaluate takes it for --quantized-baseline, too)"
            )
        if hardware is not None and program.integer:
            raise ConfigError(
                "--hardware says for which chip integers are made, and this is an integer program already; leave it out"
            )
        made = in_precision(program, precision, None if hardware is None else as_chip(hardware), steps)
        model = load(source if isinstance(source, SpikingModel) else program)
        if made is not program:
            return cls(SpikingModel(made).to(model.device), model)
        return cls(model, (None if network is None else network_of(model, network)) if program.integer else model)

    @property
    def integers(self) -> str | None:
        """Of an integer program, its chip and widths."""
        record = self.model.program.provenance.quantization
        if record is None:
            return "as its nodes say" if self.model.program.integer else None
        widths = f"weights {record.weight_bits}, state {record.state_bits}, payloads {record.payload_bits} bits"
        return f"{record.hardware}: {widths}, {plural(record.timesteps, 'step')}"

    def baseline(self, network: ProgramLike | None) -> SpikingModel:
        """The model whose network is quantised for comparison: as of :func:`~ecmt_deploy.evaluation.baseline.network_of`."""
        if self.network is None:
            raise ConfigError(
                "an integer program has no network to quantise plainly; give its float program with --network FILE"
            )
        return network_of(self.network, network)


def evaluate(
    model: ProgramLike,
    batches: Any,
    timesteps: int | None = None,
    batch_size: int = 32,
    data: str | None = None,
    progress: Callable[[int], None] | None = None,
    quantized_baseline: bool = False,
    network: ProgramLike | None = None,
    precision: str = "float",
    hardware: ChipLike | None = None,
) -> Evaluation:
    """Evaluate a program on samples; arguments and errors as of :func:`ecmt_deploy.evaluate`."""
    require_batch_size(batch_size)
    steps = as_steps(timesteps, as_program(model))
    engines = Engines.of(model, precision, hardware, steps, network, quantized_baseline)
    program = engines.model.program
    if len(program.output_shape) != 1:
        raise ConfigError(f"the program's readout has shape {program.output_shape}; accuracy is of a vector of classes")
    quantised = engines.baseline(network) if quantized_baseline else engines.model
    score = zero(program.nodes, steps, engines.network is not None)
    read: Iterable[tuple[np.ndarray, np.ndarray]] = labelled(batches, program.inputs, program.output_shape[-1], batch_size)
    if quantized_baseline:  # goes over the samples again and again, which an iterator gives once
        read = list(read)
    for images, labels in read:
        score += score_batch(engines, images, labels, steps, batch_size)
        if progress:
            progress(score.n_samples)
    if score.n_samples == 0:
        raise DataError(f"{data or 'the data'}: there are no samples to evaluate")
    result = score.evaluation(data, program.provenance.model, engines.integers)
    if quantized_baseline:
        result = with_baseline(result, quantised, score, lambda: read, next(iter(read))[0])
    return result


def with_baseline(
    result: Evaluation,
    model: SpikingModel,
    score: Score,
    read: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]],
    first: np.ndarray,
    **how: Any,
) -> Evaluation:
    """A result with the fewest bits of the plainly quantised network; ``score`` is that of all samples.

    Parameters
    ----------
    read : gives this process's batches of images and labels, as often as it is called
    first, how : see :func:`~ecmt_deploy.evaluation.baseline.fewest_bits`
    """
    if score.agreeing is None:
        raise ValueError("a score without the analog program has no agreement to reach")

    def on_device(images: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).to(model.device)

    def batches() -> Iterator[Tensor]:
        return (on_device(images) for images, _ in read())

    found = fewest_bits(model, batches, on_device(first), score.agreeing[-1], score.n_samples, **how)
    return msgspec.structs.replace(result, quantized=found)


def score_batch(engines: Engines, images: np.ndarray, labels: np.ndarray, timesteps: int, batch_size: int) -> Score:
    """The score of one batch of images (b, *input_shape) and labels (b,), computed as ``batch_size`` samples whatever b is."""
    (model, network), n = engines, len(images)
    full = n == batch_size  # as nearly all are: nothing to copy, and pinned memory stays pinned
    filled = np.ascontiguousarray(images) if full else np.concatenate([images, np.repeat(images[-1:], batch_size - n, axis=0)])
    try:
        x = torch.from_numpy(filled).to(model.device, non_blocking=True)
        y = torch.from_numpy(labels).to(model.device)
        outputs, activity = model.count(x, timesteps, samples=n)
        return score_of(outputs[:, :n], None if network is None else network.analog(x)[:n], y, activity)
    except torch.OutOfMemoryError:
        raise RunError(f"{model.device}: out of memory at batch size {batch_size}; use a smaller --batch-size") from None


def score_of(outputs: Tensor, analog: Tensor | None, labels: Tensor, activity: Activity) -> Score:
    """The score of samples that ran.

    Parameters
    ----------
    outputs : readouts (T, N, classes), after every step
    analog : readouts (N, classes) of the analog program, if there is one
    labels : (N,) the right classes
    activity : what was counted
    """
    chosen = outputs.argmax(dim=-1)
    correct = (chosen == labels).sum(dim=1)
    if analog is None:
        return Score(activity, tuple(correct.tolist()), None, None, None, None)
    expected, (steps, n) = analog.argmax(dim=-1), chosen.shape
    compared = [values.flatten() for values in compare(outputs, analog)]
    found = [correct, (chosen == expected).sum(dim=1), (expected == labels).sum()[None], *compared]
    # together, so that a GPU is waited for once
    correct, agreeing, (right,), *values = torch.cat(found).cpu().split([steps, steps, 1, steps * n, steps * n])
    cosine, error = (tuple(map(_histogram, each.reshape(steps, n))) for each in values)
    return Score(activity, tuple(correct.tolist()), tuple(agreeing.tolist()), int(right), cosine, error)


def compare(outputs: Tensor, analog: Tensor) -> tuple[Tensor, Tensor]:
    """How near readouts (T, N, classes) are to the analog ones (N, classes), after every step.

    Returns
    -------
    cosine, relative error : (T, N) whole numbers of :data:`~ecmt_deploy.evaluation.score.RESOLUTION`. What is no number
        counts as opposite and as :data:`~ecmt_deploy.evaluation.score.LARGEST`; of two readouts that are zero the cosine is 1,
        and of one it is 0.
    """
    o, a = outputs.double().flatten(2), analog.double().flatten(1)
    lengths = o.norm(dim=-1), a.norm(dim=-1).expand(len(o), -1)
    zeros = [length == 0 for length in lengths]
    cosine = ((o * a).sum(dim=-1) / (lengths[0] * lengths[1])).clamp(-1, 1).nan_to_num(nan=-1.0)
    cosine = torch.where(zeros[0] | zeros[1], (zeros[0] & zeros[1]).double(), cosine)
    error = ((o - a).norm(dim=-1) / lengths[1]).nan_to_num(nan=LARGEST, posinf=LARGEST).clamp(max=LARGEST)
    error = torch.where(zeros[0] & zeros[1], 0.0, error)
    return (cosine / RESOLUTION).round().long(), (error / RESOLUTION).round().long()


def _histogram(values: Tensor) -> dict[int, int]:
    found, numbers = values.unique(return_counts=True)
    return dict(zip(found.tolist(), numbers.tolist(), strict=True))


def require_batch_size(batch_size: int) -> None:
    """Refuse batches of less than one sample, with a :class:`ConfigError`."""
    if batch_size < 1:
        raise ConfigError(f"batch size is {batch_size}; it must be at least 1")
