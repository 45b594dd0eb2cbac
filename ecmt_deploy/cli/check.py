"""``ecmt-deploy check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ecmt_deploy.cli.options import DEFAULT, Output, Workers, described, key_values, values


def check(
    model: Annotated[
        str | None, described("Any timm model name, hf:NAME_OR_DIR, or zoo:vit_digits.", "none: look at --data alone")
    ] = None,
    /,
    *,
    data: Annotated[str | None, described("Dataset of which every file is read once, such as folder:DIR.", "none")] = None,
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
    workers: Workers = None,
    output: Output = DEFAULT,
) -> int:
    """``ecmt-deploy check``; the exit status is 1 where the model, a chip that is named, or the data does not do."""
    if model is None:
        output.without_table("a check of data")
    import ecmt_deploy as ecmt
    from ecmt_deploy.report import tables

    found = ecmt.check(
        model, hardware=hardware or None, weights=weights, weights_key=weights_key, model_args=key_values(model_arg),
        input_size=input_size or None, output=output_name, data=data, workers=workers,
    )  # fmt: skip
    parts = tables.checked(found.model, found.weights, found.chips, named=bool(hardware)) if found.model else []
    output.show({"converts": found.converts, "check": found}, *parts, tables.looked(found.data) if found.data else None)
    unfit = any(chip.takes is False for chip in found.chips if hardware)
    return int(unfit or (found.model is not None and not found.converts) or (found.data is not None and not found.data.sound))
