"""Steps that go wrong or say nothing: skipped, without noise, with values not finite or not normal."""

from __future__ import annotations

import math

import pytest
import torch
from kernel_comparison import Candidate, Settings, Training
from kernel_layouts import assert_same, normal, place, scattered
from torch import Tensor

from dither.core.kernels import reference
from dither.core.noise import SensitivityOutcome, SensitivityRule, SensitivityState, StepScalars
from dither.core.statistics import TOTAL_LIMBS, limbs

PATS = SensitivityRule(0.85, 1.0)
RULES = {
    "pats": PATS,
    "magnitude": SensitivityRule(0.85, 1.0, measure="magnitude"),
    "idle": SensitivityRule(0.85, 1.0, idle=True),
    "blind": SensitivityRule(0.85, 1.0, weighting="blind"),
    "inverted": SensitivityRule(0.85, 1.0, weighting="inverted"),
}


def values(seed: int) -> list[Tensor]:
    return [normal((50, 40), seed), normal((3000,), seed + 1)]


def test_a_skipped_step_does_nothing_at_all(each_backend: Candidate) -> None:
    training = Training(each_backend, values(0))
    for step in (1, 2):
        training.step(values(10 * step), skipped=torch.tensor(0.0))
    before = [one.clone() for side in training.found.weights for one in side]
    means = training.expected.means.clone()
    broken = [torch.full_like(one, math.inf) for one in values(0)]
    for found_inf in (torch.tensor(1.0), torch.tensor(2.0), torch.tensor(1, dtype=torch.int64)):
        outcome = training.step(broken, skipped=found_inf)
        assert not outcome.active.any()
        assert not outcome.total.any()
        assert not outcome.change.any()
    assert_same(training.found.means, means)
    after = [one for side in training.found.weights for one in side]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert training.step(values(30)).change[:, 1].min() > 1000


def test_a_scale_of_zero_for_some_tensors(each_backend: Candidate) -> None:
    training = Training(each_backend, values(0), Settings(scales=(0.0, 0.05)))
    for step in (1, 2, 3):
        outcome = training.step(values(10 * step))
    assert outcome.change[0].tolist() == [0.0] * 4
    assert outcome.change[1, 1] > 1000
    assert outcome.active.min() > 1000
    assert_same(training.found.weights[0].view, values(0)[0])


def test_a_mean_that_comes_late(each_backend: Candidate) -> None:
    """As of LoRA at its first steps: without any active element the mean stays, here at none."""
    training = Training(each_backend, values(0))
    for step in (1, 2, 3, 4):
        found = values(10 * step)
        if step in (1, 2, 4):
            found[0].zero_()
        outcome = training.step(found)
        assert (outcome.active[0] == 0) == (step != 3)
        # At step 4 there is a mean, but no active element: noise of no energy.
        assert (outcome.change[0, 3] > 0) == (outcome.active[0] > 0 and step > 3)
    assert training.expected.means[0] > 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("average", [torch.float32, torch.bfloat16])
def test_gradients_that_are_not_finite(
    backend: Candidate, bad: float, rule: SensitivityRule, average: torch.dtype
) -> None:
    training = Training(backend, values(0), Settings(rule, average=average))
    for step in (1, 2, 3, 4):
        found = values(10 * step)
        if step == 2:
            found[0][5], found[1][[0, 1023, 1024, 2999]] = bad, bad
        outcome = training.step(found)
    assert all(bool(torch.isfinite(one.view).all()) for one in training.expected.weights)
    assert outcome.change[:, 1].min() > 1000
    assert bool(torch.isfinite(training.expected.means).all())


@pytest.mark.parametrize("rule", [PATS, RULES["blind"]])
def test_weights_that_are_not_finite(backend: Candidate, rule: SensitivityRule) -> None:
    found = values(0)
    found[0][3], found[1][::7] = math.nan, -math.inf
    training = Training(backend, found, Settings(rule))
    for step in (1, 2, 3):
        gradients = values(10 * step)
        gradients[1][1024:2048] = 0.0  # NaN or infinity times zero is no zero
        training.step(gradients)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("octaves", [(0, 255), (0, 1), (0, 3), (60, 130), (100, 168), (191, 255)])
def test_data_of_many_exponents(backend: Candidate, rule: SensitivityRule, octaves: tuple[int, int]) -> None:
    """Products overflow, underflow and are denormal; all of it like the reference."""
    weights = [scattered((70, 60), 1, octaves), scattered((2000,), 2, octaves)]
    for scale in (1e-40, 1.0):
        training = Training(backend, weights, Settings(rule, scales=(scale,)))
        for step in (1, 2, 3):
            training.step([scattered(tuple(one.shape), 10 + step, octaves) for one in weights])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_zeros_of_either_sign(backend: Candidate, rule: SensitivityRule, dtype: torch.dtype) -> None:
    """Among the weights and among the gradients, with noise and without."""
    zeros = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.0]).repeat(800)
    weights = [(normal((4000,), 1) * zeros).to(dtype), torch.full((1025,), -0.0).to(dtype)]
    training = Training(backend, weights, Settings(rule, average=torch.float32))
    for step in (1, 2, 3):
        gradient = normal((4000,), 10 + step) * zeros.roll(step)
        gradient[1000:2500] = 0.0
        training.step([gradient.to(dtype), normal((1025,), step).to(dtype)])


@pytest.mark.parametrize("average", [torch.float32, torch.float16, torch.bfloat16])
def test_averages_that_vanish_or_overflow_in_their_dtype(backend: Candidate, average: torch.dtype) -> None:
    weights = [scattered((4000,), 1, (100, 150)), torch.full((100,), 1e-20)]
    training = Training(backend, weights, Settings(average=average))
    for step in (1, 2, 3):
        training.step([scattered((4000,), step + 1, (100, 150)), torch.full((100,), 1e-25)])


def test_a_share_of_exactly_one_half_and_a_mean_that_is_denormal(backend: Candidate) -> None:
    weight, gradient = torch.full((1000,), 2.0), torch.full((1000,), 0.25)
    for mean in (1.0, 0.5, 1e-45, 3e38):
        sides = []
        for module, device in ((backend.module, backend.device), (reference, "cpu")):
            given = [one.to(device).clone() for one in (weight, gradient, torch.zeros(1000))]
            full = torch.full((1,), mean, device=device)
            scalars = StepScalars(torch.tensor(2**32 - 1, device=device), full, torch.ones(1, device=device))
            module.sensitivity_step_([SensitivityState(given[0], given[1], given[2], (1, 2))], PATS, scalars)
            sides.append(given[0])
        assert_same(sides[0], sides[1].cpu(), f"mean {mean}")
        assert torch.equal(sides[1], weight) == (mean in (0.5, 1e-45))


@pytest.mark.parametrize(
    "total", [0, 1, 3, 2**24 + 1, 2**53 + 1, 2**149, 3 * 2**270, (2**24 - 1) * 2**253 * 10**6]
)
@pytest.mark.parametrize("active", [1, 3, 10**6, 2**40 + 1])
def test_means_are_rounded_like_the_reference(each_backend: Candidate, total: int, active: int) -> None:
    """Also from limbs that are not reduced, and of either sign."""
    row = torch.tensor(limbs(total))
    loose = row.clone()
    loose[0] -= 5 * 2**32
    loose[1] += 5
    given = torch.tensor([7.0, 7.0, 7.0])
    outcome = SensitivityOutcome(
        torch.stack((row, loose, torch.zeros(TOTAL_LIMBS, dtype=torch.int64))),
        torch.tensor([active, active, 0]),
        torch.zeros(3, 4, dtype=torch.float64),
    )
    moved = SensitivityOutcome(
        *[getattr(outcome, name).to(each_backend.device) for name in ("total", "active", "change")]
    )
    found = each_backend.module.next_means(moved, given.to(each_backend.device))
    assert_same(found, reference.next_means(outcome, given))
    assert found[2] == 7.0
    assert found[0] == found[1]


def test_autograd_sees_that_a_weight_was_written(each_backend: Candidate) -> None:
    parameter = torch.nn.Parameter(normal((30, 40), 0).to(each_backend.device))
    loss = parameter.square().sum()
    gradient = place(normal((30, 40), 1).to(each_backend.device), "contiguous").view
    one = torch.ones(1, device=each_backend.device)
    scalars = StepScalars(torch.tensor(1, device=each_backend.device), one, one)
    state = SensitivityState(parameter, gradient, torch.zeros_like(gradient), (1, 2))
    each_backend.module.sensitivity_step_([state], PATS, scalars)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
