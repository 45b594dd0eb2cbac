"""Where a program comes from: kept in the file, as JSON, beside the graph."""

from __future__ import annotations

import msgspec

from ecmt_deploy.errors import ProgramError, plural
from ecmt_deploy.program.preprocessing import Preprocessing
from ecmt_deploy.program.text import TextPreprocessing
from ecmt_deploy.shown import Brief

DIALECT_VERSION = 6
#: what older ones say otherwise: :mod:`ecmt_deploy.program.older`
READ_VERSIONS = (2, 3, 4, 5, 6)
#: key of the graph's metadata under which the provenance stands, as JSON
PROVENANCE_KEY = "ecmt_deploy"


class CalibrationRecord(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The samples the neuron bases were measured on.

    Attributes
    ----------
    spec
        The DATA form as the user wrote it; ``array`` for samples passed in Python.
    split
        ``"train"``, or ``"all"`` where the dataset has a single split; ``"given"`` for an array.
    seed
        Of the draw; None where nothing was drawn.
    indices
        Positions of the samples in that split, ascending.
    holdout
        The same where the dataset has a single split, so that evaluation leaves them out; otherwise empty.
    sha256
        Fingerprint of the samples' stored content and labels.
    skipped
        How many samples were drawn too and left out, because they are damaged.
    """

    spec: str
    split: str
    seed: int | None
    indices: tuple[int, ...]
    holdout: tuple[int, ...]
    sha256: str
    skipped: int = 0


class TuningRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the neurons were tuned to, on calibration samples, and how far the search got.

    Attributes
    ----------
    samples, timesteps : on how many, after how many steps
    synop_price
        Relative squared error of the readout that one synaptic event was worth.
    relative_error
        Squared error of the readout, relative to its variance over the samples.
    events_per_mac
        Synaptic events per MAC, the encoding layers left out.
    trials
        Prices that were tried.
    goal
        What was limited, ``events_per_mac`` or ``distance``.
    most
        The limit.
    beyond
        The same quantity of the nearest program that was tried beyond the limit; ``None`` where there was none: no program is.
    mean_distance, worst_distance
        Of the samples' readouts from the analog ones, relative to the readout's standard deviation.
    """

    samples: int
    timesteps: int
    synop_price: float
    relative_error: float
    events_per_mac: float
    trials: int
    goal: str | None = None
    most: float | None = None
    beyond: float | None = None
    mean_distance: float | None = None
    worst_distance: float | None = None


class QuantizationRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an integer program was made for.

    Attributes
    ----------
    hardware : the chip whose limits it keeps
    weight_bits, state_bits, payload_bits : those limits
    timesteps : steps that its accumulators have room for, in rate coding
    """

    hardware: str
    weight_bits: int
    state_bits: int
    payload_bits: int
    timesteps: int


class Provenance(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Provenance of a program; unknown things are ``None``, never a guess.

    Attributes
    ----------
    model, model_args, weights_sha256, weights_key
        The model's name, the arguments it was built with beyond it, the digest of its weights, and under which keys the file
        they came from holds them, joined by dots (empty where the file is nothing but these weights).
    preprocessing, preprocessing_origin
        What inputs must go through, and for each of its fields who said so.
    class_names, class_ids
        What the outputs stand for, in words for people, and what datasets call them where that is something else.
    network_macs
        Multiply-accumulates that the network spends on a node for one sample, where the node has rows of its own besides the
        network's; ``None`` where no node has.
    text
        How sentences become inputs of a model of text, with its tokenizer.
    ranges
        The largest magnitude of every analog stream of the analog program over the calibration samples, infinities left out;
        fixed-point formats follow from it.
    """

    tool_version: str
    dialect_version: int = DIALECT_VERSION
    model: str | None = None
    weights_sha256: str | None = None
    calibration: CalibrationRecord | None = None
    config: dict[str, str | int | float | bool | None] | None = None
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None
    tuning: TuningRecord | None = None
    ranges: dict[str, float] | None = None
    quantization: QuantizationRecord | None = None
    model_args: dict[str, str] | None = None
    weights_key: str | None = None
    preprocessing_origin: dict[str, str] | None = None
    class_ids: tuple[str, ...] | None = None
    network_macs: dict[str, int] | None = None
    text: TextPreprocessing | None = None

    @property
    def reading(self) -> Preprocessing | TextPreprocessing | None:
        """What images, or sentences, must go through."""
        return self.text or self.preprocessing

    @property
    def brief(self) -> Provenance:
        """The same without what only running the program needs, for records and people."""
        return self if self.text is None else msgspec.structs.replace(self, text=self.text.brief)

    def check(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        """Refuse what cannot be said of a program of these shapes.

        Raises
        ------
        ProgramError
            If inputs of another size come out of the preprocessing, or classes are not as many as outputs.
        """
        for field, made in (("preprocessing", self.preprocessing), ("text", self.text)):
            if made is not None and made.input_size != input_shape:
                raise ProgramError(f"provenance: {field} makes samples {made.input_size}, the program takes {input_shape}")
        outputs = output_shape[-1] if output_shape else 1
        for field, names in (("class_names", self.class_names), ("class_ids", self.class_ids)):
            if names is not None and len(names) != outputs:
                raise ProgramError(
                    f"provenance: {field} has {plural(len(names), 'name')} for {plural(outputs, 'output')}; expected one each"
                )
