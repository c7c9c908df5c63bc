"""Rank correlation of two quantities over runs, within one arm and within many."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

LEAST = 4
"""Runs that an interval needs, beside one for each further arm."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation.

    Args:
        value: ρ in [−1, 1]; NaN where a quantity is constant in every arm or there are too few runs.
        interval: at the confidence asked for; NaN where there is none.
        n: runs with both quantities; of several arms, those in arms that count.
        arms: that count.
    """

    value: float
    interval: tuple[float, float]
    n: int
    arms: int = 1


def spearman(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> RankCorrelation:
    """Spearman's ρ of two quantities over the runs of one arm, with Bonett and Wright's interval.

        ρ = Pearson correlation of the ranks (ties share their mean rank)
        tanh( artanh ρ ± z · sqrt((1 + ρ²/2) / (n − 3)) )

    Args:
        first: shape (n,); pairs in which a value is not finite are left out.
        second: shape (n,).
        confidence: in (0, 1).

    Returns:
        NaN for n < 3 or where a quantity is constant. No interval for n < 4, nor where |ρ| = 1: a perfect
        order in a few runs says nothing of the spread.

    Example:
        >>> found = spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])
        >>> round(found.value, 3), [round(end, 3) for end in found.interval], found.n
        (0.8, [-0.457, 0.991], 5)

    Reference:
        D. G. Bonett and T. A. Wright (2000), "Sample size requirements for estimating Pearson, Kendall and
        Spearman correlations", Psychometrika 65 (1), doi 10.1007/BF02294183.
    """
    found = partial_spearman([(first, second)], confidence)
    return replace(found, n=int((np.isfinite(first) & np.isfinite(second)).sum()), arms=1)


def partial_spearman(
    arms: Iterable[tuple[ArrayLike, ArrayLike]], confidence: float = 0.95
) -> RankCorrelation:
    """Rank correlation over the runs of several arms, with what sets the arms apart removed.

    Both quantities are ranked within each arm, the arm's mean rank is subtracted, and the Pearson correlation
    of all these centred ranks together is taken:

        ρ = Σ_a Σ_i x_ai y_ai / sqrt(Σ_a Σ_i x_ai² · Σ_a Σ_i y_ai²)

    With arms of one size and no ties it is the mean of the arms' own ρ. An arm with fewer than 3 runs, or in
    which a quantity is constant, is left out. The interval is Bonett and Wright's with n − (arms − 1) runs,
    as for a partial correlation given the arm. It takes runs for independent: those of one seed in several
    arms share head and data order, so where arms correlate it is too narrow.

    Args:
        arms: pairs of quantities, each of shape (n_a,).
        confidence: in (0, 1).

    Example:
        >>> found = partial_spearman([([1, 2, 3, 4], [1, 2, 4, 3]), ([91, 92, 93, 94], [5, 6, 7, 8])])
        >>> round(found.value, 3), found.n, found.arms
        (0.9, 8, 2)
    """
    ranks = [ranked for x, y in arms if (ranked := _centred_ranks(x, y)) is not None]
    if not ranks:
        return RankCorrelation(math.nan, (math.nan, math.nan), 0, 0)
    x, y = (np.concatenate([pair[side] for pair in ranks]) for side in (0, 1))
    value = float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1.0, 1.0))
    interval = _interval(value, x.size - (len(ranks) - 1), confidence)
    return RankCorrelation(value, interval, x.size, len(ranks))


def _centred_ranks(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], ...] | None:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"two quantities of shapes {x.shape} and {y.shape}; give one value of each to a run")
    finite = np.isfinite(x) & np.isfinite(y)
    if finite.sum() < 3:
        return None
    ranks = tuple(_ranks(values[finite]) for values in (x, y))
    if any(np.ptp(values) == 0 for values in ranks):
        return None
    return tuple(values - values.mean() for values in ranks)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 1; equal values share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return mean[places]


def _interval(value: float, n: int, confidence: float) -> tuple[float, float]:
    if n < LEAST or abs(value) > 1 - 1e-12:
        return (math.nan, math.nan)
    half = float(special.ndtri(0.5 + confidence / 2)) * math.sqrt((1 + value**2 / 2) / (n - 3))
    return (math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half))
