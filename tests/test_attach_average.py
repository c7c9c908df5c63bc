"""The moving average in bfloat16: half the memory, the same life."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dither
from dither.attachment import AVERAGE

DATA = torch.randn(12, 40, generator=torch.Generator().manual_seed(1))


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return model


def start(model: nn.Module, **settings: Any) -> tuple[torch.optim.Optimizer, Any]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return optimizer, dither.attach(
        dither.PATS(noise_lambda=0.5, **settings), optimizer, model, total_steps=8
    )


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(DATA).square().mean().backward()
        optimizer.step()


def averages(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [state[AVERAGE] for state in optimizer.state.values() if AVERAGE in state]


@pytest.mark.parametrize(("setting", "size"), [("float32", 4), ("bfloat16", 2)])
def test_the_memory_of_an_average(setting: str, size: int) -> None:
    model = net()
    optimizer, _ = start(model, average=setting)
    train(model, optimizer, 2)
    noised = [model[0].weight, model[2].weight]
    assert sum(a.numel() * a.element_size() for a in averages(optimizer)) == size * sum(
        w.numel() for w in noised
    )


def test_a_resumed_run_goes_on_with_the_same_bits() -> None:
    """Loading casts the average to float32, which holds every bfloat16 number, and it is cast back."""
    whole, first = net(), net()
    optimizer, _ = start(whole, average="bfloat16")
    train(whole, optimizer, 8)
    half, _ = start(first, average="bfloat16")
    train(first, half, 4)
    second = net()
    second.load_state_dict(first.state_dict())
    rest = torch.optim.AdamW(second.parameters(), lr=0.01)
    rest.load_state_dict(copy.deepcopy(half.state_dict()))
    assert {average.dtype for average in averages(rest)} == {torch.float32}
    dither.attach(dither.PATS(noise_lambda=0.5, average="bfloat16"), rest, second, total_steps=8)
    train(second, rest, 4)
    assert {average.dtype for average in averages(rest)} == {torch.bfloat16}
    for one, other in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_noise_hardly_differs() -> None:
    found = []
    for setting in ("float32", "bfloat16"):
        model = net()
        optimizer, handle = start(model, average=setting)
        train(model, optimizer, 8)
        found.append(handle.record().root_mean_square())
    assert math.isclose(*found, rel_tol=0.02)
    assert found[0] != found[1]


def test_half_precision_weights_keep_theirs_in_their_own_dtype() -> None:
    model = net().to(torch.float16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    dither.attach(dither.PATS(average="bfloat16"), optimizer, model, total_steps=8)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert {average.dtype for average in averages(optimizer)} == {torch.float16}


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match="average is 'float16'"):
        dither.PATS(average="float16")
