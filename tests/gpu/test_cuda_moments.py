"""Exact sums on the device: the integers of the reference, whatever the numbers."""

from __future__ import annotations

import pytest
import torch
from gpu_cases import DEVICE, DTYPES, HAS_GPU, RUNS, layouts, normal, spread
from torch import Tensor

from dither.core.kernels import cuda, reference
from dither.core.kernels.device import table

pytestmark = RUNS


def assert_exact(*tensors: Tensor) -> None:
    """The moments of a list, each against the reference's."""
    for found, expected in zip(cuda.moments(tensors), reference.moments(tensors), strict=True):
        fields = ("count", "total", "squares", "nonfinite")
        assert {name: getattr(found, name) for name in fields} == {
            name: getattr(expected, name) for name in fields
        }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_layout(dtype: torch.dtype) -> None:
    assert_exact(*layouts(dtype=dtype).values())


def test_a_list_of_many_dtypes() -> None:
    assert_exact(*(normal(40 + k, seed=k, dtype=dtype) for k in range(3) for dtype in DTYPES))


def test_what_no_kernel_serves_goes_to_the_reference() -> None:
    assert_exact(normal(64).to(torch.float8_e4m3fn), normal(64, seed=1))


def test_every_exponent_at_once() -> None:
    assert_exact(spread(5000), spread(3000, seed=1) * 2.0**-100, spread(1021, seed=2))


@pytest.mark.parametrize("scale", [2.0**-149, 2.0**-140, 2.0**-127, 2.0**-104, 2.0**100, 2.0**125])
def test_the_ends_of_the_range(scale: float) -> None:
    assert_exact(normal(2100, scale=scale), normal(2100, seed=1, scale=scale).abs())


def test_the_largest_numbers_do_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_MUCH", 0)  # items as large as they come
    assert_exact(torch.full((70_000,), torch.finfo(torch.float32).max, device=DEVICE))


def test_a_first_tile_that_misleads() -> None:
    zeros_first = torch.cat((torch.zeros(1500, device=DEVICE), normal(1500)))
    small_first = torch.cat((normal(1024, scale=1e-20), normal(1024), normal(1024, scale=1e20)))
    large_first = torch.cat((normal(1024, scale=1e20), normal(1024), normal(1024, scale=1e-30)))
    assert_exact(zeros_first, small_first, large_first, torch.zeros(3000, device=DEVICE))


def test_what_is_not_finite_is_counted_apart() -> None:
    infinite, strange = normal(3000), spread(3000)
    infinite[2500] = -float("inf")
    strange[[0, 5, 1024, 2999]] = torch.tensor(
        [float("nan"), float("inf"), -float("inf"), 1.0], device=DEVICE
    )
    assert_exact(infinite, strange, torch.full((7,), float("nan"), device=DEVICE))


@pytest.mark.parametrize("count", [1, 3, 4, 5, 1023, 1024, 1025, 16_384, 16_389])
def test_the_edges_of_tiles_and_items(count: int) -> None:
    assert_exact(normal(count, scale=0.02))


def test_an_empty_list() -> None:
    assert cuda.moments([]) == []


@pytest.mark.skipif(not HAS_GPU, reason="no GPU")
def test_large_tensors() -> None:
    assert_exact(normal(3_000_001, scale=0.02), normal(1000, 3000, scale=0.02).t(), spread(1_000_003))


def test_the_name_says_what_runs() -> None:
    assert cuda.NAME.startswith("cuda (triton ")
    assert (torch.cuda.get_device_name() if HAS_GPU else "no GPU") in cuda.NAME
    with pytest.raises(AttributeError, match=r"'dither.core.kernels.cuda' has no attribute 'name'"):
        _ = cuda.name
