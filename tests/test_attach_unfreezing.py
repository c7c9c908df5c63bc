"""Layers that are unfrozen on the way: those in the optimizer get noise at once, groups are taken up."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dither
from dither.steps import AVERAGE, KEY
from small_nets import net, step


def attach(optimizer: torch.optim.Optimizer, model: nn.Module, **more: Any) -> dither.Handle:
    return dither.attach(dither.PATS(noise_lambda=1.0, seed=0), optimizer, model, total_steps=8, **more)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def reasons(handle: dither.Handle) -> dict[str, str | None]:
    return {row.path: row.reason for row in handle.record().tensors if row.reason != "vector"}


def test_a_frozen_parameter_of_the_optimizer_gets_noise_as_soon_as_it_trains() -> None:
    model = net()
    model[0].requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    handle = attach(optimizer, model)
    for _ in range(2):
        step(model, optimizer)
    assert reasons(handle) == {"0.weight": "frozen", "2.weight": None}
    assert AVERAGE not in optimizer.state[model[0].weight]
    model[0].requires_grad_(True)
    for _ in range(2):
        step(model, optimizer)
    assert reasons(handle) == {"0.weight": None, "2.weight": None}
    assert (handle.record().tensors[0].effective or 0.0) > 0.0


def unfrozen_at(steps: int, resumed: bool = False) -> tuple[nn.Module, dither.Handle, Tensor]:
    """4 steps of the head and 4 of all; returns the head's average when the group was added."""
    model = net()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    optimizer = torch.optim.AdamW(model[2].parameters(), lr=0.01)
    handle = attach(optimizer, model)
    for _ in range(4):
        step(model, optimizer)
    average = optimizer.state[model[2].weight][AVERAGE].clone()
    optimizer.add_param_group({"params": list(model[0].parameters()), "lr": 0.005})
    handle = attach(optimizer, model)
    for number in range(4, 8):
        if resumed and number == 6:
            state, weights = copy.deepcopy(optimizer.state_dict()), model.state_dict()
            model = net()
            groups = [{"params": list(model[2].parameters())}, {"params": list(model[0].parameters())}]
            optimizer = torch.optim.AdamW(groups, lr=0.01)
            handle = attach(optimizer, model)
            model.load_state_dict(weights)
            optimizer.load_state_dict(state)
        step(model, optimizer)
    return model, handle, average


def test_a_group_that_was_added_is_taken_up_and_the_averages_stay(caplog: pytest.LogCaptureFixture) -> None:
    model, handle, _ = unfrozen_at(4)
    first, second = (group[KEY] for group in handle.optimizer.param_groups)
    assert first["step"] == second["step"] == 8
    assert first.keys() == second.keys()
    assert second["lr_max"] == 0.005
    assert reasons(handle) == {"0.weight": None, "2.weight": None}
    resumed, _, _ = unfrozen_at(4, resumed=True)
    assert torch.equal(flat(model), flat(resumed))


def test_its_dose_is_that_of_the_steps_that_are_left() -> None:
    model = net()
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    attach(optimizer, model, schedule=scheduler)
    for _ in range(4):
        step(model, optimizer)
        scheduler.step()
    optimizer.add_param_group({"params": list(model[0].parameters())})
    handle = attach(optimizer, model, schedule=[1.0] * 8)
    for _ in range(4):
        step(model, optimizer)
    first, second = (group[KEY] for group in handle.optimizer.param_groups)
    assert second["factor"] == pytest.approx(0.5)  # four steps of equal doses
    assert first["given"] == pytest.approx(1.0)
    assert second["given"] == pytest.approx(1.0)
    assert handle.record().dose_given == pytest.approx(1.0)


def test_a_group_before_those_with_state_is_a_lost_state() -> None:
    model = net()
    optimizer = torch.optim.SGD(
        [{"params": list(model[0].parameters())}, {"params": list(model[2].parameters())}], lr=0.01
    )
    attach(optimizer, model)
    step(model, optimizer)
    del optimizer.param_groups[0][KEY]
    with pytest.raises(ValueError, match="group 0 of the optimizer has lost the state of PATS"):
        attach(optimizer, model)
