"""Weight files: from bytes to nested mappings with tensors, without running anything that is in them."""

from __future__ import annotations

import pickle
import re
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ecmt_deploy import errors
from ecmt_deploy.errors import ModelError, listed
from ecmt_deploy.models.weights.inert import globals_in, is_code, stand_in

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80\x02"
#: what torch wrote before its files were zip archives: magic number, version and machine come before the content
_LEGACY_PICKLES = 4
#: what is read takes at most so many times the room of the file (sparse tensors become dense ones)
MOST_GROWTH = 32
#: classes and functions that a pickle names; each gets a stand-in
MOST_GLOBALS = 1000
_SAVE = "save model.state_dict() alone where it was made, best as .safetensors"
_loading = threading.Lock()


def read_content(path: Path) -> Any:
    """What a weight file holds, whatever it is called: safetensors, or what ``torch.save`` writes.

    Raises
    ------
    ModelError
        if it is missing, of another kind, damaged, unpacks to many times its size, or asks for code.
    """
    if not path.is_file():
        what = "is a directory; name the weight file in it" if path.is_dir() else "no such weight file"
        raise ModelError(f"{path}: {what}")
    with reading(path):
        with path.open("rb") as file:
            start = file.read(9)
        if start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
            return safetensors.torch.load_file(path, device="cpu")
        if start.startswith((_ZIP, _PICKLE)):
            return _unpickled(path, start.startswith(_ZIP))
        raise ValueError("unknown kind of weight file; expected safetensors, or what torch.save writes")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a library raises on bytes from outside into one line of ours."""
    with errors.reading(ModelError, f"{path}: not a readable weight file", _SAVE):
        try:
            yield
        except pickle.UnpicklingError as error:  # torch's reader, which refuses, and advises to trust the file
            said = " ".join(str(error).split()).rpartition("WeightsUnpickler error: ")[2]
            reason = re.split(" Please | Check the ", said)[0][:200]
            raise ModelError(f"{path}: refused, loading it would need more than tensors ({reason}); {_SAVE}") from error


def _unpickled(path: Path, zipped: bool) -> Any:
    with path.open("rb") as file:
        if zipped:
            with zipfile.ZipFile(file) as archive, archive.open(_pickle_of(path, archive)) as packed:
                asked = set(globals_in(packed, 1))
        else:
            asked = set(globals_in(file, _LEGACY_PICKLES))
    if code := sorted(f"{module}.{name}" for module, name in asked if is_code(module, name)):
        raise ModelError(f"{path}: refused, loading it would need more than tensors ({listed(code)}); {_SAVE}")
    if len(asked) > MOST_GLOBALS:
        raise ModelError(f"{path}: asks for {len(asked):,} classes; expected a file that torch.save wrote")
    stand_ins: list[Any] = [stand_in(module, name) for module, name in asked]
    with (
        _loading,  # torch's list of globals is everybody's
        torch.serialization.safe_globals(stand_ins),
        torch.sparse.check_sparse_tensor_invariants(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of other pickle protocols, of the time that sparse tensors take
        try:
            with path.open("rb") as file:  # torch takes a file at its name's word
                return torch.load(file, map_location="cpu", weights_only=True)
        finally:  # of a file that was not read to its end, torch would check them with the next one, and refuse that
            getattr(torch._utils, "_sparse_tensors_to_validate", []).clear()


def _pickle_of(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one pickle of an archive that unpacks to about its own size."""
    members = archive.infolist()
    unpacked, size = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > MOST_GROWTH * size:
        raise ModelError(f"{path}: unpacks to {unpacked:,} byte, from {size:,}; expected a file that torch.save wrote")
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise ModelError(f"{path}: is TorchScript, a program; {_SAVE}")
    pickles = [member for member in members if member.filename.endswith("/data.pkl") and member.filename.count("/") == 1]
    if len(pickles) != 1:
        raise ModelError(f"{path}: a zip archive without weights of torch's in it; expected a file that torch.save wrote")
    return pickles[0]
