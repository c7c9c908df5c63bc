"""Moments and sums of a logical tensor: against exact arithmetic, and the same bits in every layout."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from dither.core.statistics import BLOCK, Moments, combine, float32, moments, total

SIZES = [1, 2, 3, 63, 64, 65, 4095, 4096, 4097, 3 * BLOCK + 5, 64 * BLOCK - 1, 64 * BLOCK + 1, 130 * BLOCK]


def sample(n: int, mean: float = 0.3, std: float = 0.02) -> Tensor:
    return torch.from_numpy(np.random.default_rng(n).normal(mean, std, n).astype(np.float32))


@pytest.mark.parametrize("n", SIZES)
def test_the_moments_of_many_sizes(n: int) -> None:
    values = sample(n)
    exact = values.numpy().astype(np.longdouble)
    found = moments(values)
    assert found.count == n
    assert found.mean == pytest.approx(float(exact.mean()), rel=1e-15)
    assert found.m2 == pytest.approx(float(((exact - exact.mean()) ** 2).sum()), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("n", [2, 3, 64, 4097])
def test_the_spread_is_the_exact_one_rounded_once(n: int) -> None:
    values = sample(n, mean=100.0, std=1e-3)  # a mean 10^5 spreads away: a one-pass formula fails here
    exact = [Fraction(value) for value in values.tolist()]
    mean = sum(exact) / n
    variance = sum((value - mean) ** 2 for value in exact) / (n - 1)
    std = math.isqrt(int(variance * 10**60)) / 10**30
    assert moments(values).std == float32(std)


def test_the_order_of_the_sums_is_the_documented_one() -> None:
    """Blocks of 4096 by halves, then blocks by neighbours."""
    values = sample(2 * BLOCK + 100).double()
    padded = torch.cat((values, torch.zeros(BLOCK - 100, dtype=torch.float64))).tolist()
    sums = []
    for block in range(3):
        parts = padded[block * BLOCK : (block + 1) * BLOCK]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [parts[i] + parts[half + i] for i in range(half)]
        sums.append(parts[0])
    assert total(values) == (sums[0] + sums[1]) + sums[2]


@pytest.mark.parametrize("function", [moments, total])
@pytest.mark.parametrize("shape", [(300, 71), (70, 300), (65, 129)])
def test_layouts_share_their_bits(function, shape: tuple[int, int]) -> None:
    plain = sample(shape[0] * shape[1]).view(shape)
    transposed = plain.t().contiguous().t()
    sliced = torch.zeros(shape[0] * 2, shape[1] + 3)
    sliced[::2, 1:-2] = plain
    assert not transposed.is_contiguous()
    assert function(transposed) == function(plain) == function(sliced[::2, 1:-2])


def test_threads_share_their_bits() -> None:
    values, threads = sample(40 * BLOCK + 17), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append((moments(values), total(values)))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_tensor_is_left_alone(dtype: torch.dtype) -> None:
    values = sample(BLOCK).to(dtype)
    before = values.clone()
    moments(values)
    total(values)
    assert torch.equal(values, before)
    assert moments(values) == moments(values.double())


def test_empty_single_and_scalar_tensors() -> None:
    assert moments(torch.empty(0, 4)) == Moments(0, 0.0, 0.0)
    assert total(torch.empty(0)) == 0.0
    assert moments(torch.tensor(2.5)) == Moments(1, 2.5, 0.0)
    assert moments(torch.tensor([2.5])).std == 0.0


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3e38, 1e-45])
def test_a_constant_tensor_has_no_spread_at_all(value: float) -> None:
    assert moments(torch.full((3 * BLOCK + 11,), value)).std == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("at", [0, BLOCK, 2 * BLOCK + 1])
def test_what_is_not_finite_shows(value: float, at: int) -> None:
    values = sample(2 * BLOCK + 2)
    values[at] = value
    assert not moments(values).m2 < float("inf")


def test_combining_is_by_neighbours_and_knows_the_empty() -> None:
    parts = [moments(sample(n)) for n in (5, 7, 11, 13, 17)]
    by_hand = ((parts[0] + parts[1]) + (parts[2] + parts[3])) + parts[4]
    assert combine(parts) == by_hand
    assert combine([]) == Moments(0, 0.0, 0.0)
    assert Moments(0, 0.0, 0.0) + parts[0] == parts[0] == parts[0] + Moments(0, 0.0, 0.0)
    whole = moments(torch.cat([sample(n) for n in (5, 7, 11, 13, 17)]))
    assert by_hand.std == whole.std
