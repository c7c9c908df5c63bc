"""Stochastic rounding: only neighbours, the right chance, at zeros, subnormals, powers of two and the end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dither.core.rounding import round_stochastically

HALF = [torch.bfloat16, torch.float16]
TOP = 2**32


def rounded(value: float, word: int, dtype: torch.dtype) -> float:
    exact = torch.tensor([value], dtype=torch.float32)
    return round_stochastically(exact, torch.tensor([word]), dtype).item()


def all_finite(dtype: torch.dtype) -> Tensor:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    return every[torch.isfinite(every)].float().unique()  # sorted; -0 and 0 are one


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("word", [0, 2**31, TOP - 1])
def test_what_the_dtype_holds_stays(dtype: torch.dtype, word: int) -> None:
    values = all_finite(dtype)
    found = round_stochastically(values, torch.full(values.shape, word), dtype)
    assert torch.equal(found.float(), values)


@pytest.mark.parametrize("dtype", HALF)
def test_every_gap_is_rounded_to_its_two_ends_with_the_right_chance(dtype: torch.dtype) -> None:
    """Exhaustive over all neighbouring pairs, subnormals and the change of sign included."""
    grid = all_finite(dtype).double()
    low, high = grid[:-1], grid[1:]
    for share in (0.25, 0.5, 0.75):
        exact = (low + share * (high - low)).float()
        exactly = (exact.double() - low) / (high - low)  # what float32 made of the share
        for chance in (0.0, 0.2, 0.3, 0.45, 0.55, 0.7, 0.8, 1 - 2.0**-24):
            words = torch.full(exact.shape, int(chance * 2**24) << 8)
            found = round_stochastically(exact, words, dtype).double()
            assert bool(((found == low) | (found == high)).all())
            nearest_is_high = exact.to(dtype).double() == high
            moves = torch.where(nearest_is_high, chance < 1 - exactly, chance < exactly)
            assert torch.equal(found == high, nearest_is_high ^ moves)


@pytest.mark.parametrize("dtype", HALF)
def test_the_mean_over_evenly_spaced_words_is_the_value(dtype: torch.dtype) -> None:
    generator = np.random.default_rng(0)
    words = torch.arange(0, TOP, TOP // 4096)
    tiny = torch.finfo(dtype).smallest_normal
    values = [*generator.normal(0, 0.02, 6), tiny * 0.37, -tiny * 1.01, 1.0 + 2.0**-12, -(1.0 - 2.0**-13)]
    for value in np.float32(values).tolist():
        exact = torch.full(words.shape, value)
        mean = round_stochastically(exact, words, dtype).double().mean().item()
        gap = 2 * torch.finfo(dtype).eps * max(abs(value), tiny)
        assert abs(mean - value) <= gap / 4096


@pytest.mark.parametrize("dtype", HALF)
def test_small_values_around_zero_keep_their_sign(dtype: torch.dtype) -> None:
    smallest = torch.full((1,), 1, dtype=torch.int16).view(dtype).item()
    assert rounded(smallest / 4, 0, dtype) == smallest
    assert rounded(-smallest / 4, 0, dtype) == -smallest
    assert rounded(smallest / 4, TOP // 4, dtype) == 0.0
    assert str(rounded(-smallest / 4, TOP - 1, dtype)) == "-0.0"


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("word", [0, TOP - 1])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_beyond_the_largest_number_it_rounds_to_nearest(dtype: torch.dtype, word: int, sign: float) -> None:
    largest = torch.finfo(dtype).max
    gap = largest - all_finite(dtype)[-2].item()
    values = [largest + 0.25 * gap, largest + 0.75 * gap, float("inf")]
    for value in values:
        nearest = torch.tensor(sign * value, dtype=torch.float32).to(dtype).item()
        assert rounded(sign * value, word, dtype) == nearest


@pytest.mark.parametrize("dtype", HALF)
def test_nan_stays_nan(dtype: torch.dtype) -> None:
    assert np.isnan(rounded(float("nan"), 0, dtype))


@pytest.mark.parametrize("dtype", HALF)
def test_shape_is_kept_and_inputs_are_left_alone(dtype: torch.dtype) -> None:
    exact = torch.linspace(-1, 1, 24).view(2, 3, 4)
    words = torch.arange(24) * (TOP // 24)
    kept = exact.clone(), words.clone()
    found = round_stochastically(exact, words, dtype)
    assert found.shape == exact.shape
    assert found.dtype == dtype
    assert torch.equal(exact, kept[0])
    assert torch.equal(words, kept[1])
