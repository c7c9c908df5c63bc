"""The sign-flip test, exact for paired differences that are symmetric around zero under the null."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Up to this many untied pairs all signs are enumerated; beyond, they are drawn.
ENUMERATED = 20
# With the observed signs this makes 100,000.
DRAWS = 99_999
# Fixed, so that the same scores give the same p anywhere.
_DRAW_SEED = 20_221_207
# Sums that differ by less, relative to the sum of the sizes, differ by rounding alone and count as equal.
_ROUNDING = 1e-10
# Largest number of sums held at once.
_CHUNK = 1 << 22

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SignFlip:
    """Result of the sign-flip test.

    Args:
        p: two-sided p value in (0, 1]; NaN without differences.
        floor: the smallest p that these sizes of differences could have given.
        exact: whether all signs were enumerated.
        untied: number of differences that are not zero.
    """

    p: float
    floor: float
    exact: bool
    untied: int


def sign_flip(differences: ArrayLike) -> SignFlip:
    """Two-sided sign-flip test of the mean of paired differences.

        p = #{ε in {−1, 1}^n : |Σ ε_i d_i| >= |Σ d_i|} / 2^n

    The null hypothesis is that the arms are exchangeable within a pair, so that each difference is as likely
    to be d as −d. A zero has no sign to flip: with z zeros p cannot fall below 2 / 2^(n−z). At most 20 untied
    differences are enumerated; beyond that 99,999 signs are drawn with a fixed seed, and the observed signs
    count among them (the +1 in numerator and denominator), so p is valid and never 0. Small n make the test
    conservative: with 6 pairs it rejects in 3.1 %, not 5 %, of null experiments.

    Args:
        differences: shape (n,), finite, any unit; for a weighted mean, the weighted differences.

    Returns:
        The p value, its floor, and how it was found.

    Raises:
        ValueError: a difference is not finite, or there is more than one axis.

    Example:
        >>> sign_flip([1.0, 2.0, 0.5, 1.5, 1.0, 0.2])
        SignFlip(p=0.03125, floor=0.03125, exact=True, untied=6)
        >>> sign_flip([1.0, 2.0, 0.0, -1.5]).floor
        0.25

    Reference:
        Phipson & Smyth (2010), "Permutation P-values should never be zero", doi 10.2202/1544-6115.1585 (the
        +1).
    """
    values = finite_axis(differences)
    if values.size == 0:
        return SignFlip(p=math.nan, floor=math.nan, exact=True, untied=0)
    untied = values[values != 0]
    if untied.size <= ENUMERATED:
        p = float(exact_p(untied)) if untied.size else 1.0
        return SignFlip(p=p, floor=p_floor(untied.size), exact=True, untied=int(untied.size))
    floor = max(p_floor(untied.size), 1 / (DRAWS + 1))
    return SignFlip(p=drawn_p(untied), floor=floor, exact=False, untied=int(untied.size))


def exact_p(differences: ArrayLike) -> Floats:
    """Sign-flip p values by enumeration, for many samples of one size at once.

    Args:
        differences: shape (..., n) with 1 <= n <= 20, finite.

    Returns:
        Shape (...), the p values.

    Raises:
        ValueError: n outside 1 to 20.

    Example:
        >>> exact_p([[1.0, 2.0, 3.0], [1.0, -2.0, 3.0]]).tolist()
        [0.25, 0.75]
    """
    values = np.asarray(differences, dtype=np.float64)
    n = values.shape[-1]
    if not 1 <= n <= ENUMERATED:
        raise ValueError(
            f"all signs are enumerated for 1 to {ENUMERATED} differences, got {n}; use sign_flip"
        )
    rows = values.reshape(-1, n)
    out = np.empty(len(rows))
    step = max(1, _CHUNK >> (n - 1))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        # Flipping all signs changes no size, so the first sign may stay.
        sums = np.abs(signed_sums(part[:, 1:]) + part[:, :1])
        out[start : start + step] = (sums >= _threshold(part)[:, None]).mean(axis=-1)
    return out.reshape(values.shape[:-1])


def drawn_p(differences: ArrayLike, draws: int = DRAWS) -> float:
    """Sign-flip p value by drawing signs, the observed ones included.

        p = (1 + #{draws with |Σ ε_i d_i| >= |Σ d_i|}) / (1 + draws)

    Args:
        differences: shape (n,), finite.
        draws: number of drawn sign vectors, >= 1.

    Returns:
        The p value, at least 1 / (1 + draws).

    Example:
        >>> drawn_p([1.0] * 25, draws=999)
        0.001
    """
    values = np.asarray(differences, dtype=np.float64)
    hits = int((np.abs(_drawn_sums(values, draws)) >= _threshold(values)).sum())
    return (1 + hits) / (1 + draws)


def one_sided_p(differences: ArrayLike) -> float:
    """One-sided sign-flip p value of a mean above zero.

        p = #{ε in {−1, 1}^n : Σ ε_i d_i >= Σ d_i} / 2^n

    The null hypothesis is a mean of at most zero, of differences that are symmetric around it. Beyond 20
    untied differences signs are drawn, as in `sign_flip`.

    Args:
        differences: shape (n,), finite.

    Returns:
        The p value, at least 1 / 2^n; 1 without any difference.

    Example:
        >>> one_sided_p([1.0, 2.0, 0.5, 1.5, 1.0]), one_sided_p([1.0, 2.0, -3.5])
        (0.03125, 0.625)
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    if values.size == 0:
        return 1.0
    total, slack = float(values.sum()), _ROUNDING * float(np.abs(values).sum())
    if values.size <= ENUMERATED:
        return float((signed_sums(values) >= total - slack).mean())
    return (1 + int((_drawn_sums(values, DRAWS) >= total - slack).sum())) / (1 + DRAWS)


def p_floor(untied: int) -> float:
    """The smallest p value of the exact test with this many untied pairs: 2 / 2^n, and 1 without any.

    Args:
        untied: number of differences that are not zero, >= 0.

    Returns:
        The floor in (0, 1].

    Example:
        >>> p_floor(5), p_floor(6), p_floor(0)
        (0.0625, 0.03125, 1.0)
    """
    return math.ldexp(1.0, min(0, 1 - untied))


def attainable_level(untied: int, alpha: float) -> float:
    """The largest p value below alpha that the exact test can give: the error rate that it really spends.

    Args:
        untied: number of differences that are not zero, >= 0.
        alpha: the nominal error rate, in (0, 1).

    Returns:
        A multiple of 2 / 2^n below alpha, 0 when there is none.

    Example:
        >>> attainable_level(5, 0.05), attainable_level(6, 0.05), attainable_level(9, 0.05)
        (0.0, 0.03125, 0.046875)
    """
    if untied > 50:  # steps finer than a float resolves
        return alpha
    floor = p_floor(untied)
    return (math.ceil(alpha / floor) - 1) * floor


def pairs_to_reach(alpha: float) -> int:
    """The smallest number of untied pairs with which the exact test can give p < alpha.

    Args:
        alpha: the error rate, in (0, 1).

    Returns:
        The smallest n with 2 / 2^n < alpha.

    Example:
        >>> pairs_to_reach(0.05), pairs_to_reach(0.05 / 18)
        (6, 10)
    """
    return 1 + math.floor(-math.log2(alpha)) + 1


def finite_axis(differences: ArrayLike) -> Floats:
    """Differences as an array, refused where they are not one axis of finite numbers.

    Args:
        differences: shape (n,).

    Raises:
        ValueError: another shape, or a value that is not finite.

    Example:
        >>> finite_axis([1, 2]).tolist()
        [1.0, 2.0]
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(
            f"the sign-flip test takes one axis of finite differences, got shape {values.shape} "
            f"with {int((~np.isfinite(values)).sum())} values that are not finite; "
            "drop or score those runs first"
        )
    return values


def signed_sums(values: Floats) -> Floats:
    """All 2^n sums Σ ±v_i over the last axis; bit i of an index says whether v_i is subtracted.

    Args:
        values: shape (..., n).

    Returns:
        Shape (..., 2^n).

    Example:
        >>> signed_sums(np.array([1.0, 10.0])).tolist()
        [11.0, 9.0, -9.0, -11.0]
    """
    sums = np.zeros((*values.shape[:-1], 1))
    for i in range(values.shape[-1]):
        value = values[..., i : i + 1]
        sums = np.concatenate([sums + value, sums - value], axis=-1)
    return sums


def _drawn_sums(values: Floats, draws: int) -> Floats:
    """Sums Σ ±v_i with drawn signs, shape (draws,); the same signs for every sample of one size."""
    rng = np.random.default_rng(_DRAW_SEED)
    sums = np.zeros(draws)
    # Eight signs are one byte: its 256 signed sums are tabulated once and looked up per draw.
    for start in range(0, values.size, 8):
        table = signed_sums(values[start : start + 8])
        sums += table[rng.integers(0, table.size, size=draws, dtype=np.uint8)]
    return sums


def _threshold(values: Floats) -> Floats:
    """The observed size of the sum, less what rounding may have added."""
    slack: Floats = np.abs(values.sum(axis=-1)) - _ROUNDING * np.abs(values).sum(axis=-1)
    return slack
