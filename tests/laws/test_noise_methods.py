"""The noise that lands on weights has the law that the methods promise. Each test's rate is 1e-6."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import dither

RATE = 1e-6


def layer(shape: tuple[int, int] = (300, 400)) -> nn.Module:
    values = np.random.default_rng(0).normal(0.01, 0.05, shape)
    model = nn.Module()
    model.weight = nn.Parameter(torch.from_numpy(values))  # float64: the change is read without rounding
    return model


@pytest.mark.parametrize("law", ["uniform", "gaussian"])
def test_noisytune_adds_the_law_that_was_asked_for(law: str) -> None:
    """Kolmogorov-Smirnov on (W' − W) / (λ std)."""
    model = layer()
    before = model.weight.detach().clone()
    dither.noisytune_(model, 0.15, seed=1, law=law)
    unit = ((model.weight.detach() - before) / (0.15 * before.std())).numpy().ravel()
    expected = stats.uniform(-0.5, 1.0) if law == "uniform" else stats.norm(0, 12**-0.5)
    assert stats.kstest(unit, expected.cdf).pvalue > RATE


def test_the_noise_is_independent_of_the_weights() -> None:
    """Correlation with W and with |W|: two z-tests at RATE / 2."""
    model = layer()
    before = model.weight.detach().clone()
    dither.noisytune_(model, 0.15, seed=2)
    noise = (model.weight.detach() - before).numpy().ravel()
    weights = before.numpy().ravel()
    for other in (weights, np.abs(weights)):
        z = np.corrcoef(noise, other)[0, 1] * np.sqrt(noise.size)
        assert abs(z) < stats.norm.isf(RATE / 4)


def test_two_applications_add_independent_noise() -> None:
    """again=True: the second draw is another one; correlation z-test."""
    model = layer()
    before = model.weight.detach().clone()
    dither.noisytune_(model, 0.15, seed=3)
    first = model.weight.detach() - before
    dither.noisytune_(model, 0.15, seed=3, again=True)
    second = model.weight.detach() - before - first
    z = np.corrcoef(first.numpy().ravel(), second.numpy().ravel())[0, 1] * np.sqrt(first.numel())
    assert abs(z) < stats.norm.isf(RATE / 2)


@pytest.mark.parametrize("total_steps", [30, 120])
@pytest.mark.parametrize("every", [1, 3])
def test_the_dose_of_pats_is_that_of_noisytune(total_steps: int, every: int) -> None:
    """An always-insensitive weight accumulates the spread λ·std/sqrt(12), whatever T and `every` are.

    One weight in a thousand carries nearly all sensitivity, so r ≈ 1 for the others. The squared doses of the
    steps with noise sum to 1: z-test at RATE.
    """
    model = layer((100, 200))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 - t / total_steps)
    gradient = torch.full((100, 200), 1e-9, dtype=torch.float64)
    gradient.view(-1)[::1000] = 1e3
    before = model.weight.detach().clone()
    handle = dither.attach(dither.PATS(every=every), optimizer, model, total_steps=total_steps)
    for _ in range(total_steps):
        model.weight.grad = gradient.clone()
        optimizer.step()
        schedule.step()
    quiet = (model.weight.detach() - before)[gradient < 1].numpy() / (0.15 * handle.record().tensors[0].std)
    z = (np.mean(quiet**2) * 12 - 1) / np.sqrt(2 / quiet.size)
    assert abs(z) < stats.norm.isf(RATE / 2)
