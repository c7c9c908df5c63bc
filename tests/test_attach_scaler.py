"""GradScaler: skipped steps add, change and count nothing; the gradient seen is unscaled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn

import dither
from dither.attachment import AVERAGE
from dither.steps.optimizers import base_optimizer

DATA = torch.randn(12, 6, generator=torch.Generator().manual_seed(1))


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return model


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def averages(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    states = (optimizer.state[parameter].get(AVERAGE) for parameter in model.parameters())
    return torch.cat([state.reshape(-1) for state in states if state is not None])


def train(factors: list[float], *, fused: bool, scale: float | None) -> tuple[Any, Any, Any]:
    """One step for each factor of the loss; inf makes an overflow. scale None trains without a scaler."""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
    handle = dither.attach(dither.PATS(noise_lambda=0.5), optimizer, model, total_steps=10)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, growth_interval=10**6)
    for factor in factors:
        optimizer.zero_grad()
        loss = model(DATA).square().mean() * factor
        if scale is None:
            loss.backward()
            optimizer.step()
            continue
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update(scale)
    return model, optimizer, handle


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1024.0, 2.0**-8])
def test_the_gradient_seen_is_unscaled(fused: bool, scale: float) -> None:
    """Scales that are powers of two change no bits."""
    scaled, its, handle = train([1.0] * 5, fused=fused, scale=scale)
    plain, optimizer, _ = train([1.0] * 5, fused=fused, scale=None)
    assert handle.step == 5
    assert torch.equal(flat(scaled), flat(plain))
    assert torch.equal(averages(scaled, its), averages(plain, optimizer))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("overflows", [[2], [0], [2, 3], [5]])
def test_an_overflow_adds_changes_and_counts_nothing(fused: bool, overflows: list[int]) -> None:
    factors = [1.0] * 5
    for at in overflows:
        factors.insert(at, float("inf"))
    model, optimizer, handle = train(factors, fused=fused, scale=64.0)
    plain, its, _ = train([1.0] * 5, fused=fused, scale=64.0)
    assert handle.step == 5
    assert torch.equal(flat(model), flat(plain))
    assert torch.equal(averages(model, optimizer), averages(plain, its))
    assert optimizer.param_groups[0]["dither"] == its.param_groups[0]["dither"]


def test_the_fused_optimizer_really_calls_its_hook_on_an_overflow() -> None:
    """Else the test above would prove nothing."""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    calls: list[float] = []
    optimizer.register_step_post_hook(lambda *_: calls.append(float(optimizer.found_inf)))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(model(DATA).square().mean() * float("inf")).backward()
    scaler.step(optimizer)
    assert calls == [1.0]


def test_an_optimizer_that_accelerate_wraps_is_the_same() -> None:
    """The Trainer's way to float16: its optimizer hides a scaler."""
    Accelerator(cpu=True)  # accelerate's optimizer reads its state
    model, factors = net(), [1.0, float("inf"), 1.0, 1.0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=10**6)
    wrapped = AcceleratedOptimizer(optimizer, device_placement=False, scaler=scaler)
    handle = dither.attach(dither.PATS(noise_lambda=0.5), base_optimizer(wrapped), model, total_steps=10)
    for factor in factors:
        scaler.scale(model(DATA).square().mean() * factor).backward()
        wrapped.step()
        wrapped.zero_grad()
    plain, _, its = train([1.0] * 3, fused=True, scale=None)
    assert handle.step == its.step == 3
    assert torch.equal(flat(model), flat(plain))


@pytest.mark.parametrize("fused", [True, False])
def test_unscaling_and_clipping_by_hand(fused: bool) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=fused)
    dither.attach(dither.PATS(), optimizer, model, total_steps=10)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(model(DATA).square().mean() * 1000).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 0.01)
    clipped = model[0].weight.grad.clone()  # type: ignore[union-attr]
    scaler.step(optimizer)
    expected = (model[0].weight.detach() * clipped).abs()
    assert torch.equal(optimizer.state[model[0].weight][AVERAGE], expected)
