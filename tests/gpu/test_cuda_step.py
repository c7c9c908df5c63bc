"""The fused training step on the device: the bits of the reference, and nobody waits."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from gpu_cases import (
    DEVICE,
    DTYPES,
    NEEDS_GPU,
    RUNS,
    assert_same_bits,
    assert_same_change,
    layouts,
    normal,
    spread,
    twin,
)
from torch import Tensor

from dither.core.kernels import cuda, reference
from dither.core.noise import Change, SensitivityOutcome, SensitivityRule, SensitivityState, StepScalars
from dither.core.statistics import TOTAL_LIMBS, integer, limbs

pytestmark = RUNS
RULE = SensitivityRule(beta=0.85, gamma=1.0)
KEY = (0xDEADBEEF, 0xFEDCBA98)


def state(weight: Tensor, gradient: Tensor, average: Tensor, **more: Any) -> SensitivityState:
    """A state whose average has been active before in three of four elements."""
    kept = (average.abs() * 0.1).to(average.dtype)
    kept.masked_fill_(weight.to(torch.float32) * 7 % 4 < 1, 0.0)
    return SensitivityState(weight, gradient, kept, KEY, **more)


def dense(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> SensitivityState:
    """Contiguous tensors of one dtype, the average in float32."""
    return state(
        normal(count, seed=seed, dtype=dtype),
        normal(count, seed=seed + 1, dtype=dtype),
        normal(count, seed=seed + 2),
    )


def scalars(
    states: list[SensitivityState], mean: float = 0.1, scale: float = 0.02, **more: Any
) -> StepScalars:
    """The same for each of the tensors, at step 2^32 − 1."""
    whole = [torch.full((len(states),), number, device=DEVICE) for number in (mean, scale)]
    return StepScalars(torch.tensor(2**32 - 1, device=DEVICE), *whole, **more)


def assert_same_step(
    states: list[SensitivityState],
    rule: SensitivityRule = RULE,
    numbers: StepScalars | None = None,
    tolerance: float | None = None,
) -> SensitivityOutcome:
    """Take one step by both backends and compare all that comes of it."""
    numbers = scalars(states) if numbers is None else numbers
    ours, theirs = (
        [replace(one, weight=twin(one.weight), average=twin(one.average)) for one in states] for _ in range(2)
    )
    found = cuda.sensitivity_step_(ours, rule, numbers)
    expected = reference.sensitivity_step_(theirs, rule, numbers)
    for row, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert_same_bits(one.average, other.average, f"average {row}")
        assert integer(found.total[row].tolist()) == integer(expected.total[row].tolist()), row
        if tolerance is None:
            assert_same_bits(one.weight, other.weight, f"weight {row}")
            assert_same_change(Change(*found.change[row].tolist()), Change(*expected.change[row].tolist()))
        else:
            torch.testing.assert_close(one.weight, other.weight, rtol=0.0, atol=tolerance)
    assert found.active.tolist() == expected.active.tolist()
    means = (cuda.next_means(found, numbers.mean), reference.next_means(expected, numbers.mean))
    assert_same_bits(*means, "means")
    return found


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_layout(dtype: torch.dtype) -> None:
    whole = zip(*(layouts(seed, dtype).values() for seed in (1, 2, 3)), strict=True)
    assert_same_step([state(*views, rounding="stochastic") for views in whole])


def test_weight_gradient_and_average_with_a_layout_each() -> None:
    for views in (
        (normal(40, 30), normal(30, 40, seed=1).t(), normal(40, 60, seed=2)[:, ::2]),
        (normal(30, 40).t(), normal(40, 30, seed=1), normal(40, 30, seed=2)),
        (normal(5, 6, 7, 8).permute(3, 0, 1, 2), normal(8, 5, 6, 7, seed=1), normal(8, 5, 7, 6).mT),
    ):
        assert_same_step([state(*views)])


def test_every_combination_of_dtypes() -> None:
    kinds = product(DTYPES[:3], DTYPES[:2], DTYPES[:2])
    assert_same_step(
        [
            state(normal(72, dtype=one), normal(72, seed=1, dtype=two), normal(72, seed=2, dtype=three))
            for one, two, three in kinds
        ]
    )


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize("measure", ["gradient", "magnitude"])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_every_rule(gamma: float, measure: Any, idle: bool) -> None:
    states = [dense(2500), dense(1001, seed=5, dtype=torch.bfloat16)]
    for one in states:
        one.gradient[::5] = 0.0
        one.weight[::7] = 0.0
    assert_same_step(states, SensitivityRule(0.98, gamma, measure, idle=idle))


@pytest.mark.parametrize("gamma", [0.5, 1.3, 7.0])
def test_other_exponents_to_their_tolerance(gamma: float) -> None:
    assert_same_step([dense(2000)], replace(RULE, gamma=gamma), tolerance=2.0**-21)


@pytest.mark.parametrize("weighting", ["blind", "inverted"])
def test_controls_that_need_energies_first(weighting: Any) -> None:
    assert_same_step([dense(700)], replace(RULE, weighting=weighting))


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 0.02), (0.1, 0.0), (2.0**-149, 1e-40), (1e-30, 1e30)])
def test_scalars_at_the_edges(mean: float, scale: float) -> None:
    states = [dense(1100)]
    assert_same_step(states, numbers=scalars(states, mean, scale))
    assert_same_step(states, replace(RULE, idle=True), scalars(states, mean, scale))


@pytest.mark.parametrize("flag", [torch.tensor(1.0), torch.tensor(0.0), torch.tensor(True), torch.tensor(0)])
def test_a_skipped_step_changes_nothing(flag: Tensor) -> None:
    states = [dense(1100), dense(64, seed=4)]
    found = assert_same_step(states, numbers=scalars(states, skipped=flag.to(DEVICE)))
    assert bool(flag) == (not found.active.any())


def test_tiles_without_gradients() -> None:
    states = [dense(5000), dense(5001, seed=3)]
    for one in states:
        one.gradient[900:3500] = 0.0
        one.weight[[3, 905, 1500]], one.weight[[904, 3499]] = -0.0, float("inf")
    assert_same_step([*states, replace(dense(4096), gradient=torch.zeros(4096, device=DEVICE))])


def test_sensitivities_of_every_size() -> None:
    rough = SensitivityState(spread(3000), normal(3000), spread(3000, seed=2).abs(), KEY)
    tiny = SensitivityState(
        normal(1100), normal(1100, seed=1, scale=1e-42), torch.zeros(1100, device=DEVICE), KEY
    )
    assert_same_step([rough, tiny, replace(rough, gradient=spread(3000, seed=4))], replace(RULE, beta=0.5))


def test_what_is_not_finite() -> None:
    one = dense(1500)
    odd = torch.tensor([float("nan"), float("inf"), -float("inf")], device=DEVICE)
    one.weight[[3, 700, 1400]], one.gradient[[5, 700, 1401]], one.average[[7, 800, 1403]] = (
        odd,
        odd,
        odd.abs(),
    )
    assert_same_step([one])


def test_steps_one_after_the_other() -> None:
    one = dense(3000)
    one.average.zero_()
    numbers = scalars([one], mean=0.0)
    for step in range(4):
        assert_same_step([one], numbers=numbers)
        outcome = cuda.sensitivity_step_([one], RULE, numbers)
        mean = cuda.next_means(outcome, numbers.mean)
        numbers = replace(numbers, step=torch.tensor(step, device=DEVICE), mean=mean)
    assert float(mean) > 0.0


def test_what_does_not_fit_together_is_refused() -> None:
    one = dense(64)
    with pytest.raises(ValueError, match=r"shapes \(64,\), \(8, 8\), \(64,\); they must be one"):
        cuda.sensitivity_step_([replace(one, gradient=one.gradient.view(8, 8))], RULE, scalars([one]))
    with pytest.raises(ValueError, match="2 states, 1 means and 1 scales"):
        cuda.sensitivity_step_([one, one], RULE, scalars([one]))


def test_no_tensors() -> None:
    empty = torch.zeros(0, device=DEVICE)
    outcome = cuda.sensitivity_step_([], RULE, StepScalars(torch.tensor(1, device=DEVICE), empty, empty))
    assert [len(part) for part in (outcome.total, outcome.active, outcome.change)] == [0, 0, 0]
    assert cuda.next_means(outcome, empty).numel() == 0


def test_means_are_rounded_once() -> None:
    tie = 2**149 + 2**125 + 2**96  # halfway in float64, and from there in float32
    totals = [
        0,
        1,
        -1,
        5,
        2**32 - 1,
        2**53 + 1,
        2**64 + 1,
        tie,
        tie + 1,
        tie - 1,
        2**160 - 1,
        2**276 - 3,
        -tie - 1,
    ]
    totals += [(0xC0FFEE123456789ABCDEF0123 << k) + k % 3 for k in range(0, 170, 11)]
    rows = [limbs(number) for number in totals] + [[2**40, -(2**50), 2**45, *[-7] * (TOTAL_LIMBS - 3)]]
    total = torch.tensor(rows, dtype=torch.int64, device=DEVICE)
    for active in (1, 3, 2**53 - 1, 0):
        outcome = SensitivityOutcome(total, torch.full((len(rows),), active, device=DEVICE), total)
        means = normal(len(rows))
        assert_same_bits(cuda.next_means(outcome, means), reference.next_means(outcome, means), active)


@NEEDS_GPU
def test_no_one_waits_for_the_gpu() -> None:
    states = [dense(100_001), dense(5000, seed=4), state(normal(30, 40).t(), normal(40, 30), normal(40, 30))]
    numbers = scalars(states, skipped=torch.zeros((), device=DEVICE))
    cuda.next_means(cuda.sensitivity_step_(states, RULE, numbers), numbers.mean)  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        outcome = cuda.sensitivity_step_(states, RULE, numbers)
        means = cuda.next_means(outcome, numbers.mean)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert bool((means > 0).all())


@NEEDS_GPU
def test_large_tensors_and_the_same_change_at_every_call() -> None:
    one = dense(3_000_001)
    assert_same_step([one, state(normal(900, 1100).t(), normal(1100, 900), normal(1100, 900))])
    fresh = [[replace(one, weight=one.weight.clone(), average=one.average.clone())] for _ in range(4)]
    changes = {repr(cuda.sensitivity_step_(again, RULE, scalars(again)).change.tolist()) for again in fresh}
    assert len(changes) == 1
