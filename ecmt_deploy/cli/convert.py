"""``ecmt-deploy convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from ecmt_deploy.cli.options import BARE, CalibrationSamples, Data, Lines, SkipDamaged, described, key_values, values

#: where preprocessing comes from unless an option says otherwise
_OWN = "the model's configuration"


def convert(
    model: Annotated[str, described("Any timm model name, zoo:vit_digits, or hf:DIR and hf:OWNER/NAME of transformers.")],
    /,
    *,
    data: Data,
    out: Annotated[Path, described("Program file to write (.nir).")],
    weights: Annotated[Path | None, described("Weights file: safetensors, or .pth that holds tensors only.")] = None,
    model_arg: Annotated[tuple[str, ...], values("Model arguments as KEY=VALUE, such as img_size=28.", "none")] = (),
    weights_key: Annotated[
        str | None, described("Key of the weights in a file that holds several, such as model and model_ema.")
    ] = None,
    mean: Annotated[tuple[float, ...], values("Pixel mean used in training, one value or one per channel.", _OWN)] = (),
    std: Annotated[tuple[float, ...], values("Pixel standard deviation, one value or one per channel.", _OWN)] = (),
    crop_pct: Annotated[float | None, described("Edge of the crop divided by the edge of the resized image.", _OWN)] = None,
    interpolation: Annotated[str | None, described("How images are resized: bicubic, bilinear, ...", _OWN)] = None,
    input_size: Annotated[tuple[int, ...], values("Input size to build the model for: [C] H [W].", _OWN)] = (),
    output_name: Annotated[
        str | None,
        described(
            "Of a model that answers with several tensors, the one that is meant: logits, hidden_states.3, [0].",
            "the only floating one, or logits",
        ),
    ] = None,
    hardware: Annotated[
        str | None, described("Chip by name, or .toml file, to convert for: its payloads bound those of the program.")
    ] = None,
    preset: Annotated[
        str | None,
        described(
            "paper: rate coding; accurate: differential coding; graded: one event carries a value, for chips whose spikes have "
            "payloads; or another that is installed.",
            "accurate; with --hardware the one that pays least there",
        ),
    ] = None,
    levels: Annotated[
        int | None, described("Number of levels of a neuron; preset accurate uses at most this many.", "paper 8, accurate 15")
    ] = None,
    budget: Annotated[
        float | None, described("Presets accurate, graded: largest number of synaptic events per MAC after T steps.")
    ] = None,
    payload_bits: Annotated[
        int | None, described("Preset graded: most bits of a payload, sign included.", "16, or those of --hardware")
    ] = None,
    calibration_samples: CalibrationSamples = None,
    skip_damaged: SkipDamaged = False,
    stream: Annotated[
        str | None,
        described("Clip to tune for: video:FILE, frames:DIR or made:NAME; --budget is then of a frame.", "none: for pictures"),
    ] = None,
    timesteps: Annotated[
        int | None, described("Number of time steps T to tune the program for.", "the preset's own: 4, of graded 1")
    ] = None,
    mlp_bases: Annotated[
        Literal["fixed", "measured"] | None,
        described("Preset paper: bases of the neurons before an MLP's second layer.", "fixed in plain ViTs, else measured"),
    ] = None,
    output: Lines = BARE,
) -> None:
    """``ecmt-deploy convert``."""
    import ecmt_deploy as ecmt
    from ecmt_deploy.config import DEFAULT_PRESET
    from ecmt_deploy.conversion.choosing import choose
    from ecmt_deploy.report import tables

    options = {"levels": levels, "timesteps": timesteps, "budget": budget, "payload_bits": payload_bits, "mlp_bases": mlp_bases}
    options = {option: value for option, value in options.items() if value is not None}
    if hardware is None:
        config = ecmt.ConvertConfig(preset or DEFAULT_PRESET, **options)
    else:
        config, reason = choose(hardware, preset, **options)
        output.say(reason)
    asked = {"mean": mean, "std": std, "crop_pct": crop_pct, "interpolation": interpolation, "input_size": input_size}
    preprocessing = {field: value for field, value in asked.items() if value not in (None, ())}
    program = ecmt.convert(
        model, data, config, preprocessing=preprocessing, weights=weights, weights_key=weights_key,
        model_args=key_values(model_arg), calibration_samples=calibration_samples, stream=stream, out=out,
        skip_damaged=skip_damaged,
        output=output_name,
    ).program  # fmt: skip
    result = {"out": out, "nodes": len(program.nodes), "coding": program.coding, "provenance": program.provenance.brief}
    output.show(result, tables.converted(program, out), soft_wrap=True)
