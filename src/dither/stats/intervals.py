"""Estimates with a t interval, and the equivalence test on the same footing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error.

    Args:
        value: the mean, points; NaN when it cannot be formed.
        se: standard error of the mean, points; NaN when it cannot be estimated.
        df: degrees of freedom of the standard error.
    """

    value: float
    se: float
    df: float


def mean_estimate(values: ArrayLike) -> Estimate:
    """The mean of a sample and its standard error, s / sqrt(n) with s over n − 1.

    Args:
        values: shape (n,), points.

    Returns:
        The estimate with n − 1 degrees of freedom; NaN where n is too small.

    Example:
        >>> mean_estimate([1.0, 2.0, 3.0])
        Estimate(value=2.0, se=0.5773502691896258, df=2.0)
        >>> mean_estimate([1.0])
        Estimate(value=1.0, se=nan, df=0.0)
    """
    sample = np.asarray(values, dtype=np.float64)
    n = sample.size
    mean = float(sample.mean()) if n else math.nan
    return Estimate(mean, spread(sample) / math.sqrt(n) if n else math.nan, float(max(0, n - 1)))


def spread(values: ArrayLike) -> float:
    """Standard deviation over n − 1 of a sample; exactly 0 when all values are equal, NaN below two values.

    Args:
        values: shape (n,), points.

    Returns:
        The standard deviation, points.

    Example:
        >>> spread([0.1, 0.1, 0.1]), spread([1.0])
        (0.0, nan)
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size < 2:
        return math.nan
    # The mean of equal values may be off by a rounding, which would pass for a spread.
    return 0.0 if np.ptp(sample) <= 1e-9 else float(sample.std(ddof=1))


def t_interval(estimate: Estimate, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided t interval: value ± t(1 − (1 − confidence)/2; df) · se.

    Exact for normal differences; for other laws approximate, the better the larger n.

    Args:
        estimate: the mean and its standard error.
        confidence: in (0, 1).

    Returns:
        Lower and upper end, points; NaN without a standard error.

    Example:
        >>> [round(end, 4) for end in t_interval(mean_estimate([1.0, 2.0, 3.0]))]
        [-0.4841, 4.4841]
    """
    if not math.isfinite(estimate.se) or estimate.df <= 0:
        return (math.nan, math.nan)
    half = float(special.stdtrit(estimate.df, 0.5 + confidence / 2)) * estimate.se
    return (estimate.value - half, estimate.value + half)


def equivalence_p(estimate: Estimate, margin: float) -> float:
    """P value of TOST, two one-sided t tests of |true difference| >= margin.

        p = max( P(T > (value + margin)/se),  P(T < (value − margin)/se) )

    It is below α exactly when the 1 − 2α interval lies inside ±margin.

    Args:
        estimate: the mean difference and its standard error.
        margin: points, > 0, declared beforehand.

    Returns:
        The p value; NaN when the standard error is not known or 0 (a sample without spread says nothing
        about the spread of the next one).

    Example:
        >>> round(equivalence_p(mean_estimate([0.1, -0.1, 0.2, -0.2, 0.0]), margin=0.5), 5)
        0.00106

    Reference:
        Schuirmann (1987), "A comparison of the two one-sided tests procedure and the power approach",
        doi 10.1007/BF01068419.
    """
    if not math.isfinite(estimate.se) or estimate.se <= 0 or estimate.df <= 0:
        return math.nan
    above = special.stdtr(estimate.df, -(estimate.value + margin) / estimate.se)
    below = special.stdtr(estimate.df, (estimate.value - margin) / estimate.se)
    return float(max(above, below))


def correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson correlation of two arms over seeds: the more it is, the more the pairing gains.

        Var(difference) = Var(first) + Var(second) − 2 · correlation · sd(first) · sd(second)

    Args:
        first: shape (n,), points.
        second: shape (n,), points.

    Returns:
        In [−1, 1]; NaN when an arm is constant or n < 3 (two points always lie on a line).

    Example:
        >>> round(correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), 6)
        1.0
        >>> correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
        nan
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.size < 3 or not (spread(x) > 0 and spread(y) > 0):
        return math.nan
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))
