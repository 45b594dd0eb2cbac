"""Directories of `transformers`, here or of the hub, before anything is built of them: what they hold, and how large it is.

Whatever stands in such a directory is data: no code in it is run, and weights are safetensors. A configuration could ask for
any amount of memory or time all the same; so its numbers are compared with the weights that are there.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ecmt_deploy.errors import ModelError, listed, reading
from ecmt_deploy.models.fetching import quick_failure

#: what is fetched of a repository of the hub
_FETCHED = ("*.json", "*.txt", "*.model", "*.safetensors")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")
_MOST_JSON_BYTES, _MOST_LABELS, _LARGEST = 64 << 20, 1 << 20, 1 << 28
#: keys that say how often something is repeated
_REPEATS = re.compile(r".*(layers?|depths?|blocks|stages)$")
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Directory:
    """A directory as ``save_pretrained`` writes it.

    Attributes
    ----------
    name : how the model was asked for
    path : of the directory
    config : content of ``config.json``
    parameters, tensors : how many numbers and how many tensors the weights hold
    """

    name: str
    path: Path
    config: dict[str, Any]
    parameters: int
    tensors: int


def find(name: str, place: str, revision: str | None = None) -> Directory:
    """The directory at a path, or of a repository of the hub, which is fetched to the hub's cache.

    Raises
    ------
    ModelError
        If there is none, it has no ``config.json`` or no safetensors, or one of them is damaged or claims too much.
    """
    path = Path(place).expanduser()
    if not path.is_dir():
        path = _fetched(name, place, revision)
    elif revision is not None:
        raise ModelError(f"{name}: revision {revision} is of a repository of the hub; {place} is a directory")
    config = _object(name, path / "config.json", "save the model with save_pretrained")
    weights = _weight_files(name, path)
    sizes = [size for file in weights for size in _tensor_sizes(name, file)]
    _require_sane(name, config, len(sizes), "config.json")
    return Directory(name, path, config, sum(sizes), len(sizes))


def _fetched(name: str, place: str, revision: str | None) -> Path:
    if not _REPOSITORY.fullmatch(place) or place.startswith("."):
        raise ModelError(f"{name}: no such directory; expected hf:DIR, as save_pretrained writes it, or hf:OWNER/NAME")
    from huggingface_hub import snapshot_download

    mend = f"fetch it where there is a network, and pass its directory (there is no directory {place} here)"
    with reading(ModelError, f"{name}: cannot be fetched from the hub", mend), quick_failure():
        return Path(snapshot_download(place, revision=revision, allow_patterns=list(_FETCHED), ignore_patterns=["*/*"]))


def _object(name: str, path: Path, mend: str) -> dict[str, Any]:
    """A JSON object in a file of reasonable size."""
    if not path.is_file():
        raise ModelError(f"{name}: {path.name} is missing in {path.parent}; {mend}")
    if path.stat().st_size > _MOST_JSON_BYTES:
        raise ModelError(f"{name}: {path.name} is {path.stat().st_size} bytes; expected at most {_MOST_JSON_BYTES}; {mend}")
    with reading(ModelError, f"{name}: {path.name} is no JSON object", mend):
        return dict(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))


def _weight_files(name: str, path: Path) -> list[Path]:
    """The files of the weights: one, or those that an index names."""
    index = path / f"{_WEIGHTS}.index.json"
    if (path / _WEIGHTS).is_file():
        return [path / _WEIGHTS]
    if index.is_file():
        named = _object(name, index, "save the model with save_pretrained").get("weight_map")
        files = sorted({str(file) for file in named.values()}) if isinstance(named, dict) else []
        if not files or any(Path(file).name != file or not (path / file).is_file() for file in files):
            raise ModelError(f"{name}: {index.name} names {listed(files) or 'no files'}; expected files beside it")
        return [path / file for file in files]
    others = sorted(p.name for pattern in ("*.bin", "*.safetensors", "*.pt", "*.pth", "*.h5") for p in path.glob(pattern))
    found = f"; found {listed(others)}" if others else ""
    raise ModelError(
        f"{name}: no {_WEIGHTS} in {path}{found}; load it with transformers where you trust it, and save it again with"
        " model.save_pretrained(DIR), which writes safetensors"
    )


def _tensor_sizes(name: str, path: Path) -> list[int]:
    """How many numbers each tensor of a file holds, by its header."""
    from safetensors import safe_open

    what = f"{name}: {path.name} is no safetensors file"
    with reading(ModelError, what, "fetch or save it again"), safe_open(path, "np") as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118 - it is no dict
    return [math.prod(shape) for shape in shapes]


def _require_sane(name: str, value: Any, tensors: int, where: str) -> None:
    """Refuse numbers that no model with so many tensors has: whatever builds it would loop, or allocate, for as long."""
    if isinstance(value, dict):
        if len(value) > _MOST_LABELS:
            raise ModelError(f"{name}: {where} has {len(value)} entries; expected at most {_MOST_LABELS}")
        for key, inner in value.items():
            _require_sane(name, inner, tensors, f"{where}: {key}")
    elif isinstance(value, list):
        for inner in value[:_MOST_LABELS]:
            _require_sane(name, inner, tensors, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        key = where.rpartition(": ")[2]
        most = tensors if _REPEATS.fullmatch(key) else _MOST_LABELS if key == "num_labels" else _LARGEST
        if isinstance(value, int) and abs(value) > most and "theta" not in key:
            raise ModelError(f"{name}: {where} is {value}; weights of {tensors} tensors leave room for at most {most}")


def require_fit(directory: Directory, parameters: int) -> None:
    """Refuse a configuration that describes many times the parameters that the weights hold.

    Raises
    ------
    ModelError
        If it does.
    """
    if parameters > 2 * directory.parameters + (1 << 20):
        raise ModelError(
            f"{directory.name}: config.json describes a model of {parameters} parameters, its weights hold "
            f"{directory.parameters}; save both again, together"
        )
