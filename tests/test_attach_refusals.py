"""What dither.attach refuses, when, and what the message tells to do."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import dither
from dither.steps import KEY
from small_nets import net, step


def attached(**settings: Any) -> tuple[nn.Sequential, torch.optim.Optimizer, dither.Handle]:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    return model, optimizer, dither.attach(dither.PATS(**settings), optimizer, model, total_steps=9)


@pytest.mark.parametrize("total_steps", [None, 0, -1, 10.0, "10", True])
def test_total_steps_missing_or_wrong(total_steps: Any) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    message = (
        rf"total_steps is {total_steps!r}; PATS needs .*attach\(\.\.\., total_steps=1000\), or PATS\(per"
    )
    with pytest.raises(ValueError, match=message):
        dither.attach(dither.PATS(), optimizer, model, total_steps=total_steps)
    assert KEY not in optimizer.param_groups[0]
    dither.attach(dither.PATS(per_step=True), optimizer, model)


def test_lbfgs() -> None:
    model = net()
    with pytest.raises(ValueError, match="LBFGS evaluates many gradients in one step"):
        dither.attach(dither.PATS(), torch.optim.LBFGS(model.parameters()), model, total_steps=3)


def test_nesterov_with_foreach_overwrites_gradients() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, foreach=True)
    with pytest.raises(ValueError, match=r"parameter group 0 of SGD has nesterov=True with foreach.*=False"):
        dither.attach(dither.PATS(), optimizer, model, total_steps=3)


@pytest.mark.parametrize("optimizer", [None, "adamw", nn.Linear(2, 2)])
def test_what_is_no_optimizer(optimizer: Any) -> None:
    message = rf"optimizer is a {type(optimizer).__name__}; it must be a torch\.optim\.Optimizer"
    with pytest.raises(TypeError, match=message):
        dither.attach(dither.PATS(), optimizer, net(), total_steps=3)


@pytest.mark.parametrize("method", [dither.NoisyTune(), None, "pats", dither.PATS])
def test_what_is_no_pats(method: Any) -> None:
    model = net()
    with pytest.raises(
        TypeError,
        match=r"takes a dither\.PATS\(\.\.\.\) first, .* not (a|the class) \w+; .*apply_",
    ):
        dither.attach(method, torch.optim.SGD(model.parameters(), lr=0.1), model, total_steps=3)


def test_an_optimizer_of_another_model() -> None:
    optimizer = torch.optim.SGD(net().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"holds 4 parameters that are not the model's.*pass the model that"):
        dither.attach(dither.PATS(), optimizer, net(), total_steps=3)


def test_a_bad_seed() -> None:
    model = net()
    with pytest.raises(ValueError, match="seed is -1"):
        dither.attach(
            dither.PATS(), torch.optim.SGD(model.parameters(), lr=1.0), model, total_steps=3, seed=-1
        )


def test_weights_that_are_not_finite() -> None:
    model = net()
    with torch.no_grad():
        model[2].weight[0, 0] = float("nan")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"tensor '2\.weight' holds NaN or infinite values"):
        dither.attach(dither.PATS(), optimizer, model, total_steps=3)
    assert KEY not in optimizer.param_groups[0]
    dither.attach(dither.PATS(exclude="2.weight"), optimizer, model, total_steps=3)


def sparse() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Embedding(5, 4, sparse=True), nn.Linear(4, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def test_sparse_gradients() -> None:
    model, optimizer = sparse()
    handle = dither.attach(dither.PATS(), optimizer, model, total_steps=3)
    model(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(ValueError, match=r"gradient of '0\.weight' is sparse.*exclude='0\.weight'"):
        optimizer.step()
    assert handle.step == 0


def test_sparse_gradients_of_an_excluded_embedding_are_served() -> None:
    model, optimizer = sparse()
    handle = dither.attach(dither.PATS(exclude="0.weight"), optimizer, model, total_steps=3)
    for lr in (0.1, 0.0):
        optimizer.param_groups[0]["lr"] = lr
        model(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
    assert handle.step == 2


def test_state_of_another_recipe() -> None:
    model, optimizer, handle = attached()
    step(model, optimizer)
    message = r"group 0 .* holds state of PATS of recipe \w+, now \w+ is asked for.*reset=True"
    for other in (dither.PATS(seed=1), dither.PATS(beta=0.5)):
        with pytest.raises(ValueError, match=message):
            dither.attach(other, optimizer, model, total_steps=9)
    step(model, optimizer)  # the handle that was there goes on
    assert handle.step == 2
    assert dither.attach(dither.PATS(seed=1), optimizer, model, total_steps=9, reset=True).step == 0


def test_another_recipe_loaded_under_a_handle() -> None:
    model, optimizer, handle = attached()
    _, theirs, _ = attached(seed=5)
    optimizer.load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match="holds state of PATS of recipe"):
        step(model, optimizer)
    with pytest.raises(ValueError, match="holds state of PATS of recipe"):
        handle.record()


def test_state_lost_by_loading_a_plain_one() -> None:
    model, optimizer, handle = attached()
    optimizer.load_state_dict(torch.optim.AdamW(net().parameters(), lr=0.01).state_dict())
    for act in (lambda: step(model, optimizer), handle.record, lambda: handle.step):
        with pytest.raises(ValueError, match=r"group 0 of the optimizer has lost the state of PATS.*reset="):
            act()
    assert dither.attach(dither.PATS(), optimizer, model, total_steps=9, reset=True).step == 0


def test_a_group_that_was_added() -> None:
    model = net()
    optimizer = torch.optim.AdamW(model[0].parameters(), lr=0.01)
    dither.attach(dither.PATS(), optimizer, model, total_steps=9)
    step(model, optimizer)
    optimizer.add_param_group({"params": list(model[2].parameters())})
    with pytest.raises(ValueError, match=r"group 1 .* was added after PATS was attached; call dither"):
        step(model, optimizer)
    assert optimizer.param_groups[0][KEY]["step"] == 1  # no group is counted alone
    assert dither.attach(dither.PATS(), optimizer, model, total_steps=9).step == 1
    step(model, optimizer)
    assert [group[KEY]["step"] for group in optimizer.param_groups] == [2, 2]
    assert dither.attach(dither.PATS(), optimizer, model, total_steps=9, reset=True).step == 0


def test_a_schema_of_another_version() -> None:
    model, optimizer, _ = attached()
    optimizer.param_groups[0][KEY]["schema"] = 2
    with pytest.raises(ValueError, match="holds state of PATS in schema 2, this version reads 1"):
        step(model, optimizer)


def test_parameters_added_inside_a_group() -> None:
    model = net()
    optimizer = torch.optim.AdamW(model[0].parameters(), lr=0.01)
    dither.attach(dither.PATS(), optimizer, model, total_steps=9)
    optimizer.param_groups[0]["params"].append(model[2].weight)
    with pytest.raises(ValueError, match=r"has 3 parameters, its state of PATS is for 2; add .*add_param_"):
        step(model, optimizer)


@pytest.mark.parametrize("message", ["recipe", "lost"])
def test_a_refusal_in_the_hook_adds_no_noise(message: str) -> None:
    """The optimizer's own step has happened by then; ours has not, not even by half."""
    model, optimizer, _ = attached(noise_lambda=5.0)
    step(model, optimizer)
    twin = net()
    twin.load_state_dict(model.state_dict())
    plain = torch.optim.AdamW(twin.parameters(), lr=0.01)
    plain.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    if message == "recipe":
        optimizer.param_groups[0][KEY]["recipe"] = "x"
    else:
        del optimizer.param_groups[0][KEY]
    with pytest.raises(ValueError, match=message):
        step(model, optimizer)
    step(twin, plain)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_a_step_beyond_the_plan_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dither.attach(dither.PATS(seed=0), optimizer, model, total_steps=2)
    for _ in range(5):
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
    said = [row.getMessage() for row in caplog.records if "planned for 2 optimizer steps" in row.getMessage()]
    assert len(said) == 1
    assert "step 3" in said[0]
