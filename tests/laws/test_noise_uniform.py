"""The law of the uniform draw: support, moments, distribution, bits. Each test's false-alarm rate is 1e-6."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dither.core.draws import random_words, stream_key, uniform

RATE = 1e-6
N = 1 << 20
STREAMS = [(0, "noisytune", "encoder.weight", 0), (2**64 - 1, "pats", "head:classifier.weight", 2**32 - 1)]


def z_limit(tests: int = 1) -> float:
    """What a standard normal variable exceeds in size with probability RATE / tests."""
    return float(stats.norm.isf(RATE / tests / 2))


@pytest.fixture(scope="module", params=STREAMS, ids=["first", "last"])
def draws(request: pytest.FixtureRequest) -> np.ndarray:
    seed, family, name, step = request.param
    return uniform(stream_key(seed, family, name), 5, N, step=step).double().numpy()


def test_support_is_the_open_interval_of_odd_multiples(draws: np.ndarray) -> None:
    """Certain: no false alarm."""
    units = draws * 2**25
    assert np.all(units == np.round(units))
    assert np.all(units % 2 == 1)
    assert np.all(np.abs(units) <= 2**24 - 1)


@pytest.mark.parametrize("power", [1, 2, 3, 4, 6])
def test_moments(draws: np.ndarray, power: int) -> None:
    """E u^k = 2^-k / (k+1) for even k, 0 for odd ones; a z-test of each at RATE."""
    expected = 0.5**power / (power + 1) if power % 2 == 0 else 0.0
    spread = np.sqrt(0.5 ** (2 * power) / (2 * power + 1) - expected**2)
    z = (np.mean(draws**power) - expected) / spread * np.sqrt(N)
    assert abs(z) < z_limit()


def test_distribution(draws: np.ndarray) -> None:
    """Kolmogorov-Smirnov at RATE."""
    assert stats.kstest(draws, stats.uniform(-0.5, 1.0).cdf).pvalue > RATE


def test_variance_per_lane(draws: np.ndarray) -> None:
    """Each lane alone has variance 1/12; Bonferroni over four z-tests keeps RATE in all."""
    for lane in range(4):
        own = draws[lane::4]
        z = (np.mean(own**2) - 1 / 12) / np.sqrt(1 / 180) * np.sqrt(len(own))
        assert abs(z) < z_limit(tests=4)


@pytest.mark.parametrize("stream", STREAMS, ids=["first", "last"])
def test_every_bit_of_the_words_is_fair(stream: tuple[int, str, str, int]) -> None:
    """The 32 bits in each of the 4 lanes; Bonferroni over 128 z-tests keeps RATE in all."""
    seed, family, name, step = stream
    words = random_words(stream_key(seed, family, name), 0, N, step=step).numpy().reshape(-1, 4)
    for bit in range(32):
        shares = (words >> bit & 1).mean(axis=0)
        z = (shares - 0.5) * 2 * np.sqrt(len(words))
        assert np.abs(z).max() < z_limit(tests=128), f"bit {bit}"
