"""What is heard of an optimizer: closures, gradients that are freed, compiled steps, copies and pickles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from odd_optimizers import Frees, Sam
from torch import Tensor, nn

import dither
from small_nets import net, step


def attached(optimizer: torch.optim.Optimizer, model: nn.Module) -> dither.Handle:
    method = dither.PATS(noise_lambda=1.0, seed=0)
    return dither.attach(method, optimizer, model, schedule=[1.0] * 6)


def flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


@pytest.mark.parametrize("how", ["inside the step", "by a hook"])
def test_gradients_that_are_freed_first_are_served(how: str, caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    twin = copy.deepcopy(model)
    kind = Frees if how == "inside the step" else torch.optim.SGD
    optimizer = kind(model.parameters(), lr=0.01)
    if how == "by a hook":
        optimizer.register_step_post_hook(lambda one, *_: one.zero_grad())
    plain = torch.optim.SGD(twin.parameters(), lr=0.01)
    handle, other = attached(optimizer, model), attached(plain, twin)
    for _ in range(4):
        step(model, optimizer)
        step(twin, plain)
    assert handle.step == other.step == 4
    assert torch.equal(flat(model), flat(twin))
    assert not caplog.messages


def test_a_step_within_a_step_is_one(caplog: pytest.LogCaptureFixture) -> None:
    """torch calls the hooks of a class and those of the class above it, which are the same."""

    class Again(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:  # type: ignore[override]
            return super().step(closure)

    model = net()
    twin = copy.deepcopy(model)
    plain, optimizer = torch.optim.SGD(twin.parameters(), lr=0.01), Again(model.parameters(), lr=0.01)
    handle, _ = attached(optimizer, model), attached(plain, twin)
    for _ in range(3):
        step(model, optimizer)
        step(twin, plain)
    assert handle.step == 3
    assert torch.equal(flat(model), flat(twin))


@pytest.mark.parametrize("given", ["args", "kwargs"])
def test_the_gradients_of_a_closure_count(given: str, caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    optimizer = Frees(model.parameters(), lr=0.01)
    handle = attached(optimizer, model)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(2, 6)).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        loss: Any = optimizer.step(closure) if given == "args" else optimizer.step(closure=closure)
        assert loss > 0.0
    assert handle.step == 3
    assert handle.record().root_mean_square() > 0.0
    assert not caplog.messages


@pytest.mark.parametrize("how", ["closure", "two steps"])
def test_sam_gets_its_noise_from_the_optimizer_inside(how: str, caplog: pytest.LogCaptureFixture) -> None:
    model = net()
    optimizer = Sam(model.parameters())
    handle = attached(optimizer, model)
    assert handle.optimizer is optimizer.inside

    def closure() -> None:
        model(torch.ones(2, 6)).square().sum().backward()

    for _ in range(4):
        closure()
        if how == "closure":
            optimizer.step(closure)
        else:
            optimizer.first_step()
            closure()
            optimizer.second_step()
    assert handle.step == 4
    assert handle.record().root_mean_square() > 0.0
    assert not caplog.messages


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, where its compiler loads
def test_a_compiled_step() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    handle = attached(optimizer, model)
    compiled = torch.compile(lambda: optimizer.step(), backend="eager")
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 6)).square().sum().backward()
        compiled()
    assert handle.step == 3
    assert handle.record().root_mean_square() > 0.0


@pytest.mark.parametrize("how", ["copied", "pickled"])
def test_a_copy_of_the_optimizer_says_that_it_adds_nothing(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    handle = attached(optimizer, model)
    step(model, optimizer)
    pair = (model, optimizer)
    twin, other = copy.deepcopy(pair) if how == "copied" else pickle.loads(pickle.dumps(pair))
    copy.deepcopy(optimizer)
    (said,) = caplog.messages
    assert "the optimizer was copied or pickled, and the copy adds no noise until dither.attach" in said
    assert attached(other, twin).step == 1  # the advice: it goes on with the averages
    for _ in range(2):
        step(model, optimizer)
        step(twin, other)
    assert torch.equal(flat(model), flat(twin))
    handle.detach()
    caplog.clear()
    copy.deepcopy(optimizer)
    copy.deepcopy(optimizer.state_dict())
    assert not caplog.messages


@pytest.mark.parametrize("make", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_handle_is_not_copied(make: Any) -> None:
    model = net()
    handle = attached(torch.optim.SGD(model.parameters(), lr=0.01), model)
    with pytest.raises(TypeError, match=r"a Handle cannot be copied.*state_dict\(\).*attach again"):
        make(handle)
