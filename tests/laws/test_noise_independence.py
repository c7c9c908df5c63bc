"""Streams know nothing of each other: names, seeds, steps, lags, lanes. False alarms: 1e-6 a test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dither.core import draws as draws_module
from dither.core.draws import Purpose, gaussian, random_words, stream_key, uniform
from dither.core.statistics import BLOCK

RATE = 1e-6
N = 1 << 18
NAMES = [f"encoder.layer.{i}.weight" for i in range(12)]


def correlations(rows: np.ndarray) -> np.ndarray:
    """Correlations of all pairs of rows, in standard deviations."""
    return np.corrcoef(rows)[np.triu_indices(len(rows), 1)] * np.sqrt(rows.shape[1])


def limit(tests: int) -> float:
    return float(stats.norm.isf(RATE / tests / 2))


@pytest.mark.parametrize("law", [uniform, gaussian])
@pytest.mark.parametrize("what", ["names", "seeds", "steps", "families", "bits of the seed"])
def test_streams_are_uncorrelated(law, what: str) -> None:
    """Every pair of streams, by correlation and by correlation of squares; Bonferroni over the pairs."""
    name = NAMES[0]
    streams = {
        "names": [(stream_key(0, "noisytune", other), 0) for other in NAMES],
        "seeds": [(stream_key(seed, "noisytune", name), 0) for seed in range(12)],
        "steps": [(stream_key(0, "pats", name), step) for step in (0, 1, 2, 3, 4, 8, 2**16, 2**32 - 1)],
        "families": [(stream_key(0, family, name), 0) for family in ("noisytune", "pats")],
        "bits of the seed": [(stream_key(2**bit, "pats", name), 0) for bit in range(0, 64, 7)],
    }[what]
    rows = np.stack([law(key, 0, N // 4, step=step).numpy() for key, step in streams]).astype(np.float64)
    pairs = len(rows) * (len(rows) - 1) // 2
    for found in (correlations(rows), correlations(rows**2)):
        assert np.abs(found).max() < limit(2 * pairs)


LAGS = [1, 2, 3, 4, 5, 7, 8, 16, 64, 768, BLOCK, 4 * draws_module._CHUNK]


@pytest.mark.parametrize("law", [uniform, gaussian])
def test_lags_are_uncorrelated(law) -> None:
    """Neighbours, lanes, rows of a matrix, blocks and chunks; Bonferroni over lags and two powers."""
    values = law(stream_key(3, "noisytune", NAMES[0]), 1, N + max(LAGS)).double().numpy()
    for lag in LAGS:
        for power in (1, 2):
            pair = np.stack((values[:N], values[lag : lag + N])) ** power
            assert np.abs(correlations(pair)).max() < limit(2 * len(LAGS)), f"lag {lag}, power {power}"


def test_neighbours_fill_the_square_evenly() -> None:
    """A chi-square test on 64 × 64 cells of (u_i, u_{i+1}) with disjoint pairs, at RATE."""
    values = uniform(stream_key(4, "noisytune", NAMES[0]), 0, 2 * N).numpy().reshape(-1, 2)
    cells = np.floor((values + 0.5) * 64).astype(int)
    counts = np.bincount(cells[:, 0] * 64 + cells[:, 1], minlength=4096)
    assert stats.chisquare(counts).pvalue > RATE


def test_rounding_words_are_independent_of_the_noise() -> None:
    """Noise and rounding of an element share key, index and step: only the purpose differs. At RATE."""
    key = stream_key(5, "noisytune", NAMES[0])
    noise = uniform(key, 0, N).double().numpy()
    words = random_words(key, 0, N, purpose=Purpose.ROUNDING).double().numpy()
    assert np.abs(correlations(np.stack((noise, words)))).max() < limit(1)
    assert not set(random_words(key, 0, 64).tolist()) & set(words[:64].astype(int).tolist())


def test_a_word_is_no_more_frequent_over_streams_than_within_one() -> None:
    """The first draw of 4096 names is uniform: keys of similar texts do not cluster. KS at RATE."""
    first = [uniform(stream_key(0, "noisytune", f"layer.{i}"), 0, 1).item() for i in range(4096)]
    assert stats.kstest(first, stats.uniform(-0.5, 1.0).cdf).pvalue > RATE
