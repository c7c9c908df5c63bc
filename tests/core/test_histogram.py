"""Counts over fixed logarithmic bins, against a loop, and that those of parts add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dither.core import histogram
from dither.core.histogram import COLUMNS, EDGES, LogCounts, dense, log_quantile


def by_loop(values: torch.Tensor) -> tuple[int, int, list[int]]:
    """Nonfinite, zeros, and the bins, one value after the other."""
    nonfinite, zeros, bins = 0, 0, [0] * (len(EDGES) + 1)
    for value in values.float().reshape(-1).tolist():
        if not math.isfinite(value):
            nonfinite += 1
        elif value == 0:
            zeros += 1
        else:
            bins[sum(value >= edge for edge in EDGES)] += 1
    return nonfinite, zeros, bins


def spread(n: int, seed: int = 0) -> torch.Tensor:
    """Values over more decades than there are bins, some of them 0."""
    rng = np.random.default_rng(seed)
    values = 10.0 ** rng.uniform(-24, 6, n) * (rng.random(n) < 0.9)
    return torch.from_numpy(values.astype(np.float32))


def at_the_edges() -> torch.Tensor:
    """The float32 numbers around each edge, and what is no ordinary number."""
    edges = EDGES.astype(np.float32)
    near = [edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(np.inf))]
    odd = np.array([0.0, -0.0, np.inf, np.nan, 1e-45, 3e-39, 3.4e38], np.float32)
    negative_nan = np.array([0xFFC00000], np.uint32).view(np.float32)
    return torch.from_numpy(np.concatenate([*near, odd, negative_nan]))


@pytest.mark.parametrize(
    "values", [spread(5000), at_the_edges(), torch.zeros(7), torch.zeros(0)], ids=lambda one: str(one.numel())
)
def test_counts_are_those_of_a_loop(values):
    found = LogCounts.of(values)
    nonfinite, zeros, bins = by_loop(values)
    assert (found.nonfinite, found.zeros, found.bins.tolist()) == (nonfinite, zeros, bins)
    assert found.count == values.numel()
    assert found.row.shape == (COLUMNS,)
    assert dense(found.sparse()).tolist() == bins


def test_the_mean_is_over_zeros_too_and_unknown_where_one_value_is():
    values = spread(1000)
    assert LogCounts.of(values).mean == pytest.approx(float(values.double().mean()), rel=1e-12)
    one = torch.cat([values, torch.tensor([math.inf])])
    assert math.isnan(LogCounts.of(one).mean)
    assert LogCounts.of(one).row[2] == pytest.approx(float(values.double().sum()), rel=1e-12)
    assert math.isnan(LogCounts.empty().mean)


def test_parts_add_up_to_the_whole():
    values = spread(3000)
    parts = [LogCounts.of(part) for part in values.split([1, 999, 0, 2000])]
    total = sum(parts, LogCounts.empty())
    whole = LogCounts.of(values)
    assert total.row[[0, 1, *range(3, COLUMNS)]].tolist() == whole.row[[0, 1, *range(3, COLUMNS)]].tolist()
    assert total.mean == pytest.approx(whole.mean, rel=1e-12)


def test_blocks_layouts_and_dtypes_change_nothing(monkeypatch):
    values = spread(4096).reshape(64, 64)
    whole = LogCounts.of(values)
    monkeypatch.setitem(histogram._BLOCK, "cpu", 100)
    for same in (values, values.t(), values.double()):
        found = LogCounts.of(same)
        assert found.bins.tolist() == whole.bins.tolist()
        assert found.row[2] == pytest.approx(whole.row[2], rel=1e-12)
    half = values.bfloat16()
    assert LogCounts.of(half).bins.tolist() == by_loop(half)[2]


def test_negative_values_are_refused():
    with pytest.raises(ValueError, match=r"values hold -2\.0; only values >= 0 are counted: take \|w·g\|"):
        LogCounts.of(torch.tensor([1.0, math.nan, -2.0]))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_quantile_is_within_a_third_of_a_decade(part):
    values = np.random.default_rng(1).lognormal(-12, 2.0, 4000)
    found = log_quantile(LogCounts.of(torch.from_numpy(values)).bins, part)
    exact = float(np.quantile(values, part, method="inverted_cdf"))
    assert abs(math.log10(found / exact)) <= 1 / 3
    assert abs(math.log10(found / exact)) < 0.1  # among many values it is nearer


def test_quantiles_beyond_the_bins_are_their_ends_and_of_nothing_unknown():
    assert log_quantile(LogCounts.of(torch.full((3,), 1e-30)).bins, 0.5) == EDGES[0]
    assert log_quantile(LogCounts.of(torch.full((3,), 1e4)).bins, 0.5) == EDGES[-1]
    assert math.isnan(log_quantile(LogCounts.of(torch.zeros(3)).bins, 0.5))
