"""What a person is told of a program's origin: the same rows on the terminal and in the report."""

from __future__ import annotations

from collections.abc import Sequence

from ecmt_deploy.errors import plural
from ecmt_deploy.program import Provenance
from ecmt_deploy.program.preprocessing import described

_SHOWN = 5


def facts(source: Provenance) -> list[tuple[str, str]]:
    """What is known, and of the most important what is not, one (name, text) a fact."""
    rows = [("model", source.model or "unknown")]
    if source.model_args:
        rows.append(("model arguments", " ".join(f"{key}={value}" for key, value in source.model_args.items())))
    rows.append(("weights, SHA-256", source.weights_sha256 or "unknown"))
    if source.weights_key is not None:
        rows.append(("weights of the file", source.weights_key or "all of it"))
    if drawn := source.calibration:
        left = f", {plural(drawn.skipped, 'damaged one')} left out" if drawn.skipped else ""
        rows.append(("calibration", f"{plural(len(drawn.indices), 'sample')} of {drawn.spec} ({drawn.split}){left}"))
    rows.append(("preprocessing", preprocessing(source)))
    rows.append(("classes", classes(source.class_names)))
    rows += [(key, "none" if value is None else str(value)) for key, value in (source.config or {}).items()]
    if q := source.quantization:
        widths = f"weights {q.weight_bits}, state {q.state_bits}, payloads {q.payload_bits} bits"
        rows.append(("fixed point", f"{widths}, for {q.hardware}, T = {q.timesteps}"))
    return rows


def preprocessing(source: Provenance) -> str:
    """What images go through, and who said so; or what sentences do."""
    if source.text is not None:
        return f"text, {source.text.length} tokens: {', '.join(source.text.inputs)}"
    return described(source.preprocessing, source.preprocessing_origin) if source.preprocessing else "unknown"


def classes(names: Sequence[str] | None) -> str:
    """How many, and the first of them."""
    if names is None:
        return "names unknown"
    return f"{len(names)}: {', '.join(names[:_SHOWN])}" + (", .." if len(names) > _SHOWN else "")
