"""lr_max, the dose and several parameter groups."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import dither


def net(shape: tuple[int, int] = (8, 6)) -> nn.Module:
    model, generator = nn.Module(), torch.Generator().manual_seed(0)
    model.a = nn.Parameter(torch.randn(shape, generator=generator))
    model.b = nn.Parameter(torch.randn(shape, generator=generator))
    return model


def step(model: nn.Module, optimizer: Any, times: int = 1) -> None:
    """Gradients under which half of the weights hardly matter."""
    for _ in range(times):
        for parameter in model.parameters():
            parameter.grad = torch.linspace(1e-6, 1, parameter.numel()).view(parameter.shape)
        optimizer.step()


def peaks(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["dither"]["lr_max"] for group in optimizer.param_groups]


def test_the_rate_at_attach_is_the_highest_where_nothing_else_is_known() -> None:
    model = net()
    optimizer = torch.optim.SGD([{"params": [model.a], "lr": 0.1}, {"params": [model.b], "lr": 0.2}])
    dither.attach(dither.PATS(), optimizer, model, total_steps=3)
    assert peaks(optimizer) == [0.1, 0.2]


def test_a_warm_up_has_its_initial_lr() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: t / 10)
    assert optimizer.param_groups[0]["lr"] == 0.0
    dither.attach(dither.PATS(), optimizer, model, total_steps=3)
    assert peaks(optimizer) == [0.1]


def test_one_cycle_has_its_max_lr() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.7, total_steps=10)
    dither.attach(dither.PATS(), optimizer, model, total_steps=10)
    assert peaks(optimizer) == [0.7]


def test_lr_max_overrides() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.7, total_steps=10)
    dither.attach(dither.PATS(lr_max=2), optimizer, model, total_steps=10)
    assert peaks(optimizer) == [2.0]


@pytest.mark.parametrize("fused", [True, False])
def test_a_rate_that_is_a_tensor(fused: bool) -> None:
    found = []
    for lr in (0.01, torch.tensor(0.01)):
        model = net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, fused=fused, capturable=False)
        dither.attach(dither.PATS(), optimizer, model, total_steps=3)
        step(model, optimizer, 3)
        assert isinstance(peaks(optimizer)[0], float)
        found.append(model.a.detach())
    assert torch.allclose(*found, rtol=0, atol=1e-7)  # 0.01 is another number in float32


@pytest.mark.parametrize("lr", [0.0, None])
def test_a_rate_of_0_or_none_at_attach_is_refused(lr: Any) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    optimizer.param_groups[0]["lr"] = lr
    message = r"learning rate of parameter group 0 is 0\.0 where PATS is attached.*PATS\(lr_max=\.\.\.\)"
    message = message if lr is not None else r"group 0 of the optimizer has no learning rate"
    with pytest.raises(ValueError, match=message):
        dither.attach(dither.PATS(), optimizer, model, total_steps=3)
    assert "dither" not in optimizer.param_groups[0]


def noise(factors: list[float], **settings: Any) -> torch.Tensor:
    """The noise on `a` after steps at these multiples of lr = 1e-30: no training, noise alone."""
    model = net()
    before = model.a.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-30)
    handle = dither.attach(dither.PATS(**settings), optimizer, model, total_steps=len(factors))
    for factor in factors:
        optimizer.param_groups[0]["lr"] = 1e-30 * factor
        step(model, optimizer)
    assert handle.step == len(factors)
    return (model.a.detach() - before).double()


def test_the_noise_is_proportional_to_the_rate() -> None:
    full, half = noise([1, 1]), noise([1, 0.5])
    moved = full.abs() > 1e-3
    assert moved.sum() > 10
    assert torch.allclose((half / full)[moved], torch.tensor(0.5, dtype=torch.float64), atol=1e-3)


@pytest.mark.parametrize(("schedule", "factor"), [("linear", (3 / 2) ** 0.5), ("run", 2.0)])
def test_the_dose_of_a_step_is_a_share_of_the_run(schedule: Any, factor: float) -> None:
    """Two steps, of which the second alone adds noise: by linear decay at half the rate, so twice as much."""
    share, raw = noise([1, 1], schedule=schedule), noise([1, 1], per_step=True)
    moved = raw.abs() > 1e-3
    assert torch.allclose((share / raw)[moved], torch.tensor(factor, dtype=torch.float64), atol=1e-2)


def test_groups_have_their_own_rates_and_one_count() -> None:
    model = net()
    optimizer = torch.optim.SGD([{"params": [model.a], "lr": 1e-30}, {"params": [model.b], "lr": 2e-30}])
    handle = dither.attach(dither.PATS(per_step=True), optimizer, model)
    optimizer.param_groups[1]["lr"] = 0.0
    before = model.a.detach().clone(), model.b.detach().clone()
    step(model, optimizer, 3)
    assert handle.step == 3
    assert not torch.equal(model.a, before[0])
    assert torch.equal(model.b, before[1])
    assert [group["dither"]["step"] for group in optimizer.param_groups] == [3, 3]


def test_the_grouping_of_parameters_does_not_matter() -> None:
    found = []
    for groups in ([["a", "b"]], [["b"], ["a"]], [["b", "a"]]):
        model = net()
        rows = [{"params": [model.get_parameter(name) for name in names]} for names in groups]
        optimizer = torch.optim.AdamW(rows, lr=0.01)
        dither.attach(dither.PATS(across="model"), optimizer, model, total_steps=3)
        step(model, optimizer, 3)
        found.append(torch.cat((model.a.detach(), model.b.detach())))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
