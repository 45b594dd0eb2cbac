"""How sure a share of samples is: accuracy is measured on some images, and meant for all."""

from __future__ import annotations

CONFIDENCE = 0.95


def interval(share: float, samples: int) -> tuple[float, float]:
    """The interval of confidence 95 % of a share of independent samples (Wilson, JASA 22, 1927), both ends in 0 to 1.

    Raises
    ------
    ValueError
        if there are no samples, or the share is none.
    """
    from scipy.stats import binomtest  # takes half a second to import

    found = binomtest(round(share * samples), samples).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def percent(share: float, samples: int) -> str:
    """A share with its interval: ``98.33 (96.4 to 99.2)``."""
    low, high = interval(share, samples)
    return f"{100 * share:.2f} ({100 * low:.1f} to {100 * high:.1f})"


def measured(share: float, samples: int) -> str:
    """How sure a share is, in words: ``360 samples, 95 % interval 96.4 to 99.2 %``."""
    low, high = interval(share, samples)
    return f"{samples} samples, 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
