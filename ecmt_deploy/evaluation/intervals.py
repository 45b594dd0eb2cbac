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
