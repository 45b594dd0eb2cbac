"""What any format can be damaged with: odd values, and changes to bytes and to JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

#: numbers at which something ends
NUMBERS = [0, -1, 1, 2, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, -(2**63)]
FLOATS = [0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")]
WORDS = [
    "",
    " ",
    "x",
    "input",
    "node",
    "a\nb",
    "\x1b[2J",
    "\u202e",
    "=1+1",
    "-x",
    "../x",
    "/etc/passwd",
    "\x00",
    "é" * 50,
    "y" * 5000,
]


def flip(rng: Random, content: bytes) -> bytes:
    """A few bytes or stretches changed."""
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 12])):
        at = rng.randrange(len(damaged) + 1)
        length = rng.choice([1, 1, 2, 4, 8, rng.randint(1, 200)])
        match rng.randrange(8):
            case 0 | 1:
                damaged[at : at + 1] = bytes([rng.randrange(256)])
            case 2 if at < len(damaged):
                damaged[at] ^= 1 << rng.randrange(8)
            case 3:
                width = rng.choice([2, 4, 8])
                number = rng.choice(NUMBERS) % 2 ** (8 * width)
                damaged[at : at + width] = number.to_bytes(width, rng.choice(["little", "big"]))
            case 4:
                del damaged[at : at + length]
            case 5:
                damaged[at:at] = damaged[at : at + length]
            case 6:
                source = rng.randrange(len(damaged) + 1)
                damaged[at : at + length] = damaged[source : source + length]
            case _ if rng.random() < 0.2:
                del damaged[at:]
    return bytes(damaged)


def mutate_json(rng: Random, content: bytes) -> bytes:
    """One to three values, keys or elements changed."""
    tree = [json.loads(content)]
    for _ in range(rng.choice([1, 1, 2, 3])):
        places: list[tuple[Any, Any]] = []
        _places(tree, places)
        holder, key = rng.choice(places)
        match rng.randrange(6):
            case 0 | 1 | 2:
                holder[key] = _odd(rng, holder[key])
            case 3 if isinstance(holder, dict):
                del holder[key]
            case 3 if holder is not tree:
                del holder[key]
            case 4 if isinstance(holder, dict):
                holder[rng.choice(WORDS)] = holder.pop(key) if rng.random() < 0.5 else holder[key]
            case 5:
                other, there = rng.choice(places)
                holder[key] = json.loads(json.dumps(other[there]))
    return json.dumps(tree[0]).encode()


def _places(node: Any, found: list[tuple[Any, Any]]) -> None:
    for key in node if isinstance(node, dict) else range(len(node)):
        found.append((node, key))
        if isinstance(node[key], dict | list):
            _places(node[key], found)


def _odd(rng: Random, value: Any) -> Any:
    nested: Any = rng.choice(NUMBERS)
    for _ in range(rng.choice([1, 3, 300])):
        nested = [nested]
    if isinstance(value, int | float) and rng.random() < 0.3:
        return value * rng.choice([-1, 2, 0.5, 1000])
    return rng.choice([None, True, {}, [], nested, rng.choice(NUMBERS), rng.choice(FLOATS), rng.choice(WORDS)])
