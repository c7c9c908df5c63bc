"""State of PATS that is not there, or is another tensor's: what is said, and that no such step is counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import dither
from dither.steps import AVERAGE
from small_nets import net, step


def attached(across: str = "tensor") -> tuple[nn.Sequential, torch.optim.Optimizer, dither.Handle]:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    method = dither.PATS(across=across)  # type: ignore[arg-type]
    return model, optimizer, dither.attach(method, optimizer, model, total_steps=9)


@pytest.mark.parametrize("lost", [True, False])
def test_an_average_that_is_missing_or_of_another_tensor(lost: bool) -> None:
    model, optimizer, handle = attached()
    step(model, optimizer)
    state = optimizer.state[model[2].weight]
    if lost:
        del state[AVERAGE]
    else:
        state[AVERAGE] = state[AVERAGE].t().contiguous()
    before = handle.step
    message = (
        r"average 'dither_sensitivity' of '2\.weight' is missing.*whole checkpoint.*reset=True"
        if lost
        else r"average of '2\.weight' in the optimizer's state is \(5, 3\), the parameter is \(3, 5\); load"
    )
    with pytest.raises(ValueError, match=message):
        step(model, optimizer)
    assert handle.step == before


def test_one_mean_for_all_tells_nothing_of_a_tensor_that_had_no_gradient_yet() -> None:
    model, optimizer, handle = attached(across="model")
    model[2].weight.requires_grad_(False)
    step(model, optimizer)
    model[2].weight.requires_grad_(True)
    step(model, optimizer)
    assert handle.step == 2


def test_attaching_to_an_optimizer_that_has_made_steps_is_said(caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    step(model, optimizer)
    dither.attach(dither.PATS(), optimizer, model, total_steps=9)
    (said,) = caplog.messages
    assert said.startswith(
        "PATS starts at step 0 on an optimizer that has made 1 steps; to go on with a saved"
    )
    dither.attach(dither.PATS(), optimizer, model, total_steps=9, reset=True)
    assert len(caplog.messages) == 1
