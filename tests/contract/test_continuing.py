"""Every method that works during training: stop, save, load and continue as if nothing had happened."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo import DURING, METHODS, STEPS, Zoo, adamw, create, run, same, train, weights

import dither
from dither.attachment import AVERAGE


def through_a_file(value: Any) -> Any:
    """torch.save and torch.load without pickle."""
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def fresh(name: str, model: nn.Module, **settings: Any) -> tuple[torch.optim.Optimizer, dither.Handle]:
    optimizer = adamw(model)
    return optimizer, dither.attach(create(name, **settings), optimizer, model, total_steps=STEPS)


def interrupted(name: str, at: int, dtype: torch.dtype, *, load_first: bool) -> dict[str, Tensor]:
    model = Zoo(dtype)
    optimizer, _ = fresh(name, model, noise_lambda=0.5)
    train(model, optimizer, range(at))
    states = through_a_file({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    train(model, optimizer, range(at, STEPS))  # what was saved must not live on in the first run
    again = Zoo(dtype)
    again.load_state_dict(states["model"])
    optimizer = adamw(again)
    if load_first:
        optimizer.load_state_dict(states["optimizer"])
    handle = dither.attach(create(name, noise_lambda=0.5), optimizer, again, total_steps=STEPS)
    if not load_first:
        optimizer.load_state_dict(states["optimizer"])
    assert handle.step == at
    train(again, optimizer, range(at, STEPS))
    assert handle.step == STEPS
    return weights(again)


@pytest.mark.parametrize("name", DURING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("load_first", [True, False])
def test_resume_is_exact(name: str, dtype: torch.dtype, load_first: bool) -> None:
    model = Zoo(dtype)
    run(name, model, noise_lambda=0.5)
    for at in (1, 2):
        assert same(interrupted(name, at, dtype, load_first=load_first), weights(model)), at


@pytest.mark.parametrize("name", DURING)
def test_detach_and_attach_again_is_no_interruption(name: str) -> None:
    model, whole = Zoo(), Zoo()
    optimizer, handle = fresh(name, model)
    train(model, optimizer, range(2))
    handle.detach()
    handle = dither.attach(create(name), optimizer, model, total_steps=STEPS)
    train(model, optimizer, range(2, STEPS))
    run(name, whole)
    assert handle.step == STEPS
    assert same(weights(model), weights(whole))


@pytest.mark.parametrize("name", DURING)
def test_attaching_twice_replaces_and_never_doubles(name: str) -> None:
    model, once = Zoo(), Zoo()
    optimizer, first = fresh(name, model)
    second = dither.attach(create(name), optimizer, model, total_steps=STEPS)
    first.detach()  # of a handle that was replaced: without effect on the new one
    train(model, optimizer, range(STEPS))
    run(name, once)
    assert second.step == STEPS
    assert same(weights(model), weights(once))


@pytest.mark.parametrize("name", DURING)
def test_reset_starts_afresh(name: str) -> None:
    model, other = Zoo(), Zoo()
    optimizer, _ = fresh(name, model)
    train(model, optimizer, range(2))
    handle = dither.attach(create(name), optimizer, model, total_steps=STEPS, reset=True)
    assert handle.step == 0
    assert not any(AVERAGE in state for state in optimizer.state.values())
    other.load_state_dict(model.state_dict())
    its = adamw(other)
    its.load_state_dict({**copy.deepcopy(optimizer.state_dict())})
    for group in its.param_groups:
        group.pop("dither", None)
    dither.attach(create(name), its, other, total_steps=STEPS)
    train(model, optimizer, range(2))
    train(other, its, range(2))
    assert same(weights(model), weights(other))


@pytest.mark.parametrize("name", DURING)
def test_detached_is_plain(name: str) -> None:
    model, twin = Zoo(), Zoo()
    optimizer, handle = fresh(name, model)
    handle.detach()
    handle.detach()
    train(model, optimizer, range(STEPS))
    train(twin, adamw(twin), range(STEPS))
    assert handle.step == 0
    assert same(weights(model), weights(twin))


@pytest.mark.parametrize("name", DURING)
def test_the_state_is_plain_tensors_and_numbers(name: str) -> None:
    model = Zoo()
    optimizer, _ = fresh(name, model)
    train(model, optimizer, range(2))
    state = optimizer.state[model.wide]
    assert state[AVERAGE].dtype == torch.float32
    assert state[AVERAGE].shape == model.wide.shape
    assert AVERAGE not in optimizer.state[model.constant]
    found = optimizer.param_groups[0]["dither"]
    assert all(isinstance(value, int | float | str | list) for value in found.values())
    assert found["step"] == 2
    copied = copy.deepcopy(optimizer.state_dict())
    assert through_a_file(copied)["param_groups"][0]["dither"] == found


@pytest.mark.parametrize("name", DURING)
def test_the_average_is_a_tensor_of_its_own(name: str) -> None:
    """Zeroing gradients in place, or overwriting them, must not reach into the memory."""
    model = Zoo()
    optimizer, _ = fresh(name, model)
    train(model, optimizer, range(2))
    kept = optimizer.state[model.wide][AVERAGE].clone()
    optimizer.zero_grad(set_to_none=False)
    with torch.no_grad():
        model.wide.zero_()
    assert torch.equal(optimizer.state[model.wide][AVERAGE], kept)


@pytest.mark.parametrize("name", METHODS)
def test_every_row_of_the_registry_tells_who_it_is(name: str) -> None:
    info = METHODS[name]
    assert info.name == name
    assert info.summary
    assert info.paper
    method = dither.create_method(name)
    assert isinstance(method, info.kind)
    assert all(getattr(method, key) == value for key, value in info.preset.items())
    assert info.needs_gradients == (name in DURING)
