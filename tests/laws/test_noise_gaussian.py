"""The law of the Gaussian draw, N(0, 1/12). Each test's false-alarm rate is 1e-6."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from dither.core.draws import gaussian, stream_key, uniform

RATE = 1e-6
N = 1 << 20
Z = float(stats.norm.isf(RATE / 2))


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    """Scaled to variance 1."""
    key = stream_key(0, "noisytune", "encoder.weight")
    return gaussian(key, 0, N).double().numpy() * np.sqrt(12)


@pytest.mark.parametrize("power", [1, 2, 3, 4, 6])
def test_moments(draws: np.ndarray, power: int) -> None:
    """E g^k = (k−1)!! for even k, 0 for odd ones; a z-test of each."""

    def moment(k: int) -> float:
        return float(special.factorial2(k - 1)) if k % 2 == 0 else 0.0

    spread = np.sqrt(moment(2 * power) - moment(power) ** 2)
    z = (np.mean(draws**power) - moment(power)) / spread * np.sqrt(N)
    assert abs(z) < Z


def test_distribution(draws: np.ndarray) -> None:
    """Kolmogorov-Smirnov."""
    assert stats.kstest(draws, "norm").pvalue > RATE


def test_tails(draws: np.ndarray) -> None:
    """How many lie beyond three and four standard deviations: two exact binomial tests at RATE / 2."""
    for limit in (3.0, 4.0):
        count = int((np.abs(draws) > limit).sum())
        assert stats.binomtest(count, N, 2 * stats.norm.sf(limit)).pvalue > RATE / 2


def test_the_two_of_a_pair_are_independent(draws: np.ndarray) -> None:
    """Box-Muller makes cosine and sine of one radius: neither they nor their squares may be correlated.

    Ten pairs of lanes and powers; Bonferroni keeps RATE in all.
    """
    lanes = draws.reshape(-1, 4)
    limit = float(stats.norm.isf(RATE / 12 / 2))
    for power in (1, 2):
        found = np.corrcoef((lanes**power).T)[np.triu_indices(4, 1)]
        assert np.abs(found).max() * np.sqrt(len(lanes)) < limit


def test_variance_equals_that_of_the_uniform_law() -> None:
    """Both are 1/12; the difference of two independent means of squares, a z-test."""
    key = stream_key(1, "noisytune", "x")
    squares = gaussian(key, 0, N).double().square(), uniform(key, 0, N, step=1).double().square()
    z = (squares[0].mean() - squares[1].mean()) / np.sqrt((2 / 144 + 1 / 180) / N)
    assert abs(float(z)) < Z
