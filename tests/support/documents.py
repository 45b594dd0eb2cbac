"""Documents against what is measured now: the same words, and numbers that differ by no more than rounding does."""

import re

import pytest

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?")


def require_alike(said: list[str], found: list[str], share: float, least: float = 0.0) -> None:
    """Every number within ``share`` of the other or, where that is less, within ``least``; everything else equal."""
    assert [NUMBER.sub("#", line) for line in said] == [NUMBER.sub("#", line) for line in found], "make figures writes it anew"
    for a, b in zip(said, found, strict=True):
        for mine, theirs in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True):
            x, y = (float(number.replace(",", "")) for number in (mine, theirs))
            assert x == pytest.approx(y, rel=share, abs=least), f"{a}\nmeasured now: {b}\nmake figures writes it anew"
