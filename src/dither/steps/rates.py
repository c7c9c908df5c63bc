"""The learning rates that a run will have: read ahead from a copy of its scheduler.

Nothing of the run is touched: the copy drives a stand-in for the optimizer, and random states that it moves
are put back.
"""

import copy
import random
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from dither.core.schedules import SCHEDULES, decay_factor, relative_rates, run_factor
from dither.steps.optimizers import base_optimizer


class UnknownRatesError(ValueError):
    """The learning rates of a scheduler cannot be known before the run."""


@dataclass(frozen=True)
class RatePlan:
    """What is known of a run's learning rates when it starts.

    Attributes:
        total_steps: T.
        steps: those with noise, counted from 1.
        rates: of each parameter group, one for each step; None where they are not known by group.
        shares: lr / lr_max of all groups, one for each step; None where they are not known. Without either
            the learning rates are taken to fall linearly from step 1 on.
    """

    total_steps: int
    steps: range
    rates: Sequence[Sequence[float]] | None = None
    shares: Sequence[float] | None = None

    @classmethod
    def of(
        cls, schedule: Any, optimizer: Optimizer, total_steps: int, steps: range, *, made: int = 0
    ) -> "RatePlan":
        """By a scheduler, by the shares of all steps, by what gives them, or by None: not known.

        Args:
            schedule, optimizer, total_steps: of the run; a scheduler stands where it is after `made` steps.
            steps: those with noise, counted from 1.
            made: how many steps of the run were made before; these get no part of the plan.

        Raises:
            ValueError, TypeError: what tells no learning rates, or not those of this optimizer and run.
        """
        steps = steps[max(0, -((steps.start - made - 1) // steps.step)) :]
        if schedule is None:
            return cls(total_steps, steps)
        if is_scheduler(schedule):
            ahead = rates_ahead(schedule, optimizer, max(1, total_steps - made))
            return cls(total_steps, steps, rates=[[0.0] * made + rates for rates in ahead])
        return cls(total_steps, steps, shares=relative_rates(schedule, total_steps))

    def highest(self, group: int) -> float:
        """The highest learning rate of a group as far as it is known, else 0."""
        return 0.0 if self.rates is None else max(self.rates[group])

    def factor(self, group: int, lr_max: float) -> float:
        """What makes the squares of the doses of a group's steps add up to one; 0 where no step has noise."""
        if self.rates is not None:
            return run_factor(self.rates[group][step - 1] / lr_max for step in self.steps)
        if self.shares is not None:
            return run_factor(self.shares[step - 1] for step in self.steps)
        return decay_factor(self.steps, self.total_steps)


def is_scheduler(schedule: Any) -> bool:
    """Whether an object is stepped, as torch's schedulers are, rather than called or read."""
    return callable(getattr(schedule, "step", None))


def check_schedule(schedule: Any) -> None:
    """Refuse what tells no learning rates.

    Example:
        >>> check_schedule("cosine")
        Traceback (most recent call last):
        ...
        TypeError: schedule is 'cosine'; it must be the learning rate scheduler, a list of lr / lr_max for ...
    """
    if isinstance(schedule, str) or not (
        schedule is None or is_scheduler(schedule) or callable(schedule) or isinstance(schedule, Iterable)
    ):
        rule = (
            f" ({' and '.join(map(repr, SCHEDULES))} are settings of PATS)" if schedule in SCHEDULES else ""
        )
        raise TypeError(
            f"schedule is {schedule!r}; it must be the learning rate scheduler, a list of lr / lr_max for "
            f"each step, or a function that gives it for 0, 1, ...{rule}"
        )


def rates_ahead(scheduler: Any, optimizer: Optimizer, steps: int) -> list[list[float]]:
    """The learning rates of the next steps: a list for each parameter group, one for each step.

    The scheduler is taken to be stepped after each optimizer step; accelerate's wrapper steps what is inside
    as often as there are processes.

    Args:
        scheduler: as it stands before the first of these steps; it stays so.
        optimizer: the torch optimizer whose learning rates it sets.
        steps: how many, > 0.

    Raises:
        UnknownRatesError: it sets the learning rates of another optimizer, its steps need a metric, it cannot
            be copied, or it fails on the way.

    Example:
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
        >>> scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (t + 1))
        >>> rates_ahead(scheduler, optimizer, 2), scheduler.last_epoch, optimizer.param_groups[0]["lr"]
        ([[0.1, 0.05]], 0, 0.1)
    """
    inner, times = _unwrapped(scheduler)
    name = type(inner).__name__
    driven = getattr(inner, "optimizer", None)
    if not isinstance(driven, Optimizer) or base_optimizer(driven) is not optimizer:
        whose = "no torch optimizer" if driven is None else "another optimizer than the one attached to"
        raise UnknownRatesError(
            f"schedule is a {name} of {whose}, so it tells nothing of these learning rates"
        )
    double = _double(optimizer)
    found = [_rates(double)]
    with warnings.catch_warnings(), _kept_random_states():
        warnings.simplefilter("ignore")
        try:
            twin = copy.deepcopy(inner, _shared(driven, optimizer, double))
            while len(found) < steps:
                for _ in range(times):
                    _step(twin, times)
                found.append(_rates(double))
        except Exception as error:
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise UnknownRatesError(
                f"a copy of the {name} cannot be stepped ahead (step {len(found) + 1} of {steps}: {why})"
            ) from error
    return [list(rates) for rates in zip(*found, strict=True)]


def _unwrapped(scheduler: Any) -> tuple[Any, int]:
    """The scheduler inside accelerate's wrapper, and how often that steps it for each optimizer step."""
    times = 1
    while is_scheduler(getattr(scheduler, "scheduler", None)):
        if getattr(scheduler, "step_with_optimizer", False) and not getattr(scheduler, "split_batches", True):
            from accelerate.state import AcceleratorState

            times *= AcceleratorState().num_processes
        scheduler = scheduler.scheduler
    return scheduler, times


def _step(twin: Any, times: int) -> None:
    """One step, unless accelerate would leave it out: OneCycleLR at the end of its cycle."""
    if times == 1 or not hasattr(twin, "total_steps") or twin._step_count <= twin.total_steps:
        twin.step()


def _double(optimizer: Optimizer) -> Optimizer:
    """An optimizer of the same class with groups of its own and nothing to train."""
    double: Any = object.__new__(type(optimizer))

    def step() -> None:
        """Nothing; torch's schedulers look for the mark below."""

    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    groups = [
        {key: _own(value) for key, value in group.items() if key != "params"} | {"params": []}
        for group in optimizer.param_groups
    ]
    double.__dict__ |= {"param_groups": groups, "defaults": dict(optimizer.defaults), "state": {}}
    double.__dict__ |= {"step": step, "_opt_called": True}
    return double


def _own(value: Any) -> Any:
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else copy.copy(value)


def _shared(driven: Any, optimizer: Optimizer, double: Optimizer) -> dict[int, Any]:
    """What is not copied: the optimizer and its wrappers have their stand-in, weights stay themselves."""
    memo: dict[int, Any] = {id(optimizer): double}
    while driven is not optimizer:
        memo[id(driven)] = double
        driven = driven.optimizer
    return memo | {id(weight): weight for group in optimizer.param_groups for weight in group["params"]}


def _rates(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


@contextmanager
def _kept_random_states() -> Iterator[None]:
    """A scheduler of the user's may draw: whatever it moved is put back."""
    numpy = sys.modules.get("numpy")
    kept, theirs = random.getstate(), numpy.random.get_state() if numpy is not None else None
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(kept)
        if numpy is not None:
            numpy.random.set_state(theirs)
