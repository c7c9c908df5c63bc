"""The learning rates read ahead from a copy of a scheduler: those of the run, of which nothing is touched."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as torch_schedulers
from transformers import get_scheduler

from dither.steps.rates import UnknownRatesError, check_schedule, rates_ahead

STEPS = 12
OF_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "linear": {},
    "cosine": {},
    "constant": {},
    "constant_with_warmup": {},
    "polynomial": {"lr_end": 1e-7, "power": 2.0},
    "cosine_with_restarts": {"num_cycles": 3},
    "inverse_sqrt": {},
    "cosine_with_min_lr": {"min_lr": 1e-4},
    "warmup_stable_decay": {"num_decay_steps": 4},
}


def optimizer_of(kind: str = "AdamW", lr: Any = 0.1) -> torch.optim.Optimizer:
    """Two groups, the second at a tenth."""
    rows = [{"params": [nn.Parameter(torch.ones(3))], "lr": one} for one in (lr, lr / 10)]
    return getattr(torch.optim, kind)(rows)


def transformers_scheduler(name: str) -> Callable[[Any], Any]:
    settings = {"num_warmup_steps": 3, "num_training_steps": STEPS}
    extra = OF_TRANSFORMERS[name]
    return lambda optimizer: get_scheduler(name, optimizer, **settings, scheduler_specific_kwargs=extra)


class Stateful:
    """A factor that depends on how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, step: int) -> float:
        self.asked += 1
        return 1 / self.asked


def sequential(optimizer: Any) -> Any:
    parts = [
        torch_schedulers.LinearLR(optimizer, 0.1, total_iters=4),
        torch_schedulers.ExponentialLR(optimizer, 0.9),
    ]
    return torch_schedulers.SequentialLR(optimizer, parts, milestones=[4])


def chained(optimizer: Any) -> Any:
    return torch_schedulers.ChainedScheduler(
        [
            torch_schedulers.ConstantLR(optimizer, 0.1, total_iters=4),
            torch_schedulers.StepLR(optimizer, 3, 0.5),
        ]
    )


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    **{name: transformers_scheduler(name) for name in OF_TRANSFORMERS},
    "lambda": lambda o: torch_schedulers.LambdaLR(o, lambda t: 1 - t / STEPS),
    "a lambda for each group": lambda o: torch_schedulers.LambdaLR(
        o, [lambda t: 1 / (t + 1), lambda t: 0.9**t]
    ),
    "a stateful factor": lambda o: torch_schedulers.LambdaLR(o, Stateful()),
    "one cycle": lambda o: torch_schedulers.OneCycleLR(o, max_lr=0.7, total_steps=STEPS),
    "cyclic": lambda o: torch_schedulers.CyclicLR(o, 0.01, 0.42, step_size_up=3, cycle_momentum=False),
    "cyclic by a function": lambda o: torch_schedulers.CyclicLR(
        o, 0.01, 0.42, step_size_up=3, scale_fn=lambda x: 0.5**x, cycle_momentum=False
    ),
    "restarts": lambda o: torch_schedulers.CosineAnnealingWarmRestarts(o, 5),
    "multiplicative": lambda o: torch_schedulers.MultiplicativeLR(o, lambda t: 0.95),
    "sequential": sequential,
    "chained": chained,
}


def picture(scheduler: Any, optimizer: Any) -> str:
    """Everything that a run goes on with, in words."""
    groups = [{key: value for key, value in row.items() if key != "params"} for row in optimizer.param_groups]
    state = copy.deepcopy(scheduler.state_dict())
    return repr((groups, state, dict(optimizer.state), sorted(map(str, optimizer.__dict__))))


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS.keys())
@pytest.mark.parametrize("kind", ["AdamW", "SGD"])
def test_they_are_those_that_the_run_has(make: Any, kind: str) -> None:
    optimizer = optimizer_of(kind)
    scheduler = make(optimizer)
    before = picture(scheduler, optimizer)
    ahead = rates_ahead(scheduler, optimizer, STEPS)
    assert picture(scheduler, optimizer) == before
    found = []
    for _ in range(STEPS):
        found.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step() if len(found) < STEPS else None
    assert [list(rates) for rates in zip(*found, strict=True)] == ahead
    assert len(set(ahead[0])) > 1 or make is SCHEDULERS["constant"]


def test_from_where_the_scheduler_stands() -> None:
    optimizer = optimizer_of()
    scheduler = SCHEDULERS["cosine"](optimizer)
    whole = rates_ahead(scheduler, optimizer, STEPS)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert rates_ahead(scheduler, optimizer, STEPS - 5) == [rates[5:] for rates in whole]


def test_a_learning_rate_that_is_a_tensor_stays_itself() -> None:
    optimizer = optimizer_of(lr=torch.tensor(0.1))
    held = [group["lr"] for group in optimizer.param_groups]
    scheduler = SCHEDULERS["linear"](optimizer)
    ahead = rates_ahead(scheduler, optimizer, STEPS)
    assert all(group["lr"] is one for group, one in zip(optimizer.param_groups, held, strict=True))
    assert float(held[0]) == 0.0
    assert max(ahead[0]) == pytest.approx(0.1)


def test_weights_are_not_copied() -> None:
    """A factor that holds the model would else double the memory of the run."""
    copies: list[int] = []

    class Weight(nn.Parameter):
        def __deepcopy__(self, memo: Any) -> Any:
            copies.append(1)
            return self

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = Weight(torch.ones(2))

        def factor(self, step: int) -> float:
            return 1 / (step + 1)

    model = Holder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch_schedulers.LambdaLR(optimizer, model.factor)
    assert rates_ahead(scheduler, optimizer, 2) == [[0.1, 0.05]]
    assert copies == []


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: float(torch.rand(1))])
def test_random_states_are_put_back(draw: Any, unmoved_random_state: None) -> None:
    optimizer = optimizer_of()
    torch_schedulers.LambdaLR(optimizer, lambda t: 1.0)
    scheduler = torch_schedulers.LambdaLR(optimizer, lambda t: 1.0 if t == 0 else draw())
    assert len(set(rates_ahead(scheduler, optimizer, STEPS)[0])) > 2


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("split_batches", [True, False])
def test_inside_the_wrapper_of_accelerate(monkeypatch: Any, processes: int, split_batches: bool) -> None:
    """It steps what is inside as often as there are processes, unless they split the batches."""
    from accelerate.scheduler import AcceleratedScheduler
    from accelerate.state import AcceleratorState

    monkeypatch.setattr(AcceleratorState, "__init__", lambda self: None)
    monkeypatch.setattr(AcceleratorState, "num_processes", processes, raising=False)
    optimizer = optimizer_of()
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=STEPS)
    wrapped = AcceleratedScheduler(scheduler, optimizer, split_batches=split_batches)
    times = 1 if split_batches else processes
    expected = [0.1 * (1 - t * times / STEPS) for t in range(3)]
    assert rates_ahead(wrapped, optimizer, 3)[0] == pytest.approx(expected)
    assert scheduler.last_epoch == 0


def test_one_cycle_in_the_wrapper_ends_with_its_cycle(monkeypatch: Any) -> None:
    """Three steps of five each are more than its twelve: accelerate leaves out what would be an error."""
    from accelerate.scheduler import AcceleratedScheduler
    from accelerate.state import AcceleratorState

    monkeypatch.setattr(AcceleratorState, "__init__", lambda self: None)
    monkeypatch.setattr(AcceleratorState, "num_processes", 5, raising=False)
    optimizer, other = optimizer_of(), optimizer_of()
    wrapped = AcceleratedScheduler(SCHEDULERS["one cycle"](optimizer), optimizer)
    plain = SCHEDULERS["one cycle"](other)
    ahead = rates_ahead(wrapped, optimizer, 4)[0]
    for _ in range(STEPS):
        other.step()
        plain.step()
    assert ahead[-1] == other.param_groups[0]["lr"] != ahead[-2]


class NoCopy:
    """What cannot be copied, as files and generators cannot."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("no copy of it")

    def __call__(self, step: int) -> float:
        return 1.0


UNKNOWN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a metric": (
        torch_schedulers.ReduceLROnPlateau,
        r"a copy of the ReduceLROnPlateau cannot be stepped ahead \(step 2 of 12: TypeError: .*metrics",
    ),
    "no copy": (
        lambda o: torch_schedulers.LambdaLR(o, NoCopy()),
        r"a copy of the LambdaLR cannot be stepped ahead \(step 2 of 12: TypeError: no copy of it\)",
    ),
    "too short": (
        lambda o: torch_schedulers.OneCycleLR(o, 0.7, total_steps=6),
        r"a copy of the OneCycleLR .* \(step 8 of 12: ValueError: Tried to step 7 times",
    ),
    "another optimizer": (
        lambda o: SCHEDULERS["cosine"](optimizer_of()),
        r"schedule is a LambdaLR of another optimizer than the one attached to, so it tells nothing",
    ),
    "no optimizer": (lambda o: Stepped(), r"schedule is a Stepped of no torch optimizer"),
}


class Stepped:
    """Something with steps that drives no optimizer."""

    def step(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(("make", "message"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_cannot_be_known(make: Any, message: str) -> None:
    optimizer = optimizer_of()
    scheduler = make(optimizer)
    before = [dict(group) for group in optimizer.param_groups]
    with pytest.raises(UnknownRatesError, match=message):
        rates_ahead(scheduler, optimizer, STEPS)
    assert repr([dict(group) for group in optimizer.param_groups]) == repr(before)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("linear", r"schedule is 'linear'; it must be .* \('run' and 'linear' are settings of PATS\)"),
        ("cosine", r"schedule is 'cosine'; it must be the learning rate scheduler, a list .*0, 1, \.\.\.$"),
        (0.5, r"schedule is 0\.5; it must be the learning rate scheduler, a list of lr / lr_max"),
    ],
)
def test_what_tells_no_learning_rates(schedule: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_schedule(schedule)
