"""Where reading a number would stop a device, the optimizer's groups are written when somebody asks.

The device is the CPU here, told to be one that should not be waited for.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dither
from dither.steps.tallies import Tally

DATA = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tally, "waits", property(lambda self: True))


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return model


def start(model: nn.Module, **settings: Any) -> tuple[torch.optim.Optimizer, dither.Handle]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return optimizer, dither.attach(
        dither.PATS(noise_lambda=0.5, **settings), optimizer, model, total_steps=8
    )


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(DATA).square().mean().backward()
        optimizer.step()


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def test_the_groups_are_written_when_somebody_asks() -> None:
    model = net()
    optimizer, handle = start(model)
    group = optimizer.param_groups[0]["dither"]
    train(model, optimizer, 3)
    assert group["step"] == 0
    assert optimizer.state_dict()["param_groups"][0]["dither"]["step"] == 3
    train(model, optimizer, 1)
    assert handle.step == group["step"] == 4
    train(model, optimizer, 1)
    assert handle.record().steps == group["step"] == 5
    train(model, optimizer, 1)
    handle.detach()
    assert group["step"] == 6


@pytest.mark.parametrize("settings", [{}, {"across": "model"}, {"start": 2, "stop": 7, "every": 2}])
def test_the_noise_is_the_same(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = net(), net()
    optimizer, handle = start(model, **settings)
    train(model, optimizer, 8)
    monkeypatch.setattr(Tally, "waits", property(lambda self: False))
    its, eager = start(other, **settings)
    train(other, its, 8)
    assert torch.equal(flat(model), flat(other))
    assert handle.record() == eager.record()


def test_a_loaded_state_is_not_overwritten_by_what_was_pending() -> None:
    model = net()
    optimizer, handle = start(model)
    train(model, optimizer, 2)
    saved, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    train(model, optimizer, 3)
    after = flat(model)
    optimizer.load_state_dict(saved)
    model.load_state_dict(weights)
    assert handle.step == 2
    train(model, optimizer, 3)
    assert handle.step == 5
    assert torch.equal(flat(model), after)


def test_attaching_again_goes_on_with_what_was_pending() -> None:
    model, other = net(), net()
    optimizer, _ = start(model)
    train(model, optimizer, 3)
    dither.attach(dither.PATS(noise_lambda=0.5), optimizer, model, total_steps=8)
    train(model, optimizer, 3)
    its, _ = start(other)
    train(other, its, 6)
    assert torch.equal(flat(model), flat(other))
