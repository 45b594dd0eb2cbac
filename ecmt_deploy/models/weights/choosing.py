"""Which of the tensors in a file are the weights: any nesting of mappings, any prefix of names, down to what fits the model."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, permutations
from pathlib import Path
from typing import Any

import torch

from ecmt_deploy.errors import ModelError, listed, plural
from ecmt_deploy.models.weights.inert import Array
from ecmt_deploy.models.weights.reading import MOST_GROWTH, read_content, reading

StateDict = dict[str, torch.Tensor]
Collections = dict[str, StateDict]
"""Tensors by name, by where in the file the mapping is that holds them: the keys on the way, joined by dots."""

#: parameters and submodules of whole modules in a file, and letters of a place with a name: more are no checkpoint's
_MOST_IN_MODULES, _LONGEST = 1 << 17, 512
#: how training scripts mark the moving average of weights (``model_ema`` beside ``model``), which timm prefers, and so do we
_AVERAGE = "_ema"
#: parts of a name that are tried as prefix
_PARTS = 8


class Weights(StateDict):
    """Tensors by the names that the model has for them.

    Attributes
    ----------
    key : where in the file they were, keys and prefix joined by dots (``state_dict.model``); empty for the file as a whole
    others : where in the file are the weights that these are the average of
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], key: str, others: tuple[str, ...] = ()) -> None:
        super().__init__(tensors)
        self.key = key
        self.others = others


def collections_in(path: Path) -> Collections:
    """Every mapping in a weight file that holds tensors; nothing in the file is executed.

    Parameters
    ----------
    path : safetensors, or what ``torch.save`` writes, under any name: weights, alone or beside other things at any depth, or a
        whole module; tensors or NumPy arrays, dense or sparse

    Raises
    ------
    ModelError
        if the file is missing, of another kind, damaged, asks for code, or holds no tensors.
    """
    content = read_content(path)
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds a {type(content).__name__}; expected a state dict (names and tensors)")
    found: Collections = defaultdict(dict)
    room = MOST_GROWTH * path.stat().st_size
    with reading(path):
        for place, name, value in _leaves(path, content):
            given = value.tensor() if isinstance(value, Array) else value
            if not isinstance(given, torch.Tensor):
                continue
            tensor = torch.Tensor.detach(given)  # without attributes that the file gave it
            if tensor.device.type != "cpu" or tensor.is_nested:
                continue
            room -= tensor.numel() * tensor.element_size()
            if room < 0:
                raise ModelError(f"{path}: its tensors take more than {MOST_GROWTH} times the room of the file; it is damaged")
            if tensor.layout != torch.strided:
                tensor = tensor.to_dense()
            found[place][name] = tensor.dequantize() if tensor.is_quantized else tensor
    if not found:
        keys = listed([str(key) for key in content]) or "none"
        raise ModelError(f"{path}: holds no tensors (keys: {keys}); expected a state dict")
    return dict(found)


def _leaves(path: Path, content: dict[Any, Any]) -> Iterator[tuple[str, str, Any]]:
    """What is no mapping in nested mappings, with place and name; a whole module is what its state dict would be."""
    nodes: deque[tuple[str, str, dict[Any, Any]]] = deque([("", "", content)])
    seen: set[int] = set()
    count = 0
    while nodes:
        place, prefix, node = nodes.popleft()
        of_module = _is_module(node)
        if id(node) in seen and not of_module:  # modules are shared, and then are in the state dict under each name
            continue
        seen.add(id(node))
        for key, value in _entries(node):
            count += of_module
            if count > _MOST_IN_MODULES:
                raise ModelError(f"{path}: has more than {_MOST_IN_MODULES:,} parameters and submodules; it is damaged")
            name = str(key) if isinstance(key, str | int) else ""
            if not name or not name.isprintable() or len(place) + len(prefix) + len(name) > _LONGEST:
                continue  # no name of a model's
            if not isinstance(value, dict):
                yield place, prefix + name, value
            elif of_module and _is_module(value):
                nodes.append((place, f"{prefix}{name}.", value))
            else:
                nodes.append((_joined(place, prefix + name), "", value))


def _is_module(node: dict[Any, Any]) -> bool:
    """Whether a mapping stands for a ``torch.nn.Module``."""
    return all(isinstance(getattr(node, holder, None), dict) for holder in ("_parameters", "_buffers", "_modules"))


def _entries(node: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Items, and attributes of what stands for an object; of a module what its state dict has, and its children."""
    attributes: Any = getattr(node, "__dict__", {})
    if not _is_module(node):
        return chain(dict.items(node), attributes.items())  # dict's, for an attribute may be called items
    left_out = attributes.get("_non_persistent_buffers_set") or ()
    buffers = ((name, value) for name, value in dict.items(attributes["_buffers"]) if name not in left_out)
    return chain(dict.items(attributes["_parameters"]), buffers, dict.items(attributes["_modules"]))


def choose(path: Path, collections: Collections, key: str | None, misfits: Callable[[StateDict], int]) -> Weights:
    """The weights among the collections of a file.

    Parameters
    ----------
    path : the file, for errors
    key : where in the file the weights are, as of :class:`Weights`, or above that; by default anywhere
    misfits : in how many tensors a collection differs from the model; where none fits, the one that differs least is taken,
        and among equals the largest

    Raises
    ------
    ModelError
        if there are no tensors at ``key``, or several collections fit, which are then listed.
    """
    candidates = _candidates(collections)
    if key is not None:
        candidates = {place: tensors for place, tensors in candidates.items() if place == key or _is_inside(place, key)}
        if not candidates:
            raise ModelError(f"{path}: no tensors at {key!r}; there are {_listed(collections)}")
    differ = {place: misfits(tensors) for place, tensors in candidates.items()}
    fitting = [place for place in candidates if differ[place] == 0]
    innermost = [place for place in fitting if not any(_is_inside(other, place) for other in fitting)]
    if innermost:
        return _only(path, {place: candidates[place] for place in innermost})
    closest = min(candidates, key=lambda place: (differ[place], -len(candidates[place])))
    return Weights(candidates[closest], closest)


def _candidates(collections: Collections) -> Collections:
    """Every collection, and what is left of it behind every prefix of its names."""
    found: Collections = defaultdict(dict)
    for place, tensors in collections.items():
        for name, tensor in tensors.items():
            parts = name.split(".")
            for n in range(min(len(parts), _PARTS)):
                found[_joined(place, ".".join(parts[:n]))].setdefault(".".join(parts[n:]), tensor)
    return dict(found)


def _only(path: Path, collections: Collections) -> Weights:
    """The one collection there is; several are one where all have the same content, or where one is the others' average."""
    (key, tensors), *others = collections.items()
    if all(_equal(tensors, other) for _, other in others):
        return Weights(tensors, key)
    for place, other in permutations(collections, 2):
        if len(collections) == 2 and _is_average(place, other):
            return Weights(collections[place], place, (other,))
    raise ModelError(f"{path}: which weights? there are {_listed(collections)}; choose with --weights-key")


def _is_average(place: str, other: str) -> bool:
    """Whether weights lie beside others under the same key but for the mark of an average."""
    unequal = ((a, b) for a, b in zip(place.split("."), other.split("."), strict=False) if a != b)
    mine, theirs = next(unequal, ("", ""))
    return mine == theirs + _AVERAGE


def _equal(a: StateDict, b: StateDict) -> bool:
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


def _listed(collections: Collections) -> str:
    largest = sorted(collections, key=lambda place: -len(collections[place]))
    return listed([f"{place or 'the file itself'} ({plural(len(collections[place]), 'tensor')})" for place in largest])


def _is_inside(place: str, other: str) -> bool:
    return place != other and (not other or place.startswith(f"{other}."))


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place and name else place or name
