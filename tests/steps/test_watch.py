"""What takes noise back, or writes into the gradients, is said; what does neither is not accused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from odd_optimizers import Centralised, Lookahead, OwnCopy
from torch import nn

import dither
from dither.steps.tallies import Tally

DATA = torch.randn(40, 8, 16, generator=torch.Generator().manual_seed(3))


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    return model


def run(make: Callable[[Any], Any], steps: int = 16, **settings: Any) -> dither.Record:
    model = net()
    optimizer = make(model.parameters())
    method = dither.PATS(**{"noise_lambda": 0.15, "seed": 0} | settings)
    handle = dither.attach(method, optimizer, model, total_steps=steps, schedule=[1.0] * steps)
    for step in range(steps):
        optimizer.zero_grad()
        model(DATA[step]).square().mean().backward()
        optimizer.step()
    return handle.record()


WASHING: dict[str, Callable[[Any], Any]] = {
    "own copy": lambda params: OwnCopy(params, lr=1e-3),
    "Lookahead": lambda params: Lookahead(torch.optim.AdamW(params, lr=1e-3)),
}


@pytest.mark.parametrize("kind", WASHING)
@pytest.mark.parametrize("waits", [False, True])
def test_noise_that_is_taken_back_is_said_once(
    kind: str, waits: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a device that should not be waited for it is said when somebody asks."""
    monkeypatch.setattr(Tally, "waits", property(lambda self: waits))
    record = run(WASHING[kind])
    (said,) = caplog.messages
    assert said.startswith("PATS: the noise does not stay in the weights: ")
    assert "dither.NoisyTune" in said
    assert record.message == said.removeprefix("PATS: ")
    assert dither.Record.from_json(record.to_json()) == record


def test_all_of_it_is_gone_where_the_copy_is_written_over_it(caplog: pytest.LogCaptureFixture) -> None:
    run(WASHING["own copy"])
    assert "100 % of what a step adds is gone" in caplog.text


def test_an_optimizer_that_writes_into_the_gradients_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    record = run(lambda params: Centralised(params, lr=1e-3))
    (said,) = caplog.messages
    assert "something writes into .grad while the optimizer steps" in said
    assert "use an optimizer that leaves .grad alone" in record.message


def test_gradients_set_to_zero_before_the_hook_are_said(caplog: pytest.LogCaptureFixture) -> None:
    def make(params: Any) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(params, lr=1e-3)
        optimizer.register_step_post_hook(lambda one, *_: one.zero_grad(set_to_none=False))
        return optimizer

    run(make)
    assert "the gradients differ by 100 % of their size" in caplog.text


QUIET: dict[str, Callable[[Any], Any]] = {
    "AdamW": lambda params: torch.optim.AdamW(params, lr=1e-2, weight_decay=0.1),
    "SGD, fast": lambda params: torch.optim.SGD(params, lr=0.5, momentum=0.9),
    "RMSprop": lambda params: torch.optim.RMSprop(params, lr=1e-2),
    "Adafactor": lambda params: torch.optim.Adafactor(params, lr=1e-2),
}


@pytest.mark.parametrize("kind", QUIET)
@pytest.mark.parametrize("noise_lambda", [0.02, 1.0])
def test_others_are_not_accused(kind: str, noise_lambda: float, caplog: pytest.LogCaptureFixture) -> None:
    """Nor for the loss's own answer to the noise, which these learning rates make large."""
    assert run(QUIET[kind], steps=40, noise_lambda=noise_lambda).message == ""
    assert not caplog.messages


def test_weights_loaded_after_attach_are_said(caplog: pytest.LogCaptureFixture) -> None:
    model, other = net(), nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=9)
    model.load_state_dict(other.state_dict())
    for _ in range(2):
        model(DATA[0]).sum().backward()
        optimizer.step()
    (said,) = caplog.messages
    assert "between attach and the first step" in said
    assert said.removeprefix("PATS: ") in handle.record().message
    dither.attach(dither.PATS(), optimizer, model, total_steps=9, reset=True)
    optimizer.step()
    assert len(caplog.messages) == 1


def test_a_state_that_is_loaded_with_its_weights_is_no_washing(caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    handle = dither.attach(dither.PATS(noise_lambda=1.0), optimizer, model, total_steps=60)
    for step in range(12):
        if step == 6:
            saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        optimizer.zero_grad()
        model(DATA[step]).square().mean().backward()
        optimizer.step()
        if step == 8:
            model.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
    assert handle.record().message == ""
    assert not caplog.messages
