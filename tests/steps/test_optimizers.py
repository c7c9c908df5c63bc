"""Which optimizers can be followed: those inside wrappers are found, those that cannot be are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer

import dither
from dither.steps.optimizers import base_optimizer, states_of, steps_made
from small_nets import net, step


class Bare(Optimizer):
    """Does not call Optimizer.__init__, as timm's Lookahead does not."""

    def __init__(self, inner: Optimizer | None, params: Any = None) -> None:
        self._inner = inner
        self.state: Any = {}
        self.defaults: Any = {}
        self._optimizer_step_pre_hooks: Any = {}
        self._optimizer_step_post_hooks: Any = {}
        self.param_groups = [{"params": list(params), "lr": 0.1}] if inner is None else inner.param_groups

    def step(self, closure: Any = None) -> Any:
        assert self._inner is not None
        return self._inner.step(closure)


def test_the_optimizer_inside_is_found_by_its_parameters() -> None:
    model = net()
    inner = SGD(model.parameters(), lr=0.1)
    wrapped = Bare(inner)
    assert base_optimizer(Bare(wrapped)) is inner
    handle = dither.attach(dither.PATS(), wrapped, model, total_steps=3)
    step(model, wrapped)
    assert handle.step == 1


def test_an_optimizer_of_other_parameters_inside_is_not_taken() -> None:
    outer = SGD(net().parameters(), lr=0.1)
    outer.other = SGD(net().parameters(), lr=0.1)  # type: ignore[attr-defined]
    assert base_optimizer(outer) is outer
    inner = SGD(net().parameters(), lr=0.1)
    inner.parent = inner  # type: ignore[attr-defined]
    assert base_optimizer(inner) is inner


def test_no_hooks() -> None:
    with pytest.raises(TypeError, match=r"Bare cannot be listened to: its __init__ does not call"):
        base_optimizer(Bare(None, net().parameters()))


@pytest.mark.parametrize("how", ["fused_backward", "optimizer_dict"])
def test_steps_during_the_backward_pass(how: str) -> None:
    """LOMO; and the stand-in of transformers, which holds no parameter of the model."""
    model = net()
    optimizer = SGD([nn.Parameter(torch.zeros(1, 1))], lr=0.1)
    setattr(optimizer, how, (lambda loss, lr: None) if how == "fused_backward" else {1: optimizer})
    with pytest.raises(ValueError, match=r"SGD steps during the backward pass.*layerwise.*dither\.NoisyTune"):
        dither.attach(dither.PATS(), optimizer, model, total_steps=3)


def test_two_steps_that_are_not_heard_are_said(caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1)
    optimizer.first_step = optimizer.second_step = lambda: None  # type: ignore[attr-defined]
    dither.attach(dither.PATS(), optimizer, model, total_steps=3)
    assert "PATS hears SGD.step() alone" in caplog.text


def test_state_that_is_no_parameters() -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    optimizer.state["total_step"] = 5  # as SPAM keeps it
    assert steps_made(optimizer) == 0
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=3, reset=True)
    step(model, optimizer)
    assert handle.step == 1
    assert len(states_of(optimizer)) == 4


def test_no_learning_rate() -> None:
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = None
    with pytest.raises(ValueError, match=r"group 0 of the optimizer has no learning rate.*\['lr'\] = 1\.0"):
        dither.attach(dither.PATS(), optimizer, model, total_steps=3)
    optimizer.param_groups[0]["lr"] = 1.0
    dither.attach(dither.PATS(), optimizer, model, total_steps=3)
