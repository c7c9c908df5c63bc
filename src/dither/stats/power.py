"""What a design can detect, and how many pairs an effect needs."""

from __future__ import annotations

import math

from scipy import special

from dither.stats.signflip import attainable_level, pairs_to_reach


def minimum_detectable_effect(sd: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The mean difference that n pairs resolve with the given power.

    The effect at which the two-sided paired t test has this power, at the level that the verdict really
    spends: the sign-flip test must reject too, and its p values are multiples of 2 / 2^n. Where only n
    equal signs reject, the effect is also large enough for those: Φ(effect / sd)^n >= power. The sign-flip
    test is not quite as powerful as the t test, so a nominal 80 % is 72 to 80 % in simulations of the
    verdict, 76 to 80 % for a single test. And an sd estimated from few pairs leaves the result as
    uncertain as itself.

    Args:
        sd: standard deviation of the paired differences, points, >= 0.
        n: number of pairs, >= 0.
        alpha: two-sided error rate of one test, in (0, 1): after Holm with m tests, alpha / m.
        power: wanted probability of rejection, in (alpha, 1).

    Returns:
        Points; infinite when p cannot fall below alpha with n pairs.

    Raises:
        ValueError: a value outside its range.

    Example:
        >>> round(minimum_detectable_effect(1.5, 9), 2), minimum_detectable_effect(1.5, 5)
        (1.62, inf)

    Reference:
        Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, 2nd ed., chapter 2.
    """
    _check(sd, alpha, power)
    if n < 0:
        raise ValueError(f"n must be a number of pairs >= 0, got {n!r}")
    shift = detectable_in_sd(n, alpha, power)
    return sd * shift if math.isfinite(shift) else math.inf


def pairs_needed(sd: float, effect: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """The smallest number of pairs whose minimum detectable effect is at most ``effect``.

    Args:
        sd: standard deviation of the paired differences, points, >= 0.
        effect: the mean difference to resolve, points, not 0; its sign does not matter.
        alpha: two-sided error rate of one test, in (0, 1).
        power: wanted probability of rejection, in (alpha, 1).

    Returns:
        The number of pairs.

    Raises:
        ValueError: a value outside its range, or an effect that would take more than a million pairs.

    Example:
        >>> pairs_needed(sd=1.5, effect=1.0), pairs_needed(sd=1.5, effect=30.0)
        (20, 6)
    """
    _check(sd, alpha, power)
    size = abs(effect)
    if not 0 < size < math.inf:
        raise ValueError(f"effect must be a finite number of points other than 0, got {effect!r}")
    low, high = pairs_to_reach(alpha) - 1, pairs_to_reach(alpha)
    while sd * detectable_in_sd(high, alpha, power) > size:
        low, high = high, 2 * high
        if high > 1_000_000:
            raise ValueError(f"an effect of {effect!r} points at sd {sd!r} takes more than a million pairs")
    # More pairs never detect less, so the border can be halved in.
    while high - low > 1:
        middle = (low + high) // 2
        if sd * detectable_in_sd(middle, alpha, power) > size:
            low = middle
        else:
            high = middle
    return high


def detectable_in_sd(n: int, alpha: float, power: float = 0.8, untied: int | None = None) -> float:
    """The minimum detectable effect in standard deviations of the differences.

    Args:
        n: number of pairs, >= 0.
        alpha: two-sided error rate of one test.
        power: wanted probability of rejection.
        untied: how many of the pairs are no ties; None for all.

    Returns:
        Effect / sd; infinite when the test cannot reject.

    Example:
        >>> round(detectable_in_sd(20, 0.05), 3)
        0.66
    """
    signs = n if untied is None else untied
    level = attainable_level(signs, alpha)
    if n < 2 or level <= 0:
        return math.inf
    by_t = detectable_in_se(n - 1, level, power) / math.sqrt(n)
    if level > math.ldexp(1.0, 1 - signs):
        return by_t
    return max(by_t, float(special.ndtri(power ** (1 / n))))


def detectable_in_se(df: float, alpha: float, power: float = 0.8) -> float:
    """The shift, in standard errors, at which a two-sided t test rejects on the right side with this power.

    Solves P(T > t(1 − alpha/2; df)) = power for the noncentrality of T, a noncentral t with df degrees of
    freedom. Rejections on the wrong side, fewer than one in a thousand at 80 % power, do not count as power.

    Args:
        df: degrees of freedom, > 0; not necessarily whole.
        alpha: two-sided error rate.
        power: wanted probability of rejection.

    Returns:
        Effect / standard error.

    Example:
        >>> round(detectable_in_se(8, 0.05), 3)
        3.201
    """
    critical = float(special.stdtrit(df, 1 - alpha / 2))
    return float(special.nctdtrinc(df, 1 - power, critical))


def _check(sd: float, alpha: float, power: float) -> None:
    if not 0 <= sd < math.inf:
        raise ValueError(f"sd must be a finite standard deviation >= 0 in points, got {sd!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha!r}; 0.05 is usual")
    if not alpha < power < 1:
        raise ValueError(f"power must lie in (alpha, 1) = ({alpha!r}, 1), got {power!r}; 0.8 is usual")
