"""What fires, levels worked out from the bits of floats and payloads, beside the definitions."""

from __future__ import annotations

import math
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecmt_deploy.engine import firing
from ecmt_deploy.engine.firing import Levels, Payloads, Task, fire, fire_in_tiles


def defined(v: torch.Tensor, levels: Levels, lowest: torch.Tensor, count: int) -> torch.Tensor:
    """Spikes: the largest level of the membrane's sign whose threshold it reaches."""
    spikes = torch.zeros_like(v)
    for sign, base in ((1, levels.positive), (-1, levels.positive if levels.negative is None else levels.negative)):
        for k in range(-12, count):
            spike = base * 2.0**k
            threshold = spike - base / 2 if levels.fraction is None else (base * levels.fraction) * 2.0**k
            fires = (k >= lowest) & (sign * v > 0) & (sign * v >= threshold)
            spikes = torch.where(fires, sign * spike, spikes)
    return spikes


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**20),
    rule=st.sampled_from(["paper", "nearest"]),
    two_sided=st.booleans(),
    count=st.integers(1, 8),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    size=st.sampled_from([1e-12, 1.0, 1e12]),
)
def test_what_fires_is_the_largest_level_whose_threshold_is_reached(
    seed: int, rule: str, two_sided: bool, count: int, dtype: torch.dtype, size: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    base = (torch.rand(1, 24, generator=generator, dtype=dtype) + 0.5) * size
    negative = base * (torch.rand(1, 24, generator=generator, dtype=dtype) + 0.5)
    lowest = (
        torch.randint(-6, count, (5, 24), generator=generator) if rule == "nearest" else torch.zeros(5, 24, dtype=torch.int64)
    )
    least, top = 2.0 ** lowest.to(dtype), 2.0 ** (count - 1)
    fraction = None if rule == "paper" else 0.7
    levels = Levels(base, negative if two_sided else None, least, top, None, None, fraction)
    v = (
        torch.randn(1, 3, 5, 24, generator=generator, dtype=dtype)
        * size
        * 2.0 ** torch.randint(-8, 10, (24,), generator=generator)
    )
    v[0, 0] = base * least * 2 - base / 2 if fraction is None else base * fraction * least * 2  # on a threshold,
    v[0, 1, 1:] = torch.nextafter(v[0, 0, 1:], torch.zeros(1, dtype=dtype))  # just below it,
    v[0, 1, 0], v[0, 2, 0, 0] = 0.0, torch.inf  # and at the ends
    expected = defined(v[0], levels, lowest, count)
    with mock.patch.object(firing, "TILE", 32):  # a row and more
        runs = [run(v, None, levels, Task((1,), means=False, keeps=True, apart=True)) for run in (fire, fire_in_tiles)]
    for fired in runs:
        assert torch.equal(fired.spikes[0], expected)
        assert torch.equal(fired.events[0], (expected != 0).sum(dim=-1, keepdim=True))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**20),
    bits=st.integers(2, 16),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    size=st.sampled_from([1e-12, 1.0, 1e12]),
    axis=st.sampled_from([-1, -2, None]),
)
def test_the_nearest_payload_fires(seed: int, bits: int, dtype: torch.dtype, size: float, axis: int | None) -> None:
    """Of every membrane, on ties and beside them, at the ends of the payload and far beyond, in and around the dead zone."""
    generator = torch.Generator().manual_seed(seed)
    most = 2 ** (bits - 1) - 1
    base = (torch.rand(1, 24, generator=generator, dtype=dtype) + 0.5) * size
    least = torch.randint(1, most + 2, (5, 24), generator=generator)  # the last is silence
    n = torch.randint(-2 * most - 2, 2 * most + 3, (1, 3, 5, 24), generator=generator)
    v = (n + torch.tensor([0.5, 0.0, 0.25], dtype=dtype)[:, None, None]) * base
    v[0, 2, 0] = torch.nextafter(v[0, 0, 0], torch.zeros(1, dtype=dtype))
    v[0, 2, 1, :4] = torch.tensor([0.0, torch.inf, -torch.inf, torch.finfo(dtype).max], dtype=dtype)
    nearest = (v[0] * (1 / base)).tolist()
    payloads = [[[max(-most, min(most, rounded(q))) for q in row] for row in plane] for plane in nearest]
    expected = torch.tensor(payloads, dtype=dtype)
    expected = torch.where(expected.abs() >= least, expected, 0)
    parameters = Payloads(base, 1 / base, least.to(dtype), float(most), None, None)
    task = Task((1,), means=False, keeps=True, apart=True, axis=axis)
    with mock.patch.object(firing, "TILE", 32):
        runs = [run(v, None, parameters, task) for run in (fire, fire_in_tiles)]
    events = (expected != 0).int() if axis is None else (expected != 0).sum(dim=axis, keepdim=True)
    for fired in runs:
        assert torch.equal(fired.spikes[0], expected * base)
        assert torch.equal(fired.events[0], events)


def rounded(quotient: float) -> float:
    """Python's own: ties to even."""
    return quotient if math.isinf(quotient) else float(round(quotient))


_BASE = torch.rand(1, 16, generator=torch.Generator().manual_seed(0)) + 0.5
PARAMETERS = {
    "levels": Levels(_BASE, None, torch.tensor([[0.25]]), 8.0, _BASE / 2, _BASE / 8, 0.7),
    "payloads": Payloads(_BASE / 8, 8 / _BASE, torch.arange(1.0, 8)[:, None], 15.0, _BASE / 2, _BASE / 8),
}


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.parametrize("axis", [-1, -2, None])
def test_tiles_are_the_whole(axis: int | None, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "TILE", 32)
    levels = PARAMETERS[kind]
    u = torch.randn(3, 2, 7, 16)
    task = Task((1, 2, 3), means=False, keeps=True, apart=True, axis=axis)
    for tile, whole in zip(fire_in_tiles(u, None, levels, task), fire(u, None, levels, task), strict=True):
        assert torch.equal(tile, whole)
