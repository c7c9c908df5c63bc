"""The reference backend: where the noise lands, in which arithmetic, and what it says it did."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dither.core.draws import uniform
from dither.core.kernels import backend_for, reference
from dither.core.noise import Change, Noise, SensitivityRule, SensitivityState

KEY = (11, 22)


def sample(*shape: int) -> Tensor:
    values = np.random.default_rng(0).normal(0, 0.05, shape)
    return torch.from_numpy(values.astype(np.float32))


def test_the_backend_has_what_the_protocol_asks_for() -> None:
    backend = backend_for(torch.device("cpu"))
    assert backend.NAME
    assert backend.moments([]) == []
    assert backend.perturb_([], []) == []
    assert backend.sensitivity_step_([], SensitivityRule(0.5, 1.0)) == []


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


def test_zeros_are_kept_with_their_sign_and_may_be_noised() -> None:
    values = torch.tensor([0.0, -0.0, 1.0, 0.0])
    kept, noised = values.clone(), values.clone()
    reference.perturb_([kept, noised], [Noise(KEY, 0.1, keep_zeros=True), Noise(KEY, 0.1)])
    assert kept[[0, 1, 3]].tolist() == [0.0, 0.0, 0.0]
    assert torch.equal(kept[2], noised[2])
    assert bool((noised != values).all())


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


def state(mean: float, noise: Noise | None, dtype: torch.dtype = torch.float32) -> SensitivityState:
    weight = sample(8, 9).to(dtype)
    gradient = sample(8, 9).flip(0).contiguous().to(dtype)
    gradient[3] = 0.0
    return SensitivityState(weight, gradient, torch.zeros(8, 9, dtype=dtype), mean, noise)


@pytest.mark.parametrize("mean", [0.0, 1e-3])
@pytest.mark.parametrize("noise", [None, Noise(KEY, 0.1, step=2)])
def test_a_sensitivity_step(mean: float, noise: Noise | None) -> None:
    given = state(mean, noise)
    weight, gradient = given.weight.clone(), given.gradient.clone()
    outcome = reference.sensitivity_step_([given], SensitivityRule(0.85, 1.0))[0]
    expected = (weight * gradient).abs()
    assert torch.equal(given.average, expected)
    assert torch.equal(given.gradient, gradient)
    assert outcome.active == 63
    assert outcome.total == pytest.approx(math.fsum(expected.flatten().tolist()), rel=1e-12)
    moved = given.weight != weight
    assert bool(moved.any()) == (mean > 0 and noise is not None)
    assert not moved[3].any()
    assert outcome.change.changed == int(moved.sum())


def test_the_average_of_a_half_precision_weight_is_the_one_that_is_stored() -> None:
    """What a resumed run reads is what this run goes on with: the rounded average, also for its mean."""
    given = state(0.0, None, torch.bfloat16)
    outcome = reference.sensitivity_step_([given], SensitivityRule(0.85, 1.0))[0]
    assert given.average.dtype == torch.bfloat16
    assert outcome.total == math.fsum(given.average.double().flatten().tolist())
