"""Exact sums over a logical tensor: against fractions; any split, order, layout and threads give the same."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from dither.core.statistics import (
    BLOCK,
    SQUARE_LIMBS,
    TOTAL_LIMBS,
    UNIT,
    Moments,
    combine,
    float32,
    integer,
    limbs,
    moments,
    total,
)

SIZES = [1, 2, 3, 63, 64, 65, 4095, 4096, 4097, 3 * BLOCK + 5]
LARGEST, SMALLEST_NORMAL, SMALLEST = 3.4028234663852886e38, 2.0**-126, 2.0**-149
CHUNK = 16 * BLOCK


def sample(n: int, mean: float = 0.3, std: float = 0.02) -> Tensor:
    return torch.from_numpy(np.random.default_rng(n).normal(mean, std, n).astype(np.float32))


def scattered(n: int) -> Tensor:
    """Finite numbers with all exponents that float32 has, zero and the denormals among them."""
    generator = np.random.default_rng(n)
    exponent = generator.integers(0, 255, n, dtype=np.uint32) << 23
    rest = generator.integers(0, 2**32, n, dtype=np.uint32) & 0x807FFFFF
    return torch.from_numpy((exponent | rest).view(np.float32))


def exact(values: Tensor) -> Moments:
    """The definition, in fractions."""
    fractions = [Fraction(value) for value in values.flatten().tolist()]
    sums = [sum(fractions) * 2**149, sum(value**2 for value in fractions) * 2**298]
    assert all(Fraction(number).denominator == 1 for number in sums)
    return Moments(len(fractions), *map(int, sums))


def assert_nearest_root(std: float, variance: Fraction) -> None:
    """std is a float32 number and none is nearer to sqrt(variance); a tie goes to the even one."""
    assert std == float32(std)
    below, above = (float(np.nextafter(np.float32(std), np.float32(way))) for way in (-math.inf, math.inf))
    lower, upper = (Fraction(std) + Fraction(below)) / 2, (Fraction(std) + Fraction(above)) / 2
    assert max(lower, Fraction(0)) ** 2 <= variance <= upper**2
    if variance in (lower**2, upper**2):
        assert np.float32(std).view(np.uint32) % 2 == 0


def variance(values: Tensor) -> Fraction:
    fractions = [Fraction(value) for value in values.flatten().tolist()]
    mean = sum(fractions) / len(fractions)
    return sum(((value - mean) ** 2 for value in fractions), Fraction(0)) / (len(fractions) - 1)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("draw", [sample, scattered])
def test_the_sums_are_exact(n: int, draw) -> None:
    values = draw(n)
    found = moments(values)
    assert found == exact(values)
    assert total(values) == found.total
    assert found.mean == float(found.total) * UNIT / n
    if n > 1:
        assert_nearest_root(found.std, variance(values))


def test_denormals_and_the_largest_numbers_count_in_full() -> None:
    values = torch.tensor([SMALLEST, -3 * SMALLEST, SMALLEST_NORMAL, LARGEST, LARGEST, -0.0, 0.0])
    found = moments(values)
    assert found == exact(values)
    assert found.total == -2 + 2**23 + 2 * (2**24 - 1) * 2**253
    assert found.squares == 1 + 9 + 2**46 + 2 * ((2**24 - 1) * 2**253) ** 2
    assert moments(torch.full((5 * BLOCK,), LARGEST)).total == 5 * BLOCK * (2**24 - 1) * 2**253


@pytest.mark.parametrize("pieces", [[1, 2, 3], [CHUNK], [CHUNK + 1], [5000] * 20, [0, 70_000, 0]])
def test_any_split_gives_the_same(pieces: list[int]) -> None:
    values, parts, at = scattered(2 * CHUNK + 11), [], 0
    for piece in pieces:
        parts.append(moments(values[at : at + piece]))
        at += piece
    parts.append(moments(values[at:]))
    whole = moments(values)
    assert combine(parts) == combine(parts[::-1]) == whole
    assert parts[0] + combine(parts[1:]) == whole
    assert combine(parts).std == whole.std


@pytest.mark.parametrize("seed", range(3))
def test_any_order_gives_the_same(seed: int) -> None:
    values = scattered(CHUNK + 999)
    order = np.random.default_rng(seed).permutation(len(values))
    assert moments(values[torch.from_numpy(order)]) == moments(values) == moments(values.sort().values)


@pytest.mark.parametrize("shape", [(300, 71), (70, 300), (65, 129), (11, 13, 17)])
def test_any_layout_gives_the_same(shape: tuple[int, ...]) -> None:
    plain = scattered(math.prod(shape)).view(shape)
    transposed = plain.transpose(0, -1).contiguous().transpose(0, -1)
    sliced = torch.zeros(shape[0] * 2, *shape[1:-1], shape[-1] + 3)
    sliced[::2, ..., 1:-2] = plain
    assert not transposed.is_contiguous()
    assert moments(transposed) == moments(plain) == moments(sliced[::2, ..., 1:-2])
    assert moments(plain[:1].expand(9, *shape[1:])) == combine([moments(plain[:1])] * 9)


def test_any_number_of_threads_gives_the_same() -> None:
    values, threads = scattered(40 * BLOCK + 17), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(moments(values))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_tensor_is_left_alone(dtype: torch.dtype) -> None:
    values = sample(BLOCK).to(dtype)
    before = values.clone()
    found = moments(values)
    assert torch.equal(values, before)
    assert found == moments(values.double()) == exact(values.float())


def test_float64_counts_as_the_nearest_float32() -> None:
    wide = [
        0.1,
        1 + 2.0**-24,
        1 + 3 * 2.0**-24,
        2.0**-150,
        1.5 * 2.0**-149,
        1e-300,
        -(2.0**-126) * (1 - 2.0**-30),
    ]
    assert moments(torch.tensor(wide, dtype=torch.float64)) == exact(torch.tensor([float32(x) for x in wide]))
    beyond = torch.tensor([1e39, -(2.0**128 - 2.0**103), LARGEST * (1 + 2.0**-26)], dtype=torch.float64)
    assert moments(beyond) == Moments(3, *astuple_sums(LARGEST), nonfinite=2)


def astuple_sums(value: float) -> tuple[int, int]:
    return int(Fraction(value) * 2**149), int(Fraction(value) ** 2 * 2**298)


@pytest.mark.parametrize("mean", [100.0, 1e4, -1e30])
@pytest.mark.parametrize("n", [2, 3, 64, 4097, CHUNK + 3])
def test_a_huge_mean_with_a_tiny_spread(n: int, mean: float) -> None:
    """The spread is a few units in the last place of the mean: a one-pass formula in float64 gives noise."""
    steps = np.random.default_rng(n).integers(-3, 4, n)
    values = torch.from_numpy((np.float32(mean) * (1 + steps * 2.0**-23)).astype(np.float32))
    assert_nearest_root(moments(values).std, variance(values))
    assert moments(values).std == pytest.approx(np.std(values.double().numpy(), ddof=1), rel=1e-6)


def test_the_spread_is_rounded_once() -> None:
    """Its root lies above the middle of two float32 numbers by less than float64 can tell."""
    large = 2.0**23 + 3  # eighteen of ±large among 33: three quarters of it, a number of 25 bits
    for tiny, way in ((2.0**-20, "above"), (0.0, "even")):
        values = torch.tensor([large, -large] * 9 + [tiny, -tiny] + [0.0] * 13)
        exactly = variance(values)
        assert (exactly > Fraction(0.75 * large) ** 2) == (way == "above")
        assert_nearest_root(moments(values).std, exactly)


def test_a_spread_beyond_float32_is_infinite_and_a_denormal_one_is_not_lost() -> None:
    assert moments(torch.tensor([LARGEST, -LARGEST])).std == math.inf
    values = torch.tensor([0.0, SMALLEST, 5 * SMALLEST, 2 * SMALLEST])
    assert moments(values).std == 2 * SMALLEST
    assert_nearest_root(moments(values).std, variance(values))


def test_empty_single_and_scalar_tensors() -> None:
    assert moments(torch.empty(0, 4)) == Moments() == combine([])
    assert total(torch.empty(0)) == 0
    assert (Moments().mean, Moments().std) == (0.0, 0.0)
    for one in (torch.tensor(2.5), torch.tensor([2.5])):
        assert moments(one) == Moments(1, *astuple_sums(2.5))
        assert (moments(one).mean, moments(one).std) == (2.5, 0.0)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3e38, SMALLEST, LARGEST])
@pytest.mark.parametrize("n", [2, 3, 7, 3 * BLOCK + 11])
def test_a_constant_tensor_has_no_spread_at_all(value: float, n: int) -> None:
    found = moments(torch.full((n,), value))
    assert found.std == 0.0
    assert found.mean == pytest.approx(float32(value), rel=1e-15, abs=0.0)


@pytest.mark.parametrize("bad", [[math.nan], [math.inf], [-math.inf], [math.nan, math.inf, -math.nan]])
@pytest.mark.parametrize("at", [0, BLOCK, CHUNK + 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_what_is_not_finite_is_counted_and_in_no_sum(bad: list[float], at: int, dtype: torch.dtype) -> None:
    values = sample(CHUNK + 10).to(dtype)
    values[at : at + len(bad)] = torch.tensor(bad).to(dtype)
    rest = moments(torch.cat((values[:at], values[at + len(bad) :])))
    assert moments(values) == rest + Moments(count=len(bad), nonfinite=len(bad))
    assert f"nonfinite={len(bad)}" in repr(moments(values))


@pytest.mark.parametrize("count", [3, TOTAL_LIMBS, SQUARE_LIMBS])
def test_limbs_hold_any_sum(count: int) -> None:
    largest = 2 ** (32 * count - 2) - 1
    for number in (0, 1, -1, 2**32, -(2**32), 2**63, -(2**64) - 5, largest, -largest):
        low = limbs(number, count)
        assert (len(low), integer(low)) == (count, number)
        assert all(0 <= limb < 2**32 for limb in low[:-1])
        assert -(2**63) <= low[-1] < 2**63
    assert integer([-1, 1]) == 2**32 - 1  # limbs need not be reduced


def test_the_limbs_are_wide_enough() -> None:
    """2^64 of the largest number, in the last limb of a signed 64-bit number."""
    for bits, count in ((277, TOTAL_LIMBS), (554, SQUARE_LIMBS)):
        assert -(2**63) < limbs(-(2 ** (bits + 64)), count)[-1] <= limbs(2 ** (bits + 64), count)[-1] < 2**63
