"""How sure a share of samples is: accuracy is measured on some images, and meant for all."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

CONFIDENCE = 0.95


def interval(share: float, samples: int) -> tuple[float, float]:
    """The interval of confidence 95 % of a share of independent samples (Wilson, JASA 22, 1927), both ends in 0 to 1.

    Raises
    ------
    ValueError
        if there are no samples, or the share is none.
    """
    if samples < 1 or not 0 <= share <= 1:
        raise ValueError(f"a share of {share} of {samples} samples has no interval")
    found, z2 = round(share * samples) / samples, NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2
    centre, half = found + z2 / (2 * samples), sqrt(z2 * (found * (1 - found) + z2 / (4 * samples)) / samples)
    low, high = ((centre + end) / (1 + z2 / samples) for end in (-half, half))
    return (low if found > 0 else 0.0), (high if found < 1 else 1.0)


def accuracy_in_words(share: float, samples: int) -> str:
    """A share of samples and its interval on one line: ``98.33% right (95 % interval 96.4 to 99.2)``."""
    return f"{share:.2%} right (95 % interval {in_per_cent(*interval(share, samples))})"


def in_per_cent(low: float, high: float) -> str:
    """Both ends of an interval of shares: ``96.4 to 99.2``."""
    return f"{100 * low:.1f} to {100 * high:.1f}"
