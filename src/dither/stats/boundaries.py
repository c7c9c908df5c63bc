"""The nominal level of a look: at which its own test is made, so that all looks together keep theirs."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dither.stats.spending import Spending

# Steps of the integration over the sum of the differences, and where its tails are cut.
_STEPS = 240
_TAIL = 9.0
# Error rates above this are 1.
_MOST = 0.999

Floats = NDArray[np.float64]


@lru_cache(maxsize=512)
def nominal_level(spending: Spending, alpha: float, *, one_sided: bool = False) -> float:
    """The level of the last look's own test, of which an interval at that look is made.

    For normal differences, with Z_k the standardised sum at look k, the boundaries u_1, u_2, ... solve

        P(|Z_1| < u_1, ..., |Z_{k−1}| < u_{k−1}, |Z_k| >= u_k) = α · (share_k − share_{k−1})

    and the level is P(|Z_k| >= u_k). The interval value ± t(1 − level/2; n − 1) · se then misses the truth at
    any of the looks in at most α · share_k of experiments with normal differences, and hardly less. For that
    the Z's correlate like sums of n − 3 differences each: t statistics in their tails correlate less than the
    sums do, since each look has a spread of its own (with n in the place of n − 3 the intervals of many looks
    miss in .054 instead of .050; found by simulation).

    Args:
        spending: the looks and their shares.
        alpha: the error rate, in (0, 1).
        one_sided: the boundary is on one side.

    Returns:
        The level in (0, 1); α itself for a single look with the whole error rate.

    Raises:
        ValueError: alpha times the last share is not below 1.

    Example:
        >>> from dither.stats.spending import planned_once
        >>> nominal_level(planned_once(9), 0.05)
        0.05
        >>> round(nominal_level(Spending((12, 24), (0.5, 1.0)), 0.05), 4)
        0.032

    Reference:
        Armitage, McPherson & Rowe (1969), "Repeated significance tests on accumulating data",
        doi 10.2307/2343787; Jennison & Turnbull (1989), "Interim analyses: the repeated confidence interval
        approach", J. R. Statist. Soc. B 51, 305-361.
    """
    if not 0 < alpha * spending.share < 1:
        raise ValueError(f"alpha times the last share must lie in (0, 1), got {alpha!r} × {spending.share!r}")
    if len(spending.seeds) == 1:
        return alpha * spending.share
    tails = 1 if one_sided else 2
    nodes, weights = np.zeros(1), np.ones(1)  # the paths that go on: where they are, and how many
    times = [max(seeds - 3, 0.3 * seeds) for seeds in spending.seeds]
    before, spent, boundary = 0.0, 0.0, math.inf
    for time, share in zip(times, spending.shares, strict=True):
        step = math.sqrt(time - before)
        boundary = _boundary(nodes, weights, step, alpha * (share - spent), tails)
        if time == times[-1]:
            break
        edge = min(boundary, _TAIL * math.sqrt(time))
        low = -edge if tails == 2 else -_TAIL * math.sqrt(time)
        points, rule = _simpson(low, edge)
        density = np.exp(-0.5 * ((points[:, None] - nodes) / step) ** 2) / (step * math.sqrt(2 * math.pi))
        nodes, weights = points, rule * (density @ weights)
        before, spent = time, share
    return float(tails * special.ndtr(-boundary / math.sqrt(times[-1])))


def level_reached(spending: Spending, p: float, *, one_sided: bool = False) -> float:
    """The least error rate of all looks at which the last look's own test has the level p.

    The reverse of `nominal_level`: it adjusts a p value of the last look for the looks before.

    Args:
        spending: the looks and their shares.
        p: of a test at the last look, in [0, 1].
        one_sided: as in `nominal_level`.

    Returns:
        In [0, 1]; 1 where no error rate is enough.

    Example:
        >>> looks = Spending((12, 24), (0.5, 1.0))
        >>> round(level_reached(looks, nominal_level(looks, 0.03)), 6)
        0.03
    """
    if not 0 < p < 1:
        return p
    if len(spending.seeds) == 1:
        return min(1.0, p / spending.share)

    from scipy import optimize

    def excess(logarithm: float) -> float:
        return math.log(nominal_level(spending, math.exp(logarithm), one_sided=one_sided) / p)

    # What all looks together may spend is at least what the last one's own test has.
    low, high = math.log(p / spending.share), math.log(_MOST / spending.share)
    if low >= high or excess(high) <= 0:
        return 1.0
    # Nearly a straight line in logarithms, so a few steps of the secant are enough.
    return min(1.0, math.exp(optimize.brentq(excess, low - 1e-6, high, xtol=1e-7)))


def _boundary(nodes: Floats, weights: Floats, step: float, mass: float, tails: int) -> float:
    """The sum beyond which paths of this mass lie after one more step; infinite for no mass."""
    if mass <= 0:
        return math.inf

    from scipy import optimize

    def beyond(edge: float) -> float:
        upper = special.ndtr((nodes - edge) / step)
        lower = special.ndtr((-edge - nodes) / step) if tails == 2 else 0.0
        return float(weights @ (upper + lower))

    low = 0.0 if tails == 2 else float(nodes[0]) - _TAIL * step
    high = float(nodes[-1]) + 4 * _TAIL * step
    if beyond(low) <= mass:  # more than is left may be spent
        return low
    return float(optimize.brentq(lambda edge: math.log(max(beyond(edge), 1e-300) / mass), low, high))


def _simpson(low: float, high: float) -> tuple[Floats, Floats]:
    """Points between two ends, and the weights of Simpson's rule."""
    points = np.linspace(low, high, _STEPS + 1)
    weights = np.full(_STEPS + 1, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return points, weights * (high - low) / (3 * _STEPS)
