"""The terminal's tables of energy: the answer first, one table, a screen."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from rich.console import RenderableType

from ecmt_deploy.estimation import Energy
from ecmt_deploy.program.layers import MANY, MAX_LAYERS, grouped
from ecmt_deploy.report import tables
from ecmt_deploy.untrusted.terminal import Terminal
from tests.support.report_cases import energy

SCREEN = 50


def shown(part: RenderableType, width: int) -> list[str]:
    console = Terminal(width=width, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(part)
    return console.export_text().splitlines()


def chips(number: int, nodes: list[str]) -> list[Energy]:
    """Every third does not fit, every fourth prices nothing."""
    made = (energy(nodes, f"chip_{i}", seed=i, priced=i % 4 != 3) for i in range(number))
    return [replace(e, obstacles=("head: too large; shrink it",) if i % 3 == 0 else ()) for i, e in enumerate(made)]


def transformer(blocks: int) -> list[str]:
    parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2", "add")
    return ["patch_embed.proj", *(f"blocks.{i}.{part}" for i in range(blocks) for part in parts), "norm", "head"]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("number", [1, 2, 4, 5, 12])
@pytest.mark.parametrize("blocks", [3, 12, 20])
def test_it_fits_on_a_screen_and_names_what_it_leaves_out(blocks: int, number: int, width: int) -> None:
    results = chips(number, transformer(blocks))
    lines = shown(tables.energy(results, width), width)
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= width
    order = [e.hardware for e in sorted(results, key=lambda e: e.fits == "no")]
    first = [line.split()[0].rstrip(":") for line in lines if line.startswith("chip_")]
    assert first == order or first[:-1] == order, "a line or sentence each, those that fit first"
    text = " ".join(" ".join(lines).split())
    for result in results:
        where = "Energy per inference by layer" if result.components_pj else "nothing has a price on"
        if number > 1:
            assert result.hardware in text.split(where)[1]


def test_a_chip_without_any_price_has_no_column() -> None:
    bare = energy(hardware="bare", priced=False)
    lines = shown(tables.energy([bare], 80), 80)
    assert not any("layer" in line for line in lines)
    assert lines[-1] == "nothing has a price on bare"
    table = "\n".join(shown(tables.energy([bare, energy(hardware="priced")], 80), 80)).split("by layer")[1]
    assert "bare" not in table.splitlines()[1]
    assert "nothing has a price on bare" in table


def test_details_have_what_the_screen_leaves_out() -> None:
    results = [replace(e, assumes=("Assumes that all goes well.",)) for e in chips(12, transformer(12))]
    lines = shown(tables.energy(results, 80, details=True), 80)
    text = " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= 80
    assert text.count("Assumes that all goes well.") == 12
    assert all(part in text for part in ("blocks.11.attn", "(a) The papers", "(c) Memory included", "by component"))
    assert "no room" not in text
    brief = " ".join(shown(tables.energy(results, 80), 80))
    assert "Assumes" not in brief
    assert "blocks.11 " in brief
    assert "blocks.11.attn" not in brief


@pytest.mark.parametrize(("prefix", "parts", "block"), [
    ("blocks.{}", ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2"), "blocks.{}"),
    ("vit.encoder.layer.{}", ("attention.attention.query", "attention.output.dense", "output.dense"), "vit.encoder.layer.{}"),
    ("layers.1.blocks.{}", ("attn.qkv", "mlp.fc1", "norm1", "norm2"), "layers.1.blocks.{}"),
])  # fmt: skip
@pytest.mark.parametrize("blocks", [1, 3, 12, 24, 40])
def test_layers_are_modules_of_blocks_or_blocks(prefix: str, parts: tuple[str, ...], block: str, blocks: int) -> None:
    names = ["embed", *(f"{prefix.format(i)}.{part}" for i in range(blocks) for part in parts), "head"]
    found = grouped(names)
    assert [name for those in found.values() for name in those] == names
    assert len(found) <= (MAX_LAYERS if blocks < 40 else MANY)
    modules = list(dict.fromkeys(f"{prefix.format(i)}.{part.split('.')[0]}" for i in range(blocks) for part in parts))
    fits = len(modules) + 2 <= MAX_LAYERS
    assert list(found) == ["embed", *(modules if fits else (block.format(i) for i in range(blocks))), "head"]
    assert list(grouped(names, 1000)) == ["embed", *modules, "head"]
