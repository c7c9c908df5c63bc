"""How the dose of a run is divided among its steps: the formula, against plain sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dither.core import schedules
from dither.core.schedules import decay_factor, linear_factor, relative_rates, run_factor, step_dose


@pytest.mark.parametrize("total", [2, 3, 10, 1000])
def test_the_squares_of_a_run_add_up_to_one(total: int) -> None:
    generator = np.random.default_rng(total)
    rates = [float(rate) for rate in generator.uniform(0, 3e-5, total)]
    for highest in (max(rates), 3e-5):  # which one is taken makes no difference
        factor = run_factor(rate / highest for rate in rates)
        doses = [step_dose(rate, highest, factor) for rate in rates]
        assert math.fsum(dose**2 for dose in doses) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    "steps",
    [
        range(2, 8),
        range(3, 8),
        range(3, 8, 2),
        range(4, 8, 3),
        range(2, 5),
        range(7, 8),
        range(9, 8),
        range(5, 5),
    ],
)
def test_linear_decay_needs_no_loop(steps: range) -> None:
    assert decay_factor(steps, 7) == pytest.approx(run_factor(1 - (t - 1) / 7 for t in steps), rel=1e-14)


@pytest.mark.parametrize("total", [2, 10, 1000, 10**6])
def test_by_how_much_the_two_rules_differ_under_linear_decay(total: int) -> None:
    relation = math.sqrt(2 * total**2 / ((total - 1) * (2 * total - 1)))
    assert decay_factor(range(2, total + 1), total) == pytest.approx(
        linear_factor(total) * relation, rel=1e-14
    )
    assert abs(relation - 1 - 3 / (4 * total)) < 2 / total**2


@pytest.mark.parametrize("total", [1, 10, 1000])
@pytest.mark.parametrize("every", [1, 5])
def test_the_dose_of_linear_decay_under_the_rule_linear(total: int, every: int) -> None:
    factor = linear_factor(total * every, every)
    doses = [step_dose(1 - (t + 0.5) / (total * every), 1.0, factor) for t in range(0, total * every, every)]
    assert sum(dose**2 for dose in doses) == pytest.approx(1.0, abs=2 / total)


def test_what_the_rule_linear_gives_under_other_schedules() -> None:
    """A constant learning rate 1.73 times, a cosine 1.06 times, warm-up and linear decay once."""
    total, shapes = 10_000, {}
    shapes["constant"] = [1.0] * total
    shapes["cosine"] = [(1 + math.cos(math.pi * t / total)) / 2 for t in range(total)]
    shapes["warm-up"] = [min(t / 1000, (total - t) / 9000) for t in range(total)]
    factor = linear_factor(total)
    found = {name: math.sqrt(sum((rate * factor) ** 2 for rate in rates)) for name, rates in shapes.items()}
    assert found == pytest.approx({"constant": 1.732, "cosine": 1.061, "warm-up": 1.0}, abs=1e-3)


def test_a_run_without_noise_has_the_factor_0() -> None:
    assert run_factor([]) == run_factor([0.0, 0.0]) == 0.0
    assert decay_factor(range(2, 2), 1) == 0.0


def test_a_dose_for_each_step_is_the_ratio_of_the_learning_rates() -> None:
    assert step_dose(3e-5, 6e-5, 1.0) == 0.5
    assert step_dose(0.0, 6e-5, 1.0) == 0.0


@pytest.mark.parametrize("within", [0.0, 0.5, 1.0, 1.0 + 9e-7])
def test_within(within: float) -> None:
    assert schedules.is_within(within)


@pytest.mark.parametrize("outside", [-1e-9, 1.0 + 2e-6, 77.0, float("inf"), float("nan")])
def test_outside(outside: float) -> None:
    assert not schedules.is_within(outside)


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        ([1.0, 0.5], ValueError, r"schedule has 2 rates and total_steps is 3; give one rate for each"),
        ([], ValueError, r"schedule has 0 rates"),
        ([1.0, 1.5, 0.0], ValueError, r"schedule gives 1\.5 for step 2; it must lie in \[0, 1\]"),
        ([1.0, -0.1, 0.0], ValueError, r"schedule gives -0\.1 for step 2"),
        ([1.0, float("nan"), 0.0], ValueError, r"schedule gives nan for step 2"),
        (["1", 0, 0], TypeError, r"schedule gives '1' for step 1; it must give a number in \[0, 1\]"),
        ([True, 0, 0], TypeError, r"schedule gives True for step 1"),
        (
            [3e-5, 2e-5, 1e-5],
            ValueError,
            r"highest of 3 rates is 3e-05; give lr / lr_max, so the",
        ),
        (lambda step: None, TypeError, r"schedule gives None for step 1"),
    ],
)
def test_what_tells_no_shares(schedule: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        relative_rates(schedule, 3)


def test_shares_are_numbers_of_any_kind() -> None:
    rates = np.array([1.0, 0.5], dtype=np.float32)
    assert relative_rates(rates, 2) == relative_rates([1, np.float64(0.5)], 2) == (1.0, 0.5)


def test_settings_are_recorded_without_the_rule_that_was_ever() -> None:
    assert schedules.recorded_settings({"schedule": "run"}) == {"schedule": "run"}
    assert schedules.recorded_settings({"schedule": "linear", "beta": 0.5}) == {"beta": 0.5}
    assert schedules.recorded_settings({"schedule": "run", "per_step": True}) == {"per_step": True}
    assert schedules.recorded_settings({"noise_lambda": 0.1}) == {"noise_lambda": 0.1}
