"""Stochastic rounding is unbiased, and keeps small noise that rounding to nearest swallows. 1e-6 a test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import dither
from dither.core.draws import Purpose, random_words, stream_key
from dither.core.rounding import round_stochastically

RATE = 1e-6
N = 1 << 18
HALF = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("value", [0.0123, -0.7, 1.0005, 3e-8, -(2.0**-14) * 1.0003])
def test_the_share_of_the_farther_neighbour(dtype: torch.dtype, value: float) -> None:
    """An exact binomial test of how often the upper neighbour was taken."""
    exact = torch.full((N,), value, dtype=torch.float32)
    words = random_words(stream_key(0, "pats", "x"), 0, N, purpose=Purpose.ROUNDING)
    found = round_stochastically(exact, words, dtype).double()
    low, high = found.min().item(), found.max().item()
    share = (float(exact[0].double()) - low) / (high - low)
    assert 0 < share < 1
    assert stats.binomtest(int((found == high).sum()), N, share).pvalue > RATE


@pytest.mark.parametrize("dtype", HALF)
def test_the_error_has_mean_zero(dtype: torch.dtype) -> None:
    """Over weights of many sizes: z-test with the known variance f(1−f)·gap² of each."""
    exact = torch.from_numpy(np.random.default_rng(0).normal(0, 0.02, N).astype(np.float32))
    words = random_words(stream_key(1, "pats", "x"), 0, N, purpose=Purpose.ROUNDING)
    found = round_stochastically(exact, words, dtype).double()
    lowest = round_stochastically(exact, torch.zeros_like(words), dtype).double()
    nearest = exact.to(dtype).double()
    gap = (lowest - nearest).abs()
    share = torch.where(gap > 0, (exact.double() - nearest).abs() / gap.clamp(min=1e-300), 0.0)
    spread = (gap.square() * share * (1 - share)).sum().sqrt()
    z = (found - exact.double()).sum() / spread
    assert abs(float(z)) < stats.norm.isf(RATE / 2)


@pytest.mark.parametrize("dtype", HALF)
def test_tiny_noise_survives_on_average(dtype: torch.dtype) -> None:
    """The stochastic change of a parameter is the requested noise in the mean: regression slope 1, z-test."""
    values = torch.from_numpy(np.random.default_rng(1).normal(0, 0.02, (512, 512)).astype(np.float32))
    slopes = {}
    for rounding in ("nearest", "stochastic"):
        layer = nn.Linear(512, 512, bias=False)
        layer.weight = nn.Parameter(values.to(dtype))
        before = layer.weight.detach().double()
        full = nn.Linear(512, 512, bias=False)
        full.weight = nn.Parameter(before.float())
        dither.noisytune_(full, 0.002, seed=0)
        dither.noisytune_(layer, 0.002, seed=0, rounding=rounding)
        asked = full.weight.detach().double() - before
        made = layer.weight.detach().double() - before
        slopes[rounding] = (asked * made).sum() / asked.square().sum()
        error = ((made - asked) * asked).square().sum().sqrt() / asked.square().sum()
    assert abs(slopes["stochastic"] - 1) < stats.norm.isf(RATE / 2) * error
    if dtype == torch.bfloat16:
        assert slopes["nearest"] < 0.9 < slopes["stochastic"]
