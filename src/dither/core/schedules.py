"""The strength of the noise over a training run: how the dose of the whole run is divided among its steps.

    c_t = (lr_t / lr_max) · f,    f = 1 / sqrt(Σ (lr_t / lr_max)² over the steps with noise)

The squares of c_t add up to one: what a weight that always gets full noise has accumulated at the end of the
run has the spread of NoisyTune's noise at the same λ, whatever the schedule of the learning rate and the
number of steps. lr_max cancels out.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, Final

SCHEDULES = ("run", "linear")
"""What a method's `schedule` may be: by the run's own learning rates, or as if they fell linearly."""

EARLIER_SCHEDULE: Final = "linear"
"""The only rule before there was a choice: settings that do not say which one is meant have this one."""

TOLERANCE = 1e-6
"""By how much a learning rate may exceed the highest of the run, relative: rounding, no more."""

_LEAST_PEAK = 0.5


def step_dose(learning_rate: float, max_learning_rate: float, factor: float) -> float:
    """The share c_t of the run's dose that one step gives: (lr_t / lr_max) · f.

    Args:
        learning_rate: of this step, >= 0.
        max_learning_rate: the highest of the run, > 0.
        factor: f, from `run_factor` or `linear_factor`; 1 for the raw rule, a dose per step.

    Example:
        >>> factor = run_factor([1.0] * 100)
        >>> round(sum(step_dose(3e-5, 3e-5, factor) ** 2 for t in range(100)), 9)
        1.0
    """
    return learning_rate / max_learning_rate * factor


def run_factor(rates: Iterable[float]) -> float:
    """f of a run whose learning rates are known: 1 / sqrt(Σ rate²), or 0 where all are 0.

    Args:
        rates: lr_t / lr_max of each step with noise, >= 0.

    Example:
        >>> run_factor([1.0, 1.0, 1.0, 1.0])
        0.5
    """
    squares = math.fsum(rate * rate for rate in rates)
    return 1.0 / math.sqrt(squares) if squares > 0.0 else 0.0


def decay_factor(steps: range, total_steps: int) -> float:
    """f of a run whose learning rate falls linearly, from step 1 to 0 after step T; no loop over the steps.

    With noise at the steps 2 to T it is `linear_factor(T)` · sqrt(2T² / ((T − 1)(2T − 1))), which is
    `linear_factor(T)` · (1 + 3/(4T) + ...).

    Args:
        steps: those with noise, counted from 1.
        total_steps: T, > 0.

    Example:
        >>> decay_factor(range(2, 1001), 1000) == run_factor(1 - (t - 1) / 1000 for t in range(2, 1001))
        True
    """
    count, left, stride = len(steps), total_steps + 1 - steps.start, steps.step
    # Σ (left − stride·j)² over j < count, in whole numbers
    squares = count * left**2 - left * stride * count * (count - 1)
    squares += stride**2 * (count - 1) * count * (2 * count - 1) // 6
    return math.sqrt(total_steps**2 / squares) if squares > 0 else 0.0


def linear_factor(total_steps: int, every: int = 1) -> float:
    """f of the rule "linear": sqrt(3·every / T), the limit of `decay_factor` for long runs.

    It takes every run for one of linear decay. Warm-up before the decay changes next to nothing; a constant
    learning rate gets sqrt(3) = 1.73 times the dose, a cosine 1.06 times.

    Args:
        total_steps: T, > 0.
        every: noise is added at every `every`-th step.

    Example:
        >>> T = 1000
        >>> round(sum(step_dose(1 - t / T, 1.0, linear_factor(T)) ** 2 for t in range(T)), 2)
        1.0
    """
    return math.sqrt(3.0 * every / total_steps)


def is_within(ratio: float) -> bool:
    """Whether lr_t / lr_max lies in [0, 1], but for rounding.

    Example:
        >>> is_within(1.0 + 1e-9), is_within(1.01), is_within(float("nan"))
        (True, False, False)
    """
    return 0.0 <= ratio <= 1.0 + TOLERANCE


def relative_rates(schedule: Iterable[float] | Callable[[int], float], total_steps: int) -> tuple[float, ...]:
    """The learning rates of a run as shares of its highest, step by step.

    Args:
        schedule: one share for each step, or what gives it for the number of steps made before (0, 1, ...),
            as torch's LambdaLR takes it.
        total_steps: T, > 0.

    Raises:
        ValueError, TypeError: other than T shares, one outside [0, 1], or none near 1.

    Example:
        >>> relative_rates(lambda step: 1 - step / 4, total_steps=4)
        (1.0, 0.75, 0.5, 0.25)
        >>> relative_rates([3e-5, 2e-5], total_steps=2)
        Traceback (most recent call last):
        ...
        ValueError: schedule: the highest of 2 rates is 3e-05; give lr / lr_max, so the highest is 1
    """
    if callable(schedule):
        schedule = [schedule(step) for step in range(total_steps)]
    rates = tuple(_share(rate, step) for step, rate in enumerate(schedule, 1))
    if len(rates) != total_steps:
        raise ValueError(
            f"schedule has {len(rates)} rates and total_steps is {total_steps}; give one rate for each "
            "optimizer step of the whole run"
        )
    if max(rates) < _LEAST_PEAK:
        raise ValueError(
            f"schedule: the highest of {len(rates)} rates is {max(rates):g}; give lr / lr_max, so the "
            "highest is 1"
        )
    return rates


def _share(rate: object, step: int) -> float:
    number = rate.item() if hasattr(rate, "item") else rate
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(f"schedule gives {rate!r} for step {step}; it must give a number in [0, 1]")
    if not is_within(float(number)):
        raise ValueError(
            f"schedule gives {number} for step {step}; it must lie in [0, 1]: the learning rate divided by "
            "lr_max, the highest of the run"
        )
    return float(number)


def recorded_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A method's settings as they are written down: without a schedule that adds the noise as ever.

    So a run keeps the identity that it had before there was a choice, and one of the rule "run" has another.

    Example:
        >>> recorded_settings({"beta": 0.85, "schedule": "linear"}), recorded_settings({"schedule": "run"})
        ({'beta': 0.85}, {'schedule': 'run'})
    """
    as_ever = settings.get("schedule") == EARLIER_SCHEDULE or settings.get("per_step") is True
    return {key: value for key, value in settings.items() if not (as_ever and key == "schedule")}
