"""What a comparison finds that ends once it is resolved, and how many seeds that takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dither.stats.boundaries import nominal_level
from dither.stats.signflip import attainable_level, exact_p
from dither.stats.spending import LookedAt, Spending, spent

# Simulated comparisons: a power of 80 % is good to 0.6 %.
_TRIALS = 4_000
_SEED = 20_261_130
_GREATEST = 20.0  # effect in standard deviations
_FEW = 10  # seeds whose signs are all flipped; of more the t test rejects as often


@dataclass(frozen=True)
class Ending:
    """How a comparison ends.

    Attributes:
        power: in which part of cases the effect is resolved.
        seeds: on average, when it ends.
    """

    power: float
    seeds: float


def ending(effect: float, looks: Sequence[LookedAt], alpha: float = 0.05) -> Ending:
    """How often an effect is resolved by some look, and after how many seeds on average.

    Simulated with a fixed seed: normal differences, and at each look a test at its nominal level
    (`dither.stats.boundaries.nominal_level`): sign flips of ten seeds or fewer, t of more. Real verdicts,
    which need sequential sign flips and the interval, find the same within two percent.

    Args:
        effect: the mean difference in standard deviations of the differences; its sign does not matter.
        looks: at which the comparison ends if the effect is resolved, the last one in any case.
        alpha: of one test; after Holm with m tests alpha / m.

    Example:
        >>> looks = [LookedAt(n, 24, until_resolved=True) for n in range(8, 25, 2)]
        >>> found = ending(1.0, looks)
        >>> round(found.power, 2), round(found.seeds)
        (0.99, 12)
    """
    return _ended(_statistics(tuple(looks), alpha), abs(effect))


def smallest_effect(looks: Sequence[LookedAt], alpha: float = 0.05, power: float = 0.8) -> float:
    """The effect that some look resolves with this power, in standard deviations of the differences.

    Args:
        looks: as in `ending`.
        alpha: likewise.
        power: in (alpha, 1).

    Returns:
        The effect; infinite where no look can resolve anything.

    Example:
        >>> looks = [LookedAt(n, 24, until_resolved=True) for n in range(8, 25, 2)]
        >>> 0.6 < smallest_effect(looks) < 0.75
        True
    """
    paths = _statistics(tuple(looks), alpha)
    low, high = 0.0, _GREATEST
    if _ended(paths, high).power < power:
        return math.inf
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if _ended(paths, middle).power >= power else (middle, high)
    return high


@dataclass(frozen=True)
class _Paths:
    """Simulated differences without an effect; the looks at them, their means and errors, and the levels."""

    samples: NDArray[np.float64]
    seeds: tuple[int, ...]
    means: NDArray[np.float64]
    errors: NDArray[np.float64]
    levels: tuple[float, ...]


@lru_cache(maxsize=16)
def _statistics(looks: tuple[LookedAt, ...], alpha: float) -> _Paths:
    spending = spent(looks)
    samples = np.random.default_rng(_SEED).normal(size=(_TRIALS, spending.seeds[-1]))
    means, errors, levels = [], [], []
    for at, n in enumerate(spending.seeds, start=1):
        part = samples[:, :n]
        means.append(part.mean(axis=1))
        errors.append(part.std(axis=1, ddof=1) / math.sqrt(n) if n > 1 else np.full(_TRIALS, math.inf))
        levels.append(nominal_level(Spending(spending.seeds[:at], spending.shares[:at]), alpha))
    return _Paths(samples, spending.seeds, np.stack(means), np.stack(errors), tuple(levels))


def _ended(paths: _Paths, effect: float) -> Ending:
    rejects = np.stack([_rejects(paths, at, effect) for at in range(len(paths.seeds))])
    found = rejects.any(axis=0)
    seeds = np.where(found, np.array(paths.seeds)[rejects.argmax(axis=0)], paths.seeds[-1])
    return Ending(float(found.mean()), float(seeds.mean()))


def _rejects(paths: _Paths, at: int, effect: float) -> NDArray[np.bool_]:
    """Which of the simulated comparisons a look resolves in the right direction."""
    n, level = paths.seeds[at], paths.levels[at]
    if n > 50 or attainable_level(n, level) > 0:
        means = paths.means[at] + effect
        by_t = means > float(special.stdtrit(n - 1, 1 - level / 2)) * paths.errors[at]
        if n > _FEW:
            return by_t
        by_signs: NDArray[np.bool_] = exact_p(paths.samples[:, :n] + effect) < level
        return by_signs & by_t
    return np.zeros(_TRIALS, dtype=np.bool_)
