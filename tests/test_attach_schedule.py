"""dither.attach with a schedule: the doses of the run, what is refused, and what is said."""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

import dither
from dither.steps import KEY
from small_nets import net, step

STEPS = 10


def pair(lr: float = 0.1, **settings: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = net()
    return model, torch.optim.SGD(model.parameters(), lr=lr, **settings)


def run(model: Any, optimizer: Any, scheduler: Any = None, steps: int = STEPS) -> None:
    for _ in range(steps):
        step(model, optimizer)
        if scheduler is not None:
            scheduler.step()


def state(optimizer: Any, key: str, group: int = 0) -> Any:
    return optimizer.param_groups[group][KEY][key]


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def one_cycle(optimizer: Any) -> Any:
    return schedulers.OneCycleLR(optimizer, max_lr=0.7, total_steps=STEPS, cycle_momentum=False)


def cyclic(optimizer: Any) -> Any:
    return schedulers.CyclicLR(optimizer, 0.01, 0.42, step_size_up=3, cycle_momentum=False)


@pytest.mark.parametrize("make", [one_cycle, cyclic, lambda o: schedulers.CosineAnnealingLR(o, STEPS)])
def test_a_scheduler_that_was_passed_gives_the_dose_asked_for(make: Any, caplog: Any) -> None:
    model, optimizer = pair()
    scheduler = make(optimizer)
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS, schedule=scheduler)
    run(model, optimizer, scheduler, STEPS)
    handle.detach()
    assert handle.record().dose_given == pytest.approx(1.0, rel=1e-12)
    assert caplog.text == ""


def test_each_group_has_its_own_sum() -> None:
    model = net()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1
    )
    scheduler = schedulers.LambdaLR(optimizer, [lambda t: 1.0, lambda t: 0.5**t])
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS, schedule=scheduler)
    sums = [9.0, sum(0.25**t for t in range(1, STEPS))]
    assert [1 / state(optimizer, "factor", i) ** 2 for i in range(2)] == pytest.approx(sums)
    run(model, optimizer, scheduler, 2)
    given = [state(optimizer, "given", i) for i in range(2)]
    assert given == pytest.approx([1 / 9, 0.25 / sums[1]])
    assert handle.record().dose_given == pytest.approx((30 * given[0] + 15 * given[1]) / 45)


@pytest.mark.parametrize("schedule", [[1.0] * STEPS, np.ones(STEPS), lambda t: 1.0, torch.ones(STEPS)])
def test_shares_of_the_highest_learning_rate(schedule: Any) -> None:
    model, optimizer = pair()
    total = STEPS if callable(schedule) else None  # a list says how many there are
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=total, schedule=schedule)
    run(model, optimizer)
    assert handle.total_steps == STEPS
    assert handle.record().dose_given == pytest.approx(1.0, rel=1e-12)


def test_the_stored_factor_counts_after_a_resume() -> None:
    """Whatever the new start says of its schedule; and the end is that of a run in one go."""
    whole, optimizer = pair()
    scheduler = schedulers.CosineAnnealingLR(optimizer, STEPS)
    dither.attach(dither.PATS(), optimizer, whole, total_steps=STEPS, schedule=scheduler)
    run(whole, optimizer, scheduler, 4)
    kept = copy.deepcopy((whole.state_dict(), optimizer.state_dict(), scheduler.state_dict()))
    run(whole, optimizer, scheduler, 6)
    model, other = pair()
    scheduler = schedulers.CosineAnnealingLR(other, STEPS)
    model.load_state_dict(kept[0])
    other.load_state_dict(kept[1])
    scheduler.load_state_dict(kept[2])
    handle = dither.attach(dither.PATS(), other, model, total_steps=STEPS, schedule=[1.0] * STEPS)
    run(model, other, scheduler, 6)
    assert torch.equal(flat(model), flat(whole))
    assert other.param_groups[0][KEY] == optimizer.param_groups[0][KEY]
    assert handle.record().dose_given == pytest.approx(1.0, rel=1e-12)


def test_another_number_of_steps_after_a_resume_is_said(caplog: Any) -> None:
    model, optimizer = pair()
    dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS)
    run(model, optimizer, steps=3)
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS)
    assert caplog.text == ""
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=2 * STEPS)
    assert "total_steps is 20, and the run that the state is of was planned for 10" in caplog.text
    assert handle.record().recipe["total_steps"] == STEPS
    dither.attach(dither.PATS(), optimizer, model, total_steps=2 * STEPS, reset=True)
    assert state(optimizer, "total_steps") == 2 * STEPS


TOO_HIGH = {
    "one cycle made after attach": one_cycle,
    "cyclic made after attach": cyclic,
    "warm-up by hand": None,
}


@pytest.mark.parametrize("make", TOO_HIGH.values(), ids=TOO_HIGH.keys())
@pytest.mark.parametrize("advice", ["schedule", "lr_max"])
def test_a_learning_rate_above_the_highest_is_refused_and_the_advice_works(make: Any, advice: str) -> None:
    model, optimizer = pair(lr=0.001)
    dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS)
    rise = make(optimizer) if make else schedulers.LambdaLR(optimizer, lambda t: 1.0 + 50 * t)
    message = (
        r"the learning rate of parameter group 0 is 0\.\d+ at step \d+, outside \[0, lr_max\]: .* "
        r"lr_max=0\.001 when.* No noise was added\..*schedule=scheduler.*PATS\(lr_max=\.\.\.\)"
    )
    with pytest.raises(ValueError, match=message):
        run(model, optimizer, rise)
    method, planned = dither.PATS(lr_max=0.7), {"total_steps": STEPS, "reset": True}
    if advice == "schedule":
        method, planned = dither.PATS(), planned | {"schedule": rise}
    handle = dither.attach(method, optimizer, model, **planned)
    run(model, optimizer, steps=3)
    assert handle.step == 3


def test_the_refusal_comes_before_the_noise_and_does_not_count() -> None:
    model, optimizer = pair()
    handle = dither.attach(dither.PATS(noise_lambda=5.0), optimizer, model, total_steps=STEPS)
    run(model, optimizer, steps=3)
    twin, plain = pair()
    before = copy.deepcopy(optimizer.state_dict())
    for rate in (0.11, 7.7):
        optimizer.param_groups[0]["lr"] = plain.param_groups[0]["lr"] = rate
        twin.load_state_dict(model.state_dict())
        with pytest.raises(ValueError, match="No noise was added"):
            step(model, optimizer)
        step(twin, plain)
        assert torch.equal(flat(model), flat(twin))
        assert handle.step == 3
    after = optimizer.state_dict()
    assert after["param_groups"][0][KEY] == before["param_groups"][0][KEY]


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0])
def test_no_learning_rate_at_all_is_refused(rate: float) -> None:
    model, optimizer = pair()
    handle = dither.attach(dither.PATS(include="0.weight"), optimizer, model, total_steps=STEPS)
    optimizer.param_groups[0]["lr"] = rate
    with pytest.raises(ValueError, match=rf"parameter group 0 is {rate:g} at step 1, outside \[0, lr_max\]"):
        step(model, optimizer)
    assert handle.step == 0


def test_rounding_is_no_higher_learning_rate() -> None:
    model, optimizer = pair()
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS)
    optimizer.param_groups[0]["lr"] = 0.1 * (1 + 5e-7)
    run(model, optimizer, steps=2)
    assert handle.step == 2


def test_a_group_without_noise_may_have_any_learning_rate() -> None:
    model = net()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1
    )
    handle = dither.attach(dither.PATS(include="0.*"), optimizer, model, total_steps=STEPS)
    optimizer.param_groups[1]["lr"] = 7.0
    run(model, optimizer, steps=2)
    assert handle.step == 2


def test_attaching_again_before_the_first_step_is_a_new_start() -> None:
    """The advice "attach once the scheduler is made" is as good as attaching there at first."""
    model, optimizer = pair(lr=0.001)
    dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS)
    scheduler = one_cycle(optimizer)
    dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS, schedule=scheduler)
    assert state(optimizer, "lr_max") == pytest.approx(0.7)
    handle = dither.attach(dither.PATS(schedule="linear"), optimizer, model, total_steps=STEPS)
    assert "factor" not in optimizer.param_groups[0][KEY]
    assert handle.record().dose_given is None


def test_a_schedule_above_lr_max_is_refused_at_once() -> None:
    model, optimizer = pair()
    message = r"takes the learning rate of parameter group 0 to 0\.7, above PATS\(lr_max=0\.5\)"
    planned = {"total_steps": STEPS, "schedule": one_cycle(optimizer)}
    with pytest.raises(ValueError, match=message):
        dither.attach(dither.PATS(lr_max=0.5), optimizer, model, **planned)
    assert KEY not in optimizer.param_groups[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"per_step": True},
            r"PATS\(per_step=True\) does not look at the learning rates to come; leave schedule=",
        ),
        ({"schedule": "linear"}, r"PATS\(schedule='linear'\) does not look at the learning rates to come"),
    ],
)
def test_a_schedule_that_would_not_count_is_refused(settings: Any, message: str) -> None:
    model, optimizer = pair()
    with pytest.raises(ValueError, match=message):
        dither.attach(dither.PATS(**settings), optimizer, model, total_steps=STEPS, schedule=[1.0] * STEPS)


def test_bad_schedules_write_nothing() -> None:
    model, optimizer = pair()
    for schedule in ([1.0] * 3, "cosine", schedulers.ReduceLROnPlateau(optimizer)):
        with pytest.raises((TypeError, ValueError), match=r"schedule|ReduceLROnPlateau"):
            dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS, schedule=schedule)
        assert KEY not in optimizer.param_groups[0]


def test_numbers_of_other_kinds() -> None:
    model, optimizer = pair()
    method = dither.PATS(noise_lambda=np.float32(0.15), seed=np.int64(3))
    handle = dither.attach(method, optimizer, model, total_steps=np.int64(STEPS))
    run(model, optimizer, steps=1)
    assert dither.attach(dither.PATS(seed=3), optimizer, model, total_steps=STEPS).step == 1
    assert type(handle.total_steps) is int


def said(caplog: Any) -> list[str]:
    return [row.getMessage() for row in caplog.records if row.levelno == logging.WARNING]


def test_a_constant_learning_rate_is_said_as_soon_as_it_is_certain(caplog: Any) -> None:
    model, optimizer = pair(lr=1e-4)
    dither.attach(dither.PATS(), optimizer, model, total_steps=100)
    run(model, optimizer, steps=34)
    assert said(caplog) == []
    run(model, optimizer, steps=66)
    (message,) = said(caplog)
    assert "after step 36 of 100 the noise has 1.03 times the dose that noise_lambda asks for" in message
    assert "if the learning rate stays where it is, 1.74 times at the end" in message
    assert "attach(..., schedule=scheduler)" in message


def test_what_is_said_early_is_of_the_group_that_has_too_much(caplog: Any) -> None:
    """The other one has had little so far, as it should."""
    model = net()
    optimizer = torch.optim.SGD([{"params": model[i].parameters()} for i in (0, 2)], lr=1e-4)
    dither.attach(dither.PATS(), optimizer, model, total_steps=100)
    optimizer.param_groups[0]["lr"] = 1e-5
    run(model, optimizer, steps=50)
    (message,) = said(caplog)
    assert "after step 36 of 100 the noise has 1.03 times" in message


@pytest.mark.parametrize("decay", [0.9, 0.999])
def test_another_dose_is_said_once_at_the_latest_at_the_end(decay: float, caplog: Any) -> None:
    model, optimizer = pair(lr=1e-4)
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=40)
    scheduler = schedulers.ExponentialLR(optimizer, decay)
    run(model, optimizer, scheduler, 40)
    handle.detach()
    (message,) = said(caplog)
    given = sum(decay ** (2 * t) for t in range(1, 40)) / sum((1 - t / 40) ** 2 for t in range(1, 40))
    assert handle.record().dose_given == pytest.approx(given)
    if decay == 0.9:
        assert f"after step 40 of 40 the noise has {math.sqrt(given):.2f} times" in message


def test_linear_decay_is_what_it_is_taken_for(caplog: Any) -> None:
    model, optimizer = pair()
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS)
    scheduler = schedulers.LinearLR(optimizer, 1.0, 0.0, total_iters=STEPS)
    run(model, optimizer, scheduler)
    handle.detach()
    assert said(caplog) == []
    assert handle.record().dose_given == pytest.approx(1.0, rel=1e-12)


def test_a_run_that_ends_early_says_what_it_gave(caplog: Any) -> None:
    model, optimizer = pair()
    handle = dither.attach(dither.PATS(), optimizer, model, schedule=[1.0] * STEPS)
    run(model, optimizer, steps=4)
    assert handle.record().dose_given == pytest.approx(3 / 9)
    assert "0.577 of the dose asked for, in 4 steps" in handle.record().summary()
    handle.detach()
    handle.detach()
    assert [message[:71] for message in said(caplog)] == [
        "PATS: after step 4 of 10 the noise has 0.58 times the dose that noise_l"
    ]


def test_a_run_of_steps_without_noise_is_said(caplog: Any) -> None:
    for settings, schedule in (({"start": 11}, None), ({}, lambda t: float(t == 0))):
        model, optimizer = pair()
        handle = dither.attach(
            dither.PATS(**settings), optimizer, model, total_steps=STEPS, schedule=schedule
        )
        run(model, optimizer, steps=STEPS if schedule is None else 1)
        handle.detach()
        (message,) = said(caplog)
        assert "no step of this run adds noise: of 10 steps those from" in message
        caplog.clear()


def test_no_tensor_to_noise_is_said(caplog: Any) -> None:
    model, optimizer = pair()
    dither.attach(dither.PATS(include="*.bias"), optimizer, model, total_steps=STEPS)
    assert "PATS: no tensor will be noised: pats, seed 0: 0 tensors noised, 4 skipped (" in caplog.text
    caplog.clear()
    dither.attach(dither.PATS(noise_lambda=0.0), optimizer, model, total_steps=STEPS, reset=True)
    assert said(caplog) == []  # as asked for


def test_steps_without_gradients_and_no_step_at_all_are_said(caplog: Any) -> None:
    model, optimizer = pair()
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=STEPS)
    assert handle.record().message == "no optimizer step was counted so far: nothing was noised"
    optimizer.step()
    optimizer.step()
    (message,) = said(caplog)
    assert "the optimizer stepped and no parameter has a gradient" in message
    handle.detach()
    assert "no optimizer step was counted, so nothing was noised" in said(caplog)[1]


class TestOnAGpu:
    """A learning rate there is not read at each step. Any tensor is taken for one that lies there."""

    @pytest.fixture(autouse=True)
    def elsewhere(self, monkeypatch: Any) -> None:
        monkeypatch.setattr("dither.steps.step_doses.waits", lambda rate: isinstance(rate, torch.Tensor))

    def run(self, rates: list[float], *, tensor: bool = True) -> tuple[nn.Module, Any, dither.Handle]:
        torch.manual_seed(0)
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.125) if tensor else 0.125)
        handle = dither.attach(dither.PATS(noise_lambda=3.0), optimizer, model, schedule=[1.0] * STEPS)
        for rate in rates:
            if tensor:
                optimizer.param_groups[0]["lr"].fill_(rate)
            else:
                optimizer.param_groups[0]["lr"] = rate
            step(model, optimizer)
        return model, optimizer, handle

    def test_the_noise_is_the_same(self) -> None:
        rates = [0.125, 0.0625, 0.125, 0.0, 0.1]
        (model, _, handle), (plain, _, other) = self.run(rates), self.run(rates, tensor=False)
        assert torch.allclose(flat(model), flat(plain), rtol=1e-5, atol=1e-7)
        assert handle.step == other.step == 5
        assert handle.record().dose_given == pytest.approx(other.record().dose_given, rel=1e-6)

    @pytest.mark.parametrize("rate", [0.126, 9.0, float("nan"), float("inf"), -0.1])
    def test_a_step_with_a_higher_one_does_nothing_and_the_error_comes_when_something_is_read(
        self, rate: float
    ) -> None:
        model, optimizer, handle = self.run([0.125] * 3)
        held = copy.deepcopy(optimizer.param_groups[0][KEY])
        twin = copy.deepcopy(model)
        optimizer.param_groups[0]["lr"].fill_(rate)
        step(model, optimizer)
        step(twin, torch.optim.SGD(twin.parameters(), lr=rate if math.isfinite(rate) and rate >= 0 else 0.0))
        if 0 <= rate < 10:
            assert torch.equal(flat(model), flat(twin))
        for read in (handle.record, optimizer.state_dict, lambda: handle.step, handle.detach):
            with pytest.raises(
                ValueError, match=r"learning rate of parameter group 0 is .*outside \[0, lr_max\]"
            ):
                read()
        assert optimizer.param_groups[0][KEY] == held
        assert (
            dither.attach(dither.PATS(noise_lambda=3.0), optimizer, model, schedule=[1.0] * STEPS).step == 3
        )

    def test_the_host_is_not_asked(self, monkeypatch: Any) -> None:
        """Asking would make it wait at each step. On the CPU it is asked, so the counting is seen to work."""
        asked: list[int] = []

        class Watched(torch.Tensor):
            def __float__(self) -> float:
                asked.append(1)
                return super().__float__()

        _, optimizer, _ = self.run([0.125] * 2)
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"].as_subclass(Watched)
        hook = next(reversed(optimizer._optimizer_step_post_hooks.values()))
        monkeypatch.setattr("dither.steps.optimizers.waits", lambda rate: isinstance(rate, torch.Tensor))
        hook(optimizer, (), {})
        assert asked == []
        monkeypatch.undo()
        hook(optimizer, (), {})
        assert asked != []
