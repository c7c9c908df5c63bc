"""λ is the dose of the whole run: what always-insensitive weights accumulate, under every schedule.

False alarms: each case is one test of a variance at 1e-6; with fixed seeds it passes or fails for good.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import dither

STEPS, WARM_UP = 40, 8
SIZE = (150, 200)
RATES: dict[str, Any] = {
    "linear": lambda t: 1 - t / STEPS,
    "linear after warm-up": lambda t: min(t / WARM_UP, (STEPS - t) / (STEPS - WARM_UP)),
    "constant": lambda t: 1.0,
    "cosine": lambda t: (1 + math.cos(math.pi * t / STEPS)) / 2,
    "inverse square root": lambda t: min((t + 1) / WARM_UP, ((t + 1) / WARM_UP) ** -0.5),
    "low throughout": lambda t: 0.6 + 0.1 * (t % 2),
}


def run(rates: Any, *, known: bool = True, **settings: Any) -> tuple[np.ndarray, dither.Record]:
    """What a run does to weights whose gradient hardly matters, in units of λ · std(W_0): noise alone."""
    model, generator = nn.Module(), torch.Generator().manual_seed(0)
    model.a = nn.Parameter(torch.randn(SIZE, generator=generator))
    before = model.a.detach().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rates)
    planned = {"total_steps": STEPS, "schedule": scheduler if known else None}
    handle = dither.attach(dither.PATS(**settings), optimizer, model, **planned)
    model.a.grad = torch.full(SIZE, 1e-9)
    model.a.grad[0] = 1e6  # these matter; next to them r of all others is 1
    for _ in range(STEPS):
        optimizer.step()
        scheduler.step()
    moved = (model.a.detach().double() - before)[1:] / (0.15 * before.std())
    return moved.numpy().ravel(), handle.record()


def deviation(moved: np.ndarray, dose: float) -> float:
    """z of the mean square against dose / 12; a sum of uniform draws varies no more than a normal one."""
    return float((np.mean(moved**2) * 12 / dose - 1) * np.sqrt(moved.size / 2))


@pytest.mark.parametrize("rates", RATES.values(), ids=RATES.keys())
def test_the_whole_run_has_the_spread_of_noisytune_at_the_same_strength(rates: Any) -> None:
    moved, record = run(rates)
    assert record.dose_given == pytest.approx(1.0, rel=1e-12)
    assert abs(deviation(moved, 1.0)) < stats.norm.isf(5e-7)


@pytest.mark.parametrize(
    "times", [{"start": 11}, {"stop": 21}, {"every": 7}, {"start": 5, "stop": 31, "every": 3}]
)
def test_so_it_has_when_only_some_steps_add_noise(times: dict[str, int]) -> None:
    moved, record = run(RATES["cosine"], **times)
    assert record.dose_given == pytest.approx(1.0, rel=1e-12)
    assert abs(deviation(moved, 1.0)) < stats.norm.isf(5e-7)


@pytest.mark.parametrize(("schedule", "known"), [("linear", False), ("run", False)])
def test_a_constant_learning_rate_that_is_taken_for_linear_decay(schedule: Any, known: bool) -> None:
    """The law has the power to see it: three times the variance, less the first step's."""
    moved, record = run(RATES["constant"], known=known, schedule=schedule)
    given = 39 * (3 / 40 if schedule == "linear" else 6 * 40 / (39 * 79))
    assert record.dose_given == (None if schedule == "linear" else pytest.approx(given))
    assert abs(deviation(moved, given)) < stats.norm.isf(5e-7)
    assert deviation(moved, 1.0) > 100
