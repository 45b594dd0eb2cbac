"""Damage to a file, by its bytes or by what its format means by them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.fuzz.hdf5 import mutate_hdf5
from tests.fuzz.pieces import FLOATS, NUMBERS, WORDS, flip, mutate_json


def mutate(rng: Random, path: Path, outside: str) -> None:
    """Damage the file at ``path``; ``outside`` is a file that nothing may be led to read."""
    if path.suffix in (".nir", ".h5") and rng.random() < 0.5:
        mutate_hdf5(rng, path, outside)
        return
    content = path.read_bytes()
    by_structure = next((change for pattern, change in _STRUCTURED.items() if re.search(pattern, path.name)), None)
    change = by_structure if by_structure and rng.random() < 0.6 else flip
    path.write_bytes(change(rng, content))


def mutate_part(rng: Random, content: bytes) -> bytes:
    """A part of an evaluation, sealed again after the damage."""
    part = mutate_json(rng, json.dumps(json.loads(content)["part"]).encode())
    return b'{"sha256":"%s","part":%s}' % (hashlib.sha256(part).hexdigest().encode(), part)


def mutate_toml(rng: Random, content: bytes) -> bytes:
    """Lines and values changed."""
    lines = content.decode().splitlines()
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(lines))
        match rng.randrange(5):
            case 0 | 1 if "=" in lines[at]:
                odd = rng.choice(
                    [str(rng.choice(NUMBERS)), str(rng.choice(FLOATS)), json.dumps(rng.choice(WORDS)), "[]", "{}", "true"]
                )
                lines[at] = f"{lines[at].partition('=')[0]}= {odd}"
            case 2:
                del lines[at : at + rng.randint(1, 3)]
                lines = lines or [""]
            case 3:
                lines.insert(at, rng.choice(lines))
            case _:
                lines[at] = flip(rng, lines[at].encode() or b"x").decode(errors="replace")
    return "\n".join(lines).encode()


def mutate_npy(rng: Random, content: bytes) -> bytes:
    """The header, which is Python text, changed; its length stays true."""
    size = int.from_bytes(content[8:10], "little")
    header = content[10 : 10 + size].decode("latin1").strip()
    match rng.randrange(4):
        case 0:
            header = re.sub(r"\(.*?\)", str(tuple(rng.choice(NUMBERS) for _ in range(rng.randrange(4)))), header, count=1)
        case 1:
            odd = ["|O", "<f16", "|S0", ">f4", "<c8", "|V3", "<M8[s]", "?", "x", "<i9", "", "<f4,<f4", "object"]
            header = re.sub(r"'descr': '[^']*'", f"'descr': {rng.choice(odd)!r}", header)
        case 2:
            header = rng.choice(["(" * 300, "{", "", "[1]", "{'a': 1}", "0" * 5000, "{'descr': '<f4", "'''", "\t x\n  y"])
        case _:
            header = flip(rng, header.encode("latin1")).decode("latin1")
    text = header.encode("latin1")[:60_000] + b"\n"
    return content[:8] + struct.pack("<H", len(text)) + text + content[10 + size :]


def _in_zip(change: Callable[[Random, bytes], bytes]) -> Callable[[Random, bytes], bytes]:
    """One member of an archive changed, whose check sums are true."""

    def changed(rng: Random, content: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", old.infolist()[0].compress_type) as new:
            chosen = rng.choice(old.namelist())
            for name in old.namelist():
                damaged = change(rng, old.read(name)) if name == chosen else old.read(name)
                if name != chosen or rng.random() < 0.95:
                    new.writestr(name, damaged)
        return out.getvalue()

    return changed


def _npy_or_bytes(rng: Random, content: bytes) -> bytes:
    return (mutate_npy if rng.random() < 0.7 else flip)(rng, content)


def _in_gzip(rng: Random, content: bytes) -> bytes:
    return gzip.compress(flip(rng, gzip.decompress(content)), 1)


def mutate_safetensors(rng: Random, content: bytes) -> bytes:
    """The header, which is JSON, changed; its length stays true."""
    size = int.from_bytes(content[:8], "little")
    header = mutate_json(rng, content[8 : 8 + size])
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


_STRUCTURED: dict[str, Callable[[Random, bytes], bytes]] = {
    r"^part-.*\.json$": mutate_part,
    r"\.json$": mutate_json,
    r"\.toml$": mutate_toml,
    r"\.npy$": mutate_npy,
    r"\.npz$": _in_zip(_npy_or_bytes),
    r"\.gz$": _in_gzip,
    r"\.safetensors$": mutate_safetensors,
    r"zip\.pth$": _in_zip(flip),
}
