"""The whole noise of a run, as the dose measures it, against the formula in slow loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slow_formulas
import torch
from torch import nn

import dither
from dither.dose.meter import DoseMeter

SHAPES = {"a": (5, 3), "table": (6, 3), "late": (3, 3)}
STEPS = 5


class Net(nn.Module):
    """Its loss has a gradient that each batch prescribes; rows of the table and `late` have none at times."""

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.default_rng(1)
        for name, shape in SHAPES.items():
            values = generator.normal(0, 0.3, shape).astype(np.float32)
            values[0, 0] = 0.0
            self.register_parameter(name, nn.Parameter(torch.from_numpy(values)))

    def forward(self, **slopes: torch.Tensor) -> dict[str, Any]:
        products = [(getattr(self, name) * slope).sum() for name, slope in slopes.items()]
        return {"loss": torch.stack(products).sum() if products else None, "last_hidden_state": self.table}


def slopes(step: int) -> dict[str, torch.Tensor]:
    generator = np.random.default_rng(100 + step)
    found = {
        name: torch.from_numpy(generator.normal(0, 1, shape).astype(np.float32))
        for name, shape in SHAPES.items()
    }
    found["table"][step % 6] = 0.0
    if step < 2:
        del found["late"]
    return found


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy().copy() for name, parameter in model.named_parameters()}


CASES = [
    ("pats", {}),
    ("pats", {"gamma": 2.0, "beta": 0.5}),
    ("pats", {"across": "model"}),
    ("pats-blind", {}),
    ("pats-magnitude", {}),
    ("pats-inverted", {"across": "model"}),
    ("pats-idle", {"noise_lambda": 3.0}),
]


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_whole_noise_of_a_run(name: str, settings: dict[str, Any]) -> None:
    model = Net()
    method = dither.create_method(name, **settings)
    preset = {
        key: getattr(method, key) for key in ("noise_lambda", "beta", "gamma", "across", "measure", "idle")
    }
    before = arrays(model)
    slow = slow_formulas.WholePats(before, weighting=method.weighting, **preset)
    for step in range(STEPS):
        found = {key: value.numpy() for key, value in slopes(step).items()}
        slow.step(before, found, dict.fromkeys(SHAPES, 1.0))
    meter = DoseMeter(model, [{}], sensitivity_batches=[slopes(step) for step in range(STEPS)], seed=9)
    noise = meter.noise_of(method)
    for draw in range(2):
        expected = slow.noised(before, seed=9, draw=draw)
        with noise.added(9, draw):
            for key, after in arrays(model).items():
                np.testing.assert_allclose(after, expected[key], rtol=0, atol=2e-7 * method.noise_lambda)
                assert not np.array_equal(after, before[key])
        assert all(np.array_equal(value, before[key]) for key, value in arrays(model).items())


def test_the_draws_are_those_of_no_run() -> None:
    model = Net()
    noise = DoseMeter(model, [{}], seed=4).noise_of(dither.NoisyTune(seed=4))
    with noise.added(4, 0):
        here = arrays(model)
    dither.noisytune_(model, seed=4)
    assert all(not np.array_equal(value, here[key]) for key, value in arrays(model).items())
