"""Concentration: known answers, brute force, and the sketch's bounds against the exact values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dither.core.concentration import Concentration, Sketch, concentration
from dither.core.histogram import EDGES

SPREADS = [0.01, 0.5, 2.0, 5.0]


def lognormal(n: int, sigma: float, seed: int = 0, zeros: float = 0.0) -> torch.Tensor:
    """Values like sensitivities: small, over decades, some exactly 0."""
    rng = np.random.default_rng(seed)
    values = 1e-6 * np.exp(rng.normal(0, sigma, n)) * (rng.random(n) >= zeros)
    return torch.from_numpy(values.astype(np.float32))


def brute(values: torch.Tensor) -> tuple[float, float, float]:
    """Gini, share and entropy by their definitions, in float64."""
    x = values.double().numpy()
    p = x[x > 0] / x.sum()
    gini = np.abs(x[:, None] - x[None, :]).sum() / (2 * x.size**2 * x.mean())
    return gini, float((x < x.mean() / 100).mean()), float(-(p * np.log(p)).sum() / math.log(x.size))


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_equal_values_are_not_concentrated(n):
    found = concentration(torch.full((n,), 0.3))
    assert (found.gini, found.share) == (pytest.approx(0, abs=1e-12), 0)
    assert found.entropy == pytest.approx(1, abs=1e-12)
    assert found.mean == pytest.approx(0.3, rel=1e-6)


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_one_value_that_has_all_is_as_concentrated_as_can_be(n):
    values = torch.zeros(n)
    values[n // 2] = 7.0
    for found in (concentration(values), Sketch.of(values).concentration()):
        assert found.gini == pytest.approx((n - 1) / n, abs=1e-12)
        assert found.entropy == pytest.approx(0, abs=1e-12)
        assert (found.count, found.zeros, found.share) == (n, n - 1, (n - 1) / n)


@pytest.mark.parametrize("zeros", [0.0, 0.7])
@pytest.mark.parametrize("sigma", SPREADS)
def test_the_exact_values_are_those_of_the_definitions(sigma, zeros):
    values = lognormal(700, sigma, zeros=zeros)
    found = concentration(values.reshape(7, 100))
    assert (found.gini, found.share, found.entropy) == pytest.approx(brute(values), rel=1e-10)
    assert found.gini_error == found.share_error == 0


@pytest.mark.parametrize("zeros", [0.0, 0.7])
@pytest.mark.parametrize("sigma", SPREADS)
@pytest.mark.parametrize("n", [1, 5, 200_000])
def test_the_sketch_is_within_its_bounds(n, sigma, zeros):
    values = lognormal(n, sigma, seed=n, zeros=zeros)
    values[0] = 1e-6  # not all are 0
    exact, found = concentration(values), Sketch.of(values).concentration()
    assert abs(found.gini - exact.gini) <= found.gini_error + 1e-12
    assert abs(found.share - exact.share) <= found.share_error + 1e-12
    assert found.gini_error < 2.5e-4  # an eighth of a bin's width, where all values are in one bin
    assert found.entropy == pytest.approx(exact.entropy, abs=1e-12, nan_ok=True)
    assert (found.count, found.zeros, found.mean) == (exact.count, exact.zeros, exact.mean)
    if n > 5 and sigma >= 0.5:
        assert found.gini_error < 2e-6
        assert found.share_error < 1e-3


def test_the_bound_of_gini_is_reached():
    low, high = 1.0, 1.0 + 1 / 512 - 2**-23  # both ends of one bin
    values = torch.tensor([low, high] * 50)
    found, exact = Sketch.of(values).concentration(), concentration(values)
    assert exact.gini > 0
    assert found.gini + found.gini_error == pytest.approx(exact.gini, rel=1e-3)


def test_the_limit_of_the_share_is_not_below_itself():
    values = torch.tensor([1.0] * 99 + [9901.0])  # the mean is 100
    assert concentration(values).share == 0
    found = Sketch.of(values).concentration()
    assert abs(found.share) <= found.share_error


@pytest.mark.parametrize("pieces", [2, 3, 17])
def test_sketches_of_parts_add_up(pieces):
    values = lognormal(5000, 3.0, zeros=0.2)
    whole = Sketch.of(values)
    merged = sum((Sketch.of(part) for part in torch.tensor_split(values, pieces)), Sketch.empty())
    assert np.array_equal(merged.counts, whole.counts)
    assert np.array_equal(merged.histogram, whole.histogram)
    assert (merged.zeros, merged.nonfinite) == (whole.zeros, whole.nonfinite)
    one, other = merged.concentration(), whole.concentration()
    assert (one.gini, one.share, one.entropy) == pytest.approx(
        (other.gini, other.share, other.entropy), rel=1e-12
    )


def test_blocks_do_not_matter(monkeypatch):
    values = lognormal(5000, 3.0, zeros=0.2)
    whole = Sketch.of(values).concentration()
    monkeypatch.setattr("dither.core.concentration._BLOCK", 77)
    found = Sketch.of(values).concentration()
    assert (found.histogram, found.zeros) == (whole.histogram, whole.zeros)
    assert found.gini == pytest.approx(whole.gini, rel=1e-12)


def test_the_histogram_counts_by_thirds_of_a_decade():
    values = lognormal(3000, 4.0, zeros=0.3)
    values[:3] = torch.tensor([1e-30, 1e5, 100.0])
    found = concentration(values)
    expected = np.histogram(values.double().numpy(), EDGES)[0]
    inside = np.array(found.histogram[1:-1])
    assert np.array_equal(inside[:-1], expected[:-1])
    assert inside.sum() + found.histogram[0] + found.histogram[-1] + found.zeros == found.count
    assert (found.histogram[0], found.histogram[-1]) == (1, 2)  # the last edge itself is above the last bin
    assert (len(EDGES), EDGES[0], EDGES[3], EDGES[-1]) == pytest.approx((61, 1e-18, 1e-17, 100.0))


@pytest.mark.parametrize("measure", [concentration, lambda values: Sketch.of(values).concentration()])
@pytest.mark.parametrize("values", [torch.zeros(4), torch.tensor([1.0, math.nan]), torch.tensor([math.inf])])
def test_where_nothing_can_be_shared_there_is_no_number(measure, values):
    found: Concentration = measure(values)
    assert all(math.isnan(value) for value in (found.gini, found.share, found.entropy))
    assert found.nonfinite == int((~values.isfinite()).sum())
    assert found.count == values.numel()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_count_as_float32(dtype):
    values = lognormal(300, 1.0).mul(1e6).to(dtype)
    assert concentration(values) == concentration(values.float())


def test_an_empty_tensor_and_a_single_value():
    assert concentration(torch.zeros(0)).count == 0
    found = concentration(torch.tensor(3.0))
    assert (found.gini, found.share, math.isnan(found.entropy)) == (0, 0, True)


def test_negative_values_are_refused():
    for measure in (concentration, Sketch.of):
        with pytest.raises(ValueError, match=r"values hold -2\.0; they must be >= 0 .* take \|w·g\|"):
            measure(torch.tensor([1.0, -2.0, math.nan]))
