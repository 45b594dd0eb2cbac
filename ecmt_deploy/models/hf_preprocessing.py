"""Image processors of `transformers` as our preprocessing: read from their fields, and compared with them pixel for pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ecmt_deploy.data.images import read_image
from ecmt_deploy.errors import EcmtError, ModelError, first_line
from ecmt_deploy.models.describe import preprocessing_made
from ecmt_deploy.program.preprocessing import INTERPOLATIONS, Preprocessing, preprocessing_from

#: Pillow's numbers of its filters, which processors keep
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
#: pixels of an edge beyond which a size is damage, and no image
_LARGEST = 4096
#: levels of 255 in which two roads to the same pixels may differ by rounding
_TOLERANCE = 0.01
_MEND = "say what it was trained with: --mean, --std, --input-size, --crop-pct, --interpolation"

#: how the pixels that are cut out follow from the fields: crop_pct, crop_mode, (height, width)
_Reading = tuple[float, str, tuple[int, int]]


def preprocessing_of_processor(name: str, processor: Any, channels: int) -> Preprocessing:
    """What an image processor does, in our words.

    Parameters
    ----------
    name
        The model, for errors.
    processor
        An image processor of `transformers`; one with Pillow's arithmetic is compared with to the rounding of float32.
    channels
        Of the model.

    Raises
    ------
    ModelError
        If ours cannot say it: with the field that has no counterpart, or how far the pixels of drawn images of several sizes
        are from the processor's.
    """
    mean, std = _mean_and_std(name, processor, channels)
    resample = getattr(processor, "resample", None)
    filter = _RESAMPLE.get(2 if resample is None else int(resample), "")
    if filter not in INTERPOLATIONS:
        raise ModelError(f"{name}: its image processor has resample {resample}; expected one of 0 to 5; {_MEND}")
    _refuse_others(name, processor)
    order = "BGR" if getattr(processor, "do_flip_channel_order", None) else "RGB"
    nearest = math.inf
    for crop_pct, mode, size in _readings(name, processor):
        fields = {"mean": mean, "std": std, "interpolation": filter, "crop_pct": crop_pct, "crop_mode": mode}
        made = preprocessing_from({**fields, "channel_order": order}, (channels, *size))
        distance = _distance(name, processor, made)
        if distance <= _TOLERANCE:
            return made
        nearest = min(nearest, distance)
    raise ModelError(
        f"{name}: nothing that can be said here makes the pixels of its {type(processor).__name__}: the nearest is off by "
        f"{nearest:.1f} of 255 levels on drawn images; {_MEND}"
    )


def _mean_and_std(name: str, processor: Any, channels: int) -> tuple[list[float], list[float]]:
    """``mean`` and ``std`` of pixels between 0 and 1 that come to what rescaling and normalising do to those up to 255."""
    factor = float(getattr(processor, "rescale_factor", None) or 1 / 255) if getattr(processor, "do_rescale", None) else 1.0
    offset = 1.0 if getattr(processor, "rescale_offset", None) else 0.0
    given = [getattr(processor, field, None) for field in ("image_mean", "image_std")]
    if not getattr(processor, "do_normalize", None) or None in given:
        given = [0.0, 1.0]
    try:
        mean, std = (np.broadcast_to(np.asarray(value, np.float64), (channels,)) for value in given)
        if not (factor > 0 and (std > 0).all() and np.isfinite([factor, *mean, *std]).all()):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{name}: its image processor has image_mean {given[0]}, image_std {given[1]} and rescale_factor {factor}; expected"
            f" one finite number for each of {channels} channel(s), and positive ones; {_MEND}"
        ) from error
    return ((mean + offset) / (255 * factor)).tolist(), (std / (255 * factor)).tolist()


def _refuse_others(name: str, processor: Any) -> None:
    """Refuse steps that have no counterpart; those that only labels go through count for nothing."""
    known = {
        "do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb", "do_flip_channel_order",
        "do_reduce_labels",
    }  # fmt: skip
    steps = [key for key, value in sorted(vars(processor).items()) if key.startswith("do_") and value and key not in known]
    if steps:
        raise ModelError(f"{name}: its image processor has {steps[0]}, which has no counterpart here; {_MEND}")
    if not getattr(processor, "do_resize", None):
        raise ModelError(f"{name}: its image processor has do_resize false, so images come in any size; {_MEND}")


def _readings(name: str, processor: Any) -> Iterator[_Reading]:
    """Whatever the sizes of a processor may mean; processors mean several things by the same fields."""
    size, crop = _sides(name, processor, "size"), {}
    if getattr(processor, "do_center_crop", None):
        crop = _sides(name, processor, "crop_size")
    edge = size.get("shortest_edge")
    if {"height", "width"} <= size.keys():
        exact = (size["height"], size["width"])
        inner = (crop["height"], crop["width"]) if {"height", "width"} <= crop.keys() else exact
        fraction = _crop_pct(inner, exact)
        yield from ((fraction, mode, inner) for mode in ("squash", "squash_floor") if fraction)
    elif edge and set(size) == {"shortest_edge"}:
        if {"height", "width"} <= crop.keys():
            inner = (crop["height"], crop["width"])
            for resized in (edge, int(256 / 224 * edge)):  # LeViT's processor enlarges by this
                fraction = _crop_pct(inner, (resized, resized))
                yield from ((fraction, mode, inner) for mode in ("center_floor", "center") if fraction)
        fraction = getattr(processor, "crop_pct", None)
        if isinstance(fraction, int | float) and 0 < fraction <= 1:  # ConvNeXt's: small sizes are cut out, large ones squashed
            yield from ((float(fraction), mode, (edge, edge)) for mode in ("center_floor", "center"))
            yield 1.0, "squash", (edge, edge)
        elif not crop:
            raise ModelError(
                f"{name}: its image processor has size shortest_edge {edge} and crops nothing, so images come in several sizes;"
                f" {_MEND}"
            )
    else:
        raise ModelError(f"{name}: its image processor has size {size}; expected height and width, or shortest_edge; {_MEND}")


def _sides(name: str, processor: Any, field: str) -> dict[str, int]:
    """A size by its keys, those that are said."""
    given = getattr(processor, field, None)
    try:
        said = {key: value for key, value in dict(given or {}).items() if value is not None}
    except (TypeError, ValueError):
        said = {"": 0}
    if not said or not all(isinstance(value, int) and 0 < value <= _LARGEST for value in said.values()):
        raise ModelError(f"{name}: its image processor has {field} {given}; expected 1 to {_LARGEST} pixels; {_MEND}")
    return said


def _crop_pct(inner: Sequence[int], resized: Sequence[int]) -> float | None:
    """The fraction with which timm resizes to ``resized`` for a crop of ``inner``: it rounds the quotient down."""
    fraction = inner[0] / resized[0]
    for candidate in (fraction, math.nextafter(fraction, 0)):
        if all(math.floor(edge / candidate) == wanted for edge, wanted in zip(inner, resized, strict=True)):
            return candidate
    return None


def _distance(name: str, processor: Any, made: Preprocessing) -> float:
    """The largest difference between a processor's pixels and ours, in levels of 255, on drawn images of several sizes."""
    from PIL import Image

    channels, height, width = made.input_size
    draw, worst = np.random.default_rng(0), 0.0
    scale = 255 * np.asarray(made.std)[:, None, None]
    for high, wide in ((height + 37, 2 * width + 10), (2 * height + 5, width + 14), (height // 2 + 3, width // 2 + 6)):
        pixels = draw.integers(0, 256, (high, wide, channels), np.uint8)
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        try:
            theirs = np.asarray(processor(images=image, return_tensors="np")["pixel_values"][0], np.float64)
            ours = read_image("a drawn image", image, made)
        except EcmtError as error:
            raise ModelError(f"{name}: {error}") from error
        except Exception as error:  # whatever a processor raises with the fields of a file
            raise ModelError(f"{name}: its image processor does not take images ({first_line(error)}); {_MEND}") from error
        if theirs.shape != ours.shape:
            return math.inf
        worst = max(worst, float(np.abs((theirs - ours) * scale).max()))
    return worst


def preprocessing_given(
    name: str, made: Preprocessing | None, channels: int, size: tuple[int, ...] | None, overrides: Mapping[str, Any]
) -> tuple[Preprocessing, dict[str, str]]:
    """The processor's preprocessing with what the user says otherwise.

    Parameters
    ----------
    made
        Of the model's own processor; ``None`` where it has none.
    channels, size
        Of the model's inputs, as its configuration and ``--input-size`` say: (H, W).
    overrides
        Fields that the user set.

    Returns
    -------
    Preprocessing, and for each of its fields who said so

    Raises
    ------
    ModelError
        If a field makes no sense, or nobody says ``mean``, ``std`` or the size.
    """
    own = {} if made is None else {field: getattr(made, field) for field in made.__struct_fields__}
    said = dict(overrides) | ({} if size is None else {"input_size": (channels, *size)})
    if missing := [field for field in ("mean", "std", "input_size") if field not in {**own, **said}]:
        raise ModelError(
            f"{name}: it has no preprocessor_config.json, and nobody says {', '.join(missing)}; save its image processor"
            f" beside it (save_pretrained), or {_MEND}"
        )
    described = preprocessing_made(name, {**own, **said})
    usual = "the default" if made is None else "the model's image processor"
    return described, {field: "given" if field in said else usual for field in described.__struct_fields__}
