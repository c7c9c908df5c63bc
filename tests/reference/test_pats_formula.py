"""PATS and its controls against the formula in slow loops, bit for bit over several steps."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import slow_formulas
import torch
from torch import nn

import dither
from dither.attachment import AVERAGE

STEPS = 7
SHAPES = {"a": (5, 3), "table": (6, 3), "b": (4, 4), "vector": (6,), "late": (3, 3)}
RATES = {"a": 0.1, "table": 0.1, "b": 0.03, "vector": 0.03, "late": 0.1}


def net() -> nn.Module:
    generator, model = np.random.default_rng(1), nn.Module()
    for name, shape in SHAPES.items():
        values = generator.normal(0, 0.3, shape).astype(np.float32)
        model.register_parameter(name, nn.Parameter(torch.from_numpy(values)))
    return model


def gradients(step: int) -> dict[str, torch.Tensor]:
    """Rows of the table without gradient, different ones each step; `late` has none before step 4."""
    generator = np.random.default_rng(100 + step)
    found = {
        name: torch.from_numpy(generator.normal(0, 1, shape).astype(np.float32))
        for name, shape in SHAPES.items()
    }
    found["table"][step % 6] = 0.0
    found["table"][(step + 2) % 6] = 0.0
    if step < 4:
        del found["late"]
    return found


def share(t: int) -> float:
    """lr / lr_max after t steps, exact in binary."""
    return 1 - t / (STEPS + 1)


def optimizer_of(model: nn.Module, kind: str) -> tuple[torch.optim.Optimizer, Any]:
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(RATES[name], []).append(parameter)
    rows = [{"params": parameters, "lr": lr} for lr, parameters in groups.items()]
    optimizer = getattr(torch.optim, kind)(rows)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> dict[str, np.ndarray]:
    found = gradients(number)
    for name, parameter in model.named_parameters():
        parameter.grad = found[name].clone() if name in found else None
    optimizer.step()
    return {name: gradient.numpy() for name, gradient in found.items()}


SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "beta": {"beta": 0.0},
    "gamma 2": {"gamma": 2},
    "gamma 0.7": {"gamma": 0.7},
    "vectors": {"vectors": True},
    "model": {"across": "model"},
    "model with vectors": {"across": "model", "vectors": True},
    "times": {"start": 3, "stop": 7, "every": 2},
    "per step": {"per_step": True, "noise_lambda": 0.01},
    "linear": {"schedule": "linear"},
    "linear at times": {"schedule": "linear", "start": 3, "every": 2},
    "lr_max": {"lr_max": 0.25},
    "seed": {"seed": 12345},
    "strength": {"noise_lambda": 3.0},
}
CONTROLS: dict[str, dict[str, Any]] = {
    "pats": {},
    "pats-blind": {"weighting": "blind"},
    "pats-magnitude": {"measure": "magnitude"},
    "pats-inverted": {"weighting": "inverted"},
    "pats-idle": {"idle": True},
}


def planned(settings: dict[str, Any], told: str) -> Any:
    """What the loops are to know of the learning rates."""
    if settings.get("per_step"):
        return None
    if settings.get("schedule") == "linear":
        return STEPS
    if told == "nothing":
        return {key: [Fraction(STEPS - t, STEPS) for t in range(STEPS)] for key in SHAPES}
    if told != "scheduler":
        return {key: [share(t) for t in range(STEPS)] for key in SHAPES}
    peaks = {key: settings.get("lr_max", RATES[key]) for key in SHAPES}
    return {key: [RATES[key] * share(t) / peak for t in range(STEPS)] for key, peak in peaks.items()}


def compare(
    name: str, settings: dict[str, Any], kind: str, *, exact: bool = True, told: str = "scheduler"
) -> None:
    """Run library and loops side by side; the loops take each step of a plain twin of the optimizer."""
    ours, twin = net(), net()
    (optimizer, schedule), (plain, its_schedule) = optimizer_of(ours, kind), optimizer_of(twin, kind)
    method = dither.create_method(name, **settings)
    ways = {"scheduler": schedule, "list": [share(t) for t in range(STEPS)], "function": share}
    way = ways.get(told) if method.is_normalised else None
    handle = dither.attach(method, optimizer, ours, total_steps=STEPS, schedule=way)
    chosen = [key for key in SHAPES if settings.get("vectors") or len(SHAPES[key]) > 1]
    weights = {key: twin.get_parameter(key).detach().numpy() for key in chosen}  # views: written in place
    ours_alone = ("vectors", "per_step", "lr_max", "schedule")
    known = {key: value for key, value in settings.items() if key not in ours_alone}
    slow = slow_formulas.Pats(weights, planned(settings, told), **CONTROLS[name], **known)
    for number in range(1, STEPS + 1):
        rates = {id(p): group["lr"] for group in plain.param_groups for p in group["params"]}
        seen = step(twin, plain, number)
        ratio = {
            key: rates[id(twin.get_parameter(key))] / settings.get("lr_max", RATES[key]) for key in chosen
        }
        slow.step(weights, {key: seen[key] for key in chosen if key in seen}, ratio)
        step(ours, optimizer, number)
        schedule.step()
        its_schedule.step()
        for key, parameter in ours.named_parameters():
            found, expected = parameter.detach().numpy(), twin.get_parameter(key).detach().numpy()
            np.testing.assert_allclose(
                found, expected, rtol=0 if exact else 1e-6, atol=0, err_msg=f"{key} {number}"
            )
            if key in chosen and AVERAGE in optimizer.state[parameter]:
                averages = optimizer.state[parameter][AVERAGE].numpy()
                np.testing.assert_allclose(averages, slow.e[key], rtol=0 if exact else 1e-5, atol=0)
    assert handle.step == STEPS
    assert not np.array_equal(ours.a.detach().numpy(), untouched(kind))


def untouched(kind: str) -> np.ndarray:
    """What plain training gives: the comparison above must not be one of two plain runs."""
    model = net()
    optimizer, schedule = optimizer_of(model, kind)
    for number in range(1, STEPS + 1):
        step(model, optimizer, number)
        schedule.step()
    return model.a.detach().numpy()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_every_setting(settings: dict[str, Any]) -> None:
    compare("pats", settings, "AdamW", exact=settings.get("gamma") != 0.7)


@pytest.mark.parametrize("name", [name for name in CONTROLS if name != "pats"])
@pytest.mark.parametrize(
    "settings", [{}, {"gamma": 2.0, "across": "model", "every": 2}], ids=["plain", "more"]
)
def test_every_control(name: str, settings: dict[str, Any]) -> None:
    compare(name, settings, "AdamW")


@pytest.mark.parametrize("told", ["list", "function", "nothing"])
@pytest.mark.parametrize("settings", [{}, {"start": 3, "every": 2}], ids=["plain", "times"])
def test_every_way_to_tell_the_learning_rates(settings: dict[str, Any], told: str) -> None:
    compare("pats", settings, "AdamW", told=told)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop", "Adafactor"])
def test_other_optimizers(kind: str) -> None:
    compare("pats", {}, kind)
