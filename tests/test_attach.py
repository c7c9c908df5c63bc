"""dither.attach on every kind of optimizer: which steps count, which gradient and which rate they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dither
from dither.attachment import AVERAGE, base_optimizer

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


def loss_of(model: nn.Module, rows: slice = slice(None)) -> Tensor:
    return model(DATA[rows]).square().mean()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 4) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01),
    "AdamW foreach": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
    "AdamW fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "AdamW amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "Adam foreach": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1, foreach=True),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD foreach": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1, foreach=True),
    "SGD fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, fused=True),
    "SGD momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "SGD momentum foreach": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, foreach=True),
    "SGD nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, foreach=False),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "Adamax foreach": lambda p: torch.optim.Adamax(p, lr=0.01, foreach=True),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=0.01),
    "Adafactor foreach": lambda p: torch.optim.Adafactor(p, lr=0.01, foreach=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "RMSprop foreach": lambda p: torch.optim.RMSprop(p, lr=0.01, foreach=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "Adagrad foreach": lambda p: torch.optim.Adagrad(p, lr=0.01, foreach=True),
    "NAdam foreach": lambda p: torch.optim.NAdam(p, lr=0.01, foreach=True),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.01),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_every_optimizer_is_served_and_keeps_its_own_state(make: Callable[[Any], Any]) -> None:
    model, plain = net(), net()
    optimizer, twin = make(model.parameters()), make(plain.parameters())
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=5)
    train(plain, twin, 1)
    train(model, optimizer, 1)
    assert torch.equal(flat(model), flat(plain))  # no noise at the first step
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        own = {key: value for key, value in optimizer.state[one].items() if key != AVERAGE}
        assert own.keys() == twin.state[other].keys()
    train(model, optimizer)
    train(plain, twin)
    assert handle.step == 5
    assert not torch.equal(model[0].weight, plain[0].weight)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_no_optimizer_writes_into_the_gradients(make: Callable[[Any], Any]) -> None:
    """The hook measures after the step: what it sees must be what the step used."""
    model = net()
    optimizer = make(model.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model).backward()
        before = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
        optimizer.step()
        assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before, strict=True))


def test_the_first_average_is_of_the_weight_after_the_step_and_its_gradient() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dither.attach(dither.PATS(), optimizer, model, total_steps=5)
    train(model, optimizer, 1)
    weight = model[0].weight
    expected = (weight.detach() * weight.grad).abs()  # type: ignore[operator]
    assert torch.equal(optimizer.state[weight][AVERAGE], expected)
    group = optimizer.param_groups[0]["dither"]
    assert group["mean"][0] == pytest.approx(expected.double().mean().item(), rel=1e-7)


def test_accumulated_gradients_are_one_step() -> None:
    """Two halves give the gradient of the whole to rounding, and the same bookkeeping exactly."""
    runs = []
    for halves in (1, 2):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        handle = dither.attach(dither.PATS(), optimizer, model, total_steps=4)
        for _ in range(4):
            optimizer.zero_grad()
            for i in range(halves):
                rows = slice(12 // halves * i, 12 // halves * (i + 1))
                (loss_of(model, rows) / halves).backward()
            optimizer.step()
        runs.append((handle.step, flat(model)))
    assert runs[0][0] == runs[1][0] == 4
    assert torch.allclose(runs[0][1], runs[1][1], rtol=1e-4, atol=1e-6)


def test_the_clipped_gradient_counts() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dither.attach(dither.PATS(), optimizer, model, total_steps=4)
    (1000 * loss_of(model)).backward()
    raw = model[0].weight.grad.clone()  # type: ignore[union-attr]
    nn.utils.clip_grad_norm_(model.parameters(), 0.01)
    optimizer.step()
    average = optimizer.state[model[0].weight][AVERAGE]
    assert torch.equal(average, (model[0].weight.detach() * model[0].weight.grad).abs())  # type: ignore[operator]
    assert average.max() < 1e-3 * (model[0].weight.detach() * raw).abs().max()


def test_closures() -> None:
    runs = []
    for by_closure in (False, True):
        model = net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        handle = dither.attach(dither.PATS(), optimizer, model, total_steps=4)

        def closure(model: nn.Module = model, optimizer: Any = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            return loss

        for _ in range(4):
            if by_closure:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        runs.append((handle.step, flat(model)))
    assert runs[0][0] == runs[1][0] == 4
    assert torch.equal(runs[0][1], runs[1][1])


def test_a_step_without_any_gradient_does_not_count() -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=4)
    before = flat(model)
    optimizer.step()
    assert handle.step == 0
    assert torch.equal(flat(model), before)
    train(model, optimizer, 1)
    assert handle.step == 1


def test_gradients_of_excluded_parameters_alone_count() -> None:
    """The step happened: the count is that of the optimizer, not of the noised tensors."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = dither.attach(dither.PATS(include="0.weight"), optimizer, model, total_steps=4)
    model[2].weight.grad = torch.ones_like(model[2].weight)
    optimizer.step()
    assert handle.step == 1
    assert AVERAGE not in optimizer.state[model[0].weight]


def test_a_rate_of_0_with_real_gradients_updates_counts_and_adds_nothing() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=4)
    train(model, optimizer, 2)
    before, average = flat(model), optimizer.state[model[0].weight][AVERAGE].clone()
    optimizer.param_groups[0]["lr"] = 0.0
    train(model, optimizer, 1)
    assert handle.step == 3
    assert torch.equal(flat(model), before)
    assert not torch.equal(optimizer.state[model[0].weight][AVERAGE], average)


def test_writing_between_forward_and_backward_is_an_error_of_torch() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dither.attach(dither.PATS(), optimizer, model, total_steps=9)
    train(model, optimizer, 1)
    gradients = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    pending = loss_of(model)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        pending.backward()


def test_the_optimizer_inside_accelerate_is_found() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    try:
        wrapped = Accelerator(cpu=True).prepare_optimizer(optimizer)
        with pytest.raises(AttributeError):  # it is an Optimizer by name alone
            wrapped.register_step_post_hook(lambda *_: None)
        assert base_optimizer(type(wrapped)(wrapped)) is optimizer
        handle = dither.attach(dither.PATS(), wrapped, model, total_steps=3)
        train(model, wrapped, 3)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    assert handle.step == 3
