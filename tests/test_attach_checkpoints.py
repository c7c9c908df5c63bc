"""PATS through torch.distributed.checkpoint: its dummy step adds nothing, what it loads continues exactly."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as checkpoint

import dither
from dither.attachment import AVERAGE

OPTIMIZERS = {
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01),
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam with a tensor": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
}


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return model


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        model(torch.ones(2, 6)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def attached(make: Any) -> tuple[nn.Sequential, torch.optim.Optimizer, dither.Handle]:
    model = net()
    optimizer = make(model.parameters())
    method = dither.PATS(noise_lambda=0.5)
    return model, optimizer, dither.attach(method, optimizer, model, total_steps=6)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_reading_the_state_of_a_fresh_optimizer_adds_and_counts_nothing(make: Any) -> None:
    model, optimizer, handle = attached(make)
    before = flat(model)
    checkpoint.get_optimizer_state_dict(model, optimizer)
    assert torch.equal(flat(model), before)
    assert handle.step == 0
    train(model, optimizer, 1)
    assert handle.step == 1


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
@pytest.mark.parametrize("full", [True, False])
def test_loading_moves_no_weight_and_continues_exactly(make: Any, full: bool) -> None:
    options = checkpoint.StateDictOptions(full_state_dict=full, cpu_offload=full)
    model, optimizer, _ = attached(make)
    train(model, optimizer, 3)
    weights, state = checkpoint.get_state_dict(model, optimizer, options=options)
    saved = copy.deepcopy((weights, state))
    train(model, optimizer, 3)
    again, its, handle = attached(make)
    checkpoint.set_model_state_dict(again, saved[0], options=options)
    loaded = flat(again)
    checkpoint.set_optimizer_state_dict(again, its, saved[1], options=options)
    assert torch.equal(flat(again), loaded)
    assert handle.step == 3
    train(again, its, 3)
    assert handle.step == 6
    assert torch.equal(flat(again), flat(model))


def test_through_files(tmp_path: Path) -> None:
    import torch.distributed.checkpoint as dcp

    model, optimizer, _ = attached(OPTIMIZERS["AdamW"])
    train(model, optimizer, 3)
    weights, state = checkpoint.get_state_dict(model, optimizer)
    with pytest.warns(UserWarning, match="single process"):
        dcp.save({"model": weights, "optimizer": state}, checkpoint_id=tmp_path)
    train(model, optimizer, 3)
    again, its, handle = attached(OPTIMIZERS["AdamW"])
    weights, state = checkpoint.get_state_dict(again, its)
    with pytest.warns(UserWarning, match="single process"):
        dcp.load({"model": weights, "optimizer": state}, checkpoint_id=tmp_path)
    checkpoint.set_state_dict(again, its, model_state_dict=weights, optim_state_dict=state)
    assert handle.step == 3
    train(again, its, 3)
    assert torch.equal(flat(again), flat(model))


def test_a_dummy_step_makes_the_tensors_that_a_checkpoint_fills() -> None:
    """A loader fills what it finds: without them the averages would silently be left in the file."""
    model, optimizer, _ = attached(OPTIMIZERS["AdamW"])
    state = checkpoint.get_optimizer_state_dict(model, optimizer)["state"]
    averages = {name: values.get(AVERAGE) for name, values in state.items()}  # type: ignore[union-attr]
    assert {name: average is not None for name, average in averages.items()} == {
        name: name.endswith("weight") for name, _ in model.named_parameters()
    }
    assert all(average.count_nonzero() == 0 for average in averages.values() if average is not None)


def test_a_dummy_step_by_hand() -> None:
    """Rate 0 and gradients of zero train nothing: not counted. Either alone is a step."""
    model, optimizer, handle = attached(OPTIMIZERS["SGD"])
    for lr, gradient, counted in ((0.0, 0.0, 0), (0.1, 0.0, 1), (0.0, 1.0, 2), (0.0, 0.0, 2)):
        optimizer.param_groups[0]["lr"] = lr
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        assert handle.step == counted


def test_the_record_counts_the_noise_before_a_resume() -> None:
    def run(steps: int, state: dict | None = None) -> tuple[dict, dither.Record]:
        torch.manual_seed(0)
        model = torch.nn.Linear(8, 8)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if state is not None:
            optimizer.load_state_dict(state)
        handle = dither.attach(dither.PATS(seed=0), optimizer, model, total_steps=8)
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(2, 8)).square().sum().backward()
            optimizer.step()
        return optimizer.state_dict(), handle.record()

    _, after_four = run(4)
    state, after_two = run(2)
    _, resumed = run(0, state)
    assert resumed.tensors == after_two.tensors
    assert 0.0 < after_two.root_mean_square() < after_four.root_mean_square()
