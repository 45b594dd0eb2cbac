"""``ecmt-deploy check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ecmt_deploy.cli.options import DEFAULT, Output, described, key_values, values


def check(
    model: Annotated[str, described("Any timm model name, or zoo:vit_digits.")],
    /,
    *,
    hardware: Annotated[tuple[str, ...], values("Chips by name, or .toml files.", "all that come with the project")] = (),
    weights: Annotated[Path | None, described("Weights file; without one the weights are random.")] = None,
    weights_key: Annotated[str | None, described("Key of the weights in a file that holds several.")] = None,
    model_arg: Annotated[tuple[str, ...], values("Model arguments as KEY=VALUE, such as img_size=28.", "none")] = (),
    input_size: Annotated[
        tuple[int, ...], values("Input size to build the model for: [C] H [W].", "the model's configuration")
    ] = (),
    output_name: Annotated[
        str | None, described("Of a model that answers with several tensors, the one that is meant.", "as of convert")
    ] = None,
    output: Output = DEFAULT,
) -> int:
    """``ecmt-deploy check``; the exit status is 1 where the model, or a chip that is named, does not do."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.report import tables

    found = ecmt.check(
        model, hardware=hardware or None, weights=weights, weights_key=weights_key, model_args=key_values(model_arg),
        input_size=input_size or None, output=output_name,
    )  # fmt: skip
    output.show(
        {"converts": found.converts, "check": found},
        tables.verdict(found.model, found.weights),
        tables.refusals(found.model.refused),
        tables.presets(found.model),
        tables.suitable(found.chips),
        tables.unsuitable(found.chips, named=bool(hardware)),
    )
    return int(not found.converts or any(chip.takes is False for chip in found.chips if hardware))
