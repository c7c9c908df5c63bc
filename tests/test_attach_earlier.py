"""Runs begun when every schedule was taken for a linear one: they go on under that rule, bit for bit.

`earlier_run.json` was written by the version before there was a choice, at step 3 of 6, with what it had at
the end and the identity of a run with PATS in a ledger.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import dither
from dither.methods.settings import recipe_hash
from dither.steps import AVERAGE, KEY

RUN = json.loads((Path(__file__).parent / "earlier_run.json").read_text())
SETTINGS = {"noise_lambda": 2.0, "seed": 3, "every": 2, "vectors": True}
STEPS = 6


def net() -> nn.Module:
    model, generator = nn.Module(), np.random.default_rng(0)
    for name, shape in (("a", (4, 3)), ("b", (5,))):
        values = generator.normal(0, 0.3, shape).astype(np.float32)
        model.register_parameter(name, nn.Parameter(torch.from_numpy(values)))
    return model


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Constant learning rates of two groups; gradients of the step alone."""
    for step in steps:
        generator = np.random.default_rng(10 + step)
        for parameter in model.parameters():
            found = generator.normal(0, 1, tuple(parameter.shape)).astype(np.float32)
            parameter.grad = torch.from_numpy(found)
        optimizer.step()


def sgd(model: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [model.a], "lr": 0.125}, {"params": [model.b], "lr": 0.25}])


def values(model: nn.Module) -> dict[str, Any]:
    return {name: parameter.tolist() for name, parameter in model.named_parameters()}


def scalars(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What stands in the groups, but for sums of squares, which backends round each in its own way."""
    return [{key: value for key, value in held.items() if key != "change"} for held in groups]


def at_step_3() -> tuple[nn.Module, torch.optim.Optimizer]:
    """The model and the optimizer with the state that is in the file."""
    model = net()
    optimizer = sgd(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(RUN["at 3"]["weights"][name]))
    state = optimizer.state_dict()
    for number, (group, held) in enumerate(zip(state["param_groups"], RUN["at 3"]["groups"], strict=True)):
        group[KEY] = held
        state["state"][number] = {AVERAGE: torch.tensor(RUN["at 3"]["averages"][number])}
    optimizer.load_state_dict(state)
    return model, optimizer


@pytest.mark.parametrize("schedule", ["run", "linear"])
def test_it_goes_on_bit_for_bit(schedule: Any, caplog: pytest.LogCaptureFixture) -> None:
    model, optimizer = at_step_3()
    handle = dither.attach(dither.PATS(**SETTINGS, schedule=schedule), optimizer, model, total_steps=STEPS)
    train(model, optimizer, range(3, STEPS))
    assert values(model) == RUN["at 6"]["weights"]
    assert scalars([group[KEY] for group in optimizer.param_groups]) == scalars(RUN["at 6"]["groups"])
    record = handle.record()
    assert (record.recipe_hash, record.steps, record.dose_given) == (RUN["recipe"], STEPS, None)
    assert "schedule" not in record.recipe
    said = "goes on under that rule, as PATS(schedule='linear') does" in caplog.text
    assert said == (schedule == "run")


def test_it_goes_on_when_it_is_loaded_under_a_handle(caplog: pytest.LogCaptureFixture) -> None:
    loaded, theirs = at_step_3()
    model = net()
    model.load_state_dict(loaded.state_dict())
    optimizer = sgd(model)
    handle = dither.attach(dither.PATS(**SETTINGS), optimizer, model, total_steps=STEPS)
    optimizer.load_state_dict(theirs.state_dict())
    assert handle.recipe_hash == RUN["recipe"]
    train(model, optimizer, range(3, STEPS))
    assert values(model) == RUN["at 6"]["weights"]
    assert caplog.text.count("goes on under that rule") == 1


def test_the_rule_of_before_begins_as_before() -> None:
    model = net()
    optimizer = sgd(model)
    dither.attach(dither.PATS(**SETTINGS, schedule="linear"), optimizer, model, total_steps=STEPS)
    train(model, optimizer, range(3))
    assert values(model) == RUN["at 3"]["weights"]
    assert scalars([group[KEY] for group in optimizer.param_groups]) == scalars(RUN["at 3"]["groups"])
    train(model, optimizer, range(3, STEPS))
    assert values(model) == RUN["at 6"]["weights"]


def test_other_settings_are_refused_as_ever() -> None:
    model, optimizer = at_step_3()
    with pytest.raises(ValueError, match=rf"state of PATS of recipe {RUN['recipe']}, now \w+ is asked for"):
        dither.attach(dither.PATS(**SETTINGS | {"seed": 4}), optimizer, model, total_steps=STEPS)


def test_a_run_of_the_new_rule_is_not_taken_for_one_of_the_old() -> None:
    model = net()
    optimizer = sgd(model)
    dither.attach(dither.PATS(**SETTINGS), optimizer, model, total_steps=STEPS)
    train(model, optimizer, range(3))
    assert values(model) != RUN["at 3"]["weights"]
    with pytest.raises(ValueError, match=f"now {RUN['recipe']} is asked for"):
        dither.attach(dither.PATS(**SETTINGS, schedule="linear"), optimizer, model, total_steps=STEPS)


def test_a_dose_for_each_step_is_the_recipe_that_it_was() -> None:
    rules = [dither.PATS(per_step=True, schedule=schedule).recipe(0) for schedule in ("run", "linear")]
    assert {recipe_hash(recipe) for recipe in rules} == {RUN["per step"]}
