"""Exact sums: every backend gives the reference's integers, for any size, layout, dtype and data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from kernel_comparison import Candidate
from kernel_layouts import LAYOUTS, assert_same, normal, place, scattered
from torch import Tensor

from dither.core.statistics import Moments, moments

SIZES = [0, 1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def check(backend: Candidate, tensors: list[Tensor], layout: str = "contiguous") -> list[Moments]:
    placed = [place(values.to(backend.device), layout).view for values in tensors]
    found = backend.module.moments(placed)
    assert found == [moments(values) for values in tensors]
    for one, values in zip(placed, tensors, strict=True):
        assert_same(one, values, "the tensor was written")
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes_in_one_call(backend: Candidate, dtype: torch.dtype) -> None:
    check(backend, [normal((n,), n).to(dtype) for n in SIZES])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(backend: Candidate, layout: str, dtype: torch.dtype) -> None:
    shapes = [(), (1,), (0, 3), (5,), (70, 61), (9, 1, 11), (3, 5, 7, 11), (2, 3, 4, 5, 6), (2,) * 8]
    check(backend, [normal(shape, 1).to(dtype) for shape in shapes], layout)


@pytest.mark.parametrize("dims", [9, 11, 20])
def test_more_dimensions_than_usual(backend: Candidate, dims: int) -> None:
    shape = (3,) + (1,) * (dims - 6) + (2,) * 5
    for layout in ("contiguous", "transposed", "strided"):
        check(backend, [normal(shape, dims), normal((8,), 0)], layout)


def test_expanded_elements_count_as_often_as_they_appear(backend: Candidate) -> None:
    row = normal((7,), 0).to(backend.device)
    wide = [row.expand(300, 7), row[:1].expand(70_000), row[:, None].expand(7, 500)[:, ::3]]
    found = backend.module.moments(wide)
    assert found == [moments(one.contiguous().cpu()) for one in wide]
    assert found[1].total == 70_000 * moments(row[:1].cpu()).total


@pytest.mark.parametrize(
    "octaves", [(0, 1), (0, 2), (0, 255), (1, 3), (230, 255), (254, 255), (0, 24), (90, 130)]
)
def test_exponents_all_over_a_range(backend: Candidate, octaves: tuple[int, int]) -> None:
    check(backend, [scattered((n,), n, octaves) for n in (5, 1000, 1024, 70_001)])


@pytest.mark.parametrize("highest", [0, 1, 20, 21, 22, 23, 24, 66, 127, 253, 254])
def test_a_single_small_element_under_many_full_mantissas(backend: Candidate, highest: int) -> None:
    """The largest sums there can be, at every distance of the smallest element from them."""
    distances = [d for d in (*range(1, 30), 43, 44, 45, 65, 66, 67, 68, 127, 253) if d <= highest]
    tensors = []
    for distance in [0, *distances]:
        values = np.full(4097, 0x7FFFFF | highest << 23, np.uint32)
        values[3000] = 1 | (highest - distance) << 23
        tensors.append(torch.from_numpy(values.view(np.float32)))
    check(backend, [*tensors, torch.cat([-values for values in tensors])])


@pytest.mark.parametrize("exponent", [0, 1, 23, 100, 230, 254])
def test_many_full_mantissas_overflow_nothing(backend: Candidate, exponent: int) -> None:
    values = torch.full((300_001,), 0x7FFFFF | exponent << 23, dtype=torch.int32).view(torch.float32)
    found = check(backend, [values, -values])
    assert found[0].total == -found[1].total > 0


def test_the_window_of_exponents_moves_within_a_tensor(backend: Candidate) -> None:
    """Stretches of 500 numbers, each with its own range of ten octaves."""
    generator = np.random.default_rng(0)
    lows = generator.integers(0, 245, 60).tolist()
    parts = [scattered((500,), k, (low, low + 10)) for k, low in enumerate(lows)]
    check(backend, [torch.cat(parts), torch.cat(parts[::-1])])


def test_a_huge_mean_leaves_the_spread_exact(backend: Candidate) -> None:
    values = 1e4 + normal((20_000,), 0)
    found = check(backend, [values, values - 1e4])
    spread = np.std(values.double().numpy(), ddof=1)
    assert found[0].std == pytest.approx(spread, rel=1e-6)
    assert check(backend, [torch.full((70_001,), 0.1)])[0].std == 0.0


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_is_counted_and_in_no_sum(
    backend: Candidate, value: float, dtype: torch.dtype
) -> None:
    values = normal((5000,), 3).to(dtype)
    values[[0, 1023, 1024, 4999]] = value
    assert check(backend, [values])[0].nonfinite == 4


def test_float64_counts_as_rounded_to_float32(backend: Candidate) -> None:
    generator = np.random.default_rng(0)
    wide = generator.normal(0, 1, 3000) * 2.0 ** generator.integers(-160, 130, 3000)
    ties = [1 + 2.0**-24, 1 + 3 * 2.0**-24, 2.0**-150, 3 * 2.0**-150, 1e300, 3.4028235677973366e38]
    found = check(backend, [torch.from_numpy(np.concatenate((wide, ties)))])
    assert found[0].nonfinite >= 2  # the last two are beyond float32


def test_many_small_tensors_in_one_call(backend: Candidate) -> None:
    check(backend, [normal((n % 37, 1 + n % 5), n) for n in range(500)])
    assert backend.module.moments([]) == []


@pytest.mark.parametrize("seed", range(10))
def test_random_shapes_and_layouts(backend: Candidate, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for layout in LAYOUTS:
        shape = tuple(generator.integers(1, 14, generator.integers(1, 5)).tolist())
        low = int(generator.integers(0, 254))
        check(backend, [scattered(shape, seed, (low, int(generator.integers(low + 1, 256))))], layout)


def test_a_parameter_that_wants_gradients(backend: Candidate) -> None:
    values = normal((40, 50), 0)
    parameter = torch.nn.Parameter(values.to(backend.device))
    assert backend.module.moments([parameter]) == [moments(values)]
