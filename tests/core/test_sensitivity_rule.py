"""The rule of PATS, piece by piece, and the schedule of its dose."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from dither.core.noise import SensitivityRule
from dither.core.sensitivity import (
    energy_factor,
    insensitivity,
    sensitivity,
    update_average,
    weights_and_shape,
)
from dither.core.statistics import float32, moments


def noise_weights(
    average: torch.Tensor, active: torch.Tensor, mean: float, rule: SensitivityRule
) -> torch.Tensor:
    """What multiplies the noise of a whole tensor."""
    weight, shape = weights_and_shape(average, active, mean, rule)
    return shape * energy_factor(moments(weight), moments(shape))


def test_sensitivity_is_float32_whatever_comes_in() -> None:
    weight = torch.tensor([[2.0, -3.0], [0.0, 1.5]], dtype=torch.bfloat16)
    gradient = torch.tensor([[-1.0, 0.5], [7.0, 0.0]], dtype=torch.bfloat16)
    found = sensitivity(weight, gradient)
    assert found.dtype == torch.float32
    assert found.tolist() == [[2.0, 1.5], [0.0, 0.0]]


def test_inputs_are_left_alone() -> None:
    average, observed = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([3.0, 0.0, 5.0])
    kept = average.clone(), observed.clone()
    update_average(average, observed, 0.5)
    sensitivity(average, observed)
    for gamma in (1.0, 2.0, 0.5):
        insensitivity(average, 1.0, gamma)
    active = observed != 0
    for weighting in ("insensitivity", "blind", "inverted"):
        noise_weights(average, active, 1.0, SensitivityRule(0.5, 1.0, weighting=weighting))
    assert torch.equal(average, kept[0])
    assert torch.equal(observed, kept[1])


def test_the_average_moves_only_where_the_step_says_something() -> None:
    average = torch.tensor([0.0, 0.0, 4.0, 4.0])
    observed = torch.tensor([0.0, 2.0, 0.0, 8.0])
    assert update_average(average, observed, 0.75).tolist() == [0.0, 2.0, 4.0, 5.0]


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 3.7])
def test_insensitivity_lies_between_0_and_1_and_falls(gamma: float) -> None:
    average = torch.linspace(0, 3, 301)
    found = insensitivity(average, 1.5, gamma).double()
    expected = (1 - average.double() / 1.5).clamp(min=0) ** gamma
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found[0] == 1.0
    assert bool((found[150:] == 0).all())
    assert bool((found.diff() <= 0).all())


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_mean_may_be_a_number_or_a_tensor(gamma: float) -> None:
    average = torch.linspace(0, 3, 301)
    found = insensitivity(average, torch.tensor(1.5), gamma)
    assert torch.equal(found, insensitivity(average, 1.5, gamma))
    # Divided by the mean, not multiplied with its reciprocal: the two differ in bits.
    assert torch.equal(insensitivity(average, 0.7, 1.0), (1 - average / 0.7).clamp(min=0))


@pytest.mark.parametrize("weighting", ["insensitivity", "blind", "inverted"])
def test_an_average_that_is_not_finite_counts_as_most_sensitive(weighting: str) -> None:
    average = torch.tensor([math.nan, math.inf, 0.5, 0.0])
    rule = SensitivityRule(0.85, 1.0, weighting=weighting)  # type: ignore[arg-type]
    active = torch.ones(4, dtype=torch.bool)
    assert insensitivity(average, 1.0, 1.0).tolist() == [0.0, 0.0, 0.5, 1.0]
    found = noise_weights(average, active, 1.0, rule)
    assert torch.equal(found, noise_weights(torch.tensor([2.0, 2.0, 0.5, 0.0]), active, 1.0, rule))


ACTIVE = torch.tensor([True, True, True, True, False, False])
AVERAGE = torch.tensor([0.0, 0.5, 1.0, 3.0, 0.25, 0.0])


def weights(**settings: object) -> torch.Tensor:
    return noise_weights(AVERAGE, ACTIVE, 1.0, SensitivityRule(0.85, 1.0, **settings))  # type: ignore[arg-type]


def test_the_method_is_silent_off_the_active_elements() -> None:
    assert weights().tolist() == [1.0, 0.5, 0.0, 0.0, 0.0, 0.0]


def test_idle_is_not() -> None:
    assert weights(idle=True).tolist() == [1.0, 0.5, 0.0, 0.0, 0.75, 1.0]


def test_blind_is_the_root_mean_square_over_the_active_elements() -> None:
    rms = math.sqrt(1.25 / 4)
    assert weights(weighting="blind").tolist() == pytest.approx([rms] * 4 + [0.0] * 2)


def test_inverted_is_the_complement_at_the_same_energy() -> None:
    found = weights(weighting="inverted")
    assert found.square().sum().item() == pytest.approx(1.25)
    ratio = math.sqrt(1.25 / 2.25)
    assert found.tolist() == pytest.approx([0.0, 0.5 * ratio, ratio, ratio, 0.0, 0.0])


@pytest.mark.parametrize("weighting", ["blind", "inverted"])
@pytest.mark.parametrize("seed", range(5))
def test_the_energy_is_exact_before_its_one_root(weighting: str, seed: int) -> None:
    average = torch.rand(997, generator=torch.Generator().manual_seed(seed))
    active = average > 0.1
    rules = [SensitivityRule(0.85, 1.0, weighting=name) for name in ("insensitivity", weighting)]  # type: ignore[arg-type]
    plain, found = (noise_weights(average, active, 0.7, rule) for rule in rules)
    shape = active.float() if weighting == "blind" else active.float() - plain
    energy, own = (sum(Fraction(x) ** 2 for x in part.tolist()) for part in (plain, shape))
    assert torch.equal(found, shape * float32(math.sqrt(energy / own)))


@pytest.mark.parametrize("weighting", ["insensitivity", "blind", "inverted"])
@pytest.mark.parametrize("average", [0.0, 1e-12, 5.0])
@pytest.mark.parametrize("active", [True, False])
def test_degenerate_tensors_give_finite_weights(weighting: str, average: float, active: bool) -> None:
    """All at full noise: upside down there is nothing left to carry the energy. No NaN may come of it."""
    rule = SensitivityRule(0.85, 1.0, weighting=weighting)  # type: ignore[arg-type]
    found = noise_weights(torch.full((3,), average), torch.full((3,), active), 1.0, rule)
    assert bool(torch.isfinite(found).all())
    if weighting == "inverted":
        assert found.tolist() == [0.0] * 3


@pytest.mark.parametrize("weighting", ["blind", "inverted"])
def test_the_energy_has_the_same_bits_for_any_layout_and_threads(weighting: str) -> None:
    average = torch.rand(301, 1000, generator=torch.Generator().manual_seed(0))
    active, rule = average > 0.1, SensitivityRule(0.85, 1.0, weighting=weighting)  # type: ignore[arg-type]
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(noise_weights(average, active, 0.7, rule))
            turned = noise_weights(average.t().contiguous().t(), active, 0.7, rule)
            found.append(turned.contiguous())
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0], other) for other in found[1:])
