"""The reference backend: where the noise lands, in which arithmetic, and what it says it did."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dither.core.draws import uniform
from dither.core.kernels import backend_for, reference
from dither.core.noise import (
    Change,
    Noise,
    SensitivityOutcome,
    SensitivityRule,
    SensitivityState,
    StepScalars,
)
from dither.core.statistics import TOTAL_LIMBS, UNIT, float32, integer, limbs

KEY = (11, 22)
RULE = SensitivityRule(0.85, 1.0)


def sample(*shape: int) -> Tensor:
    values = np.random.default_rng(0).normal(0, 0.05, shape)
    return torch.from_numpy(values.astype(np.float32))


def scalars(
    mean: list[float], scale: list[float], step: int = 2, skipped: float | None = None
) -> StepScalars:
    return StepScalars(
        step=torch.tensor(step),
        mean=torch.tensor(mean),
        scale=torch.tensor(scale),
        skipped=None if skipped is None else torch.tensor(skipped),
    )


def test_the_backend_has_what_the_protocol_asks_for() -> None:
    backend = backend_for(torch.device("cpu"))
    assert backend.NAME
    assert backend.moments([]) == []
    assert backend.perturb_([], []) == []
    outcome = backend.sensitivity_step_([], RULE, scalars([], []))
    assert (outcome.total.shape, outcome.active.shape, outcome.change.shape) == (
        (0, TOTAL_LIMBS),
        (0,),
        (0, 4),
    )
    assert backend.next_means(outcome, torch.zeros(0)).tolist() == []


@pytest.mark.parametrize("extra", [-1, 0, 1, 4097])
def test_chunks_leave_no_trace(extra: int, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 3 * 4096 + extra
    whole, pieces = sample(size), sample(size)
    noise = Noise(KEY, 0.125, step=3)
    one = reference.perturb_([whole], [noise])
    monkeypatch.setattr(reference, "_CHUNK", 4096)
    other = reference.perturb_([pieces], [noise])
    assert torch.equal(whole, pieces)
    assert one[0].changed == other[0].changed
    assert one[0].energy == pytest.approx(other[0].energy, rel=1e-12)


def test_the_arithmetic_is_two_roundings_and_no_fused_multiply_add() -> None:
    values, scale = sample(5000), float(np.float32(0.0123456))
    found = values.clone()
    reference.perturb_([found], [Noise(KEY, scale)])
    u = uniform(KEY, 0, 5000).numpy()
    product = (u.astype(np.float64) * scale).astype(np.float32)
    expected = (values.numpy().astype(np.float64) + product.astype(np.float64)).astype(np.float32)
    fused = (values.numpy().astype(np.float64) + u.astype(np.float64) * scale).astype(np.float32)
    assert np.array_equal(found.numpy(), expected)
    assert not np.array_equal(expected, fused)  # the two can be told apart on this sample


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once_from_float32(dtype: torch.dtype) -> None:
    values = sample(4096).to(dtype)
    found = values.clone()
    reference.perturb_([found], [Noise(KEY, 0.01)])
    assert torch.equal(found, (values.float() + uniform(KEY, 0, 4096) * float(np.float32(0.01))).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_zeros_are_kept_with_their_sign_and_may_be_noised(dtype: torch.dtype) -> None:
    values = torch.tensor([0.0, -0.0, 1.0, -0.0, 0.0], dtype=dtype)
    kept, noised = values.clone(), values.clone()
    changes = reference.perturb_([kept, noised], [Noise(KEY, 0.1, keep_zeros=True), Noise(KEY, 0.1)])
    assert [str(zero) for zero in kept[[0, 1, 3, 4]].tolist()] == ["0.0", "-0.0", "-0.0", "0.0"]
    assert torch.equal(kept[2], noised[2])
    assert bool((noised != values).all())
    assert [change.changed for change in changes] == [1, 5]


def test_noise_of_no_strength_leaves_every_bit() -> None:
    values = torch.tensor([-0.0, 0.0, 1.0, -1e38, 1e-45] * 100)
    found = values.clone()
    change = reference.perturb_([found, found[:0]], [Noise(KEY, 0.0), Noise(KEY, 0.0)])[0]
    assert torch.equal(found.view(torch.int32), values.view(torch.int32))
    assert (change.changed, change.energy, change.requested) == (0, 0.0, 0.0)


def test_threads_share_all_digits_of_the_change() -> None:
    values, threads, found = sample(1000, 1001), torch.get_num_threads(), []
    noises = [Noise((key, 2), 0.1) for key in range(4)]
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(reference.perturb_([values.clone() for _ in noises], noises))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]


def test_a_weight_is_the_last_factor() -> None:
    values, weight = sample(64, 65), torch.rand(64, 65, generator=torch.Generator().manual_seed(0))
    found = values.clone()
    reference.perturb_([found], [Noise(KEY, 0.1)], weights=[weight])
    product = (uniform(KEY, 0, 64 * 65).view(64, 65) * float(np.float32(0.1))) * weight
    assert torch.equal(found, values + product)
    turned = values.clone()
    reference.perturb_([turned], [Noise(KEY, 0.1)], weights=[weight.t().contiguous().t()])
    assert torch.equal(turned, found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_change_is_measured_on_what_was_written(dtype: torch.dtype) -> None:
    values = sample(100, 100).to(dtype)
    found = values.clone()
    change = reference.perturb_([found], [Noise(KEY, 0.001)])[0]
    moved = (found.double() - values.double()).numpy()
    assert change.elements == 10_000
    assert change.changed == np.count_nonzero(moved)
    assert change.energy == pytest.approx((moved**2).sum(), rel=1e-5)
    asked = uniform(KEY, 0, 10_000).double().mul(0.001).square().sum().item()
    assert change.requested == pytest.approx(asked, rel=1e-5)


def test_changes_add_up() -> None:
    one, other = Change(1, 2, 3.0, 4.0), Change(10, 20, 30.0, 40.0)
    assert one + other == Change(11, 22, 33.0, 44.0)
    assert one + Change() == one


def state(dtype: torch.dtype = torch.float32) -> SensitivityState:
    weight = sample(8, 9).to(dtype)
    gradient = sample(8, 9).flip(0).contiguous().to(dtype)
    gradient[3] = 0.0
    return SensitivityState(weight, gradient, torch.zeros(8, 9, dtype=dtype), KEY)


@pytest.mark.parametrize("mean", [0.0, 1e-3])
@pytest.mark.parametrize("scale", [0.0, 0.125])
def test_a_sensitivity_step(mean: float, scale: float) -> None:
    given = state()
    weight, gradient = given.weight.clone(), given.gradient.clone()
    outcome = reference.sensitivity_step_([given], RULE, scalars([mean], [scale]))
    expected = (weight * gradient).abs()
    assert torch.equal(given.average, expected)
    assert torch.equal(given.gradient, gradient)
    assert outcome.active.tolist() == [63]
    assert integer(outcome.total[0].tolist()) * UNIT == math.fsum(expected.flatten().tolist())
    if mean == 0.0 or scale == 0.0:
        assert torch.equal(given.weight, weight)
        assert outcome.change.tolist() == [[0.0] * 4]
        return
    r = (1 - expected / mean).clamp(min=0.0) * (gradient != 0)
    noise = (uniform(KEY, 0, 72, step=2).view(8, 9) * scale) * r
    assert torch.equal(given.weight, weight + noise)
    changed = int((given.weight != weight).sum())
    requested = noise.double().square().sum().item()
    assert outcome.change[0, :2].tolist() == [72.0, changed]
    assert outcome.change[0, 3].item() == pytest.approx(requested, rel=1e-12)


def test_each_tensor_has_its_own_mean_and_scale() -> None:
    together, alone = [state(), state(), state()], [state(), state(), state()]
    means, scales = [1e-3, 0.0, 2e-3], [0.1, 0.1, 0.2]
    outcome = reference.sensitivity_step_(together, RULE, scalars(means, scales))
    for k, one in enumerate(alone):
        single = reference.sensitivity_step_([one], RULE, scalars(means[k : k + 1], scales[k : k + 1]))
        assert torch.equal(one.weight, together[k].weight)
        assert torch.equal(outcome.change[k], single.change[0])
    assert outcome.change[:, 1].count_nonzero() == 2


@pytest.mark.parametrize("skipped", [1.0, 0.0])
def test_a_skipped_step(skipped: float) -> None:
    given, before = state(), state()
    outcome = reference.sensitivity_step_([given], RULE, scalars([1e-3], [0.1], skipped=skipped))
    moved = not torch.equal(given.weight, before.weight), not torch.equal(given.average, before.average)
    found = bool(outcome.active.any()), bool(outcome.total.any()), bool(outcome.change.any())
    assert {*moved, *found} == {skipped == 0.0}
    nothing = SensitivityOutcome.nothing(1, torch.device("cpu"))
    assert skipped == 0.0 or torch.equal(outcome.change, nothing.change)


def test_what_is_not_finite_is_in_no_sum_and_moves_no_weight() -> None:
    given, rest = state(), state()
    for bad, row in ((math.nan, 0), (math.inf, 1), (-math.inf, 2)):
        given.gradient[row], rest.gradient[row] = bad, 0.0
    weight = given.weight.clone()
    outcomes = [reference.sensitivity_step_([one], RULE, scalars([1e-3], [0.1])) for one in (given, rest)]
    assert torch.equal(outcomes[0].total, outcomes[1].total)
    assert outcomes[0].active.tolist() == outcomes[1].active.tolist() == [36]
    assert torch.equal(given.weight[:3], weight[:3])
    assert torch.equal(given.weight, rest.weight)


def test_the_average_of_a_half_precision_weight_is_the_one_that_is_stored() -> None:
    """What a resumed run reads is what this run goes on with: the rounded average, also for its mean."""
    given = state(torch.bfloat16)
    outcome = reference.sensitivity_step_([given], RULE, scalars([0.0], [0.1]))
    assert given.average.dtype == torch.bfloat16
    assert integer(outcome.total[0].tolist()) * UNIT == math.fsum(given.average.double().flatten().tolist())


def test_the_next_mean_is_rounded_from_float64_and_stays_without_evidence() -> None:
    totals, active = [3 * 2**149, 2**149 + 1, 7 * 2**140, 0], [7, 3, 0, 5]
    outcome = SensitivityOutcome(
        torch.tensor([limbs(total) for total in totals]), torch.tensor(active), torch.zeros(4, 4)
    )
    means = torch.tensor([9.0, 9.0, 9.0, 9.0])
    expected = [float32(3 / 7), float32(1 / 3), 9.0, 0.0]
    assert reference.next_means(outcome, means).tolist() == expected
    assert means.tolist() == [9.0] * 4
