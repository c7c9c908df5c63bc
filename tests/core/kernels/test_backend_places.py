"""Boxes of a larger tensor: each backend writes into a part what the reference writes into the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from kernel_comparison import Candidate, perturb_part
from kernel_layouts import LAYOUTS, assert_same, normal, place
from torch import Tensor

from dither.core.kernels import reference
from dither.core.noise import Noise, SensitivityRule, SensitivityState, StepScalars
from dither.core.places import WHOLE, Place
from dither.core.statistics import float32, integer

# shape of the whole, start and size of the box
BOXES = [
    ((64, 1000), (0, 0), (64, 1)),
    ((64, 1000), (3, 999), (61, 1)),
    ((64, 1000), (0, 250), (64, 250)),
    ((64, 1000), (10, 3), (7, 990)),
    ((64, 1000), (32, 0), (32, 1000)),
    ((64, 1000), (5, 5), (0, 9)),
    ((6, 7, 9), (2, 0, 4), (3, 7, 5)),
    ((6, 7, 9), (0, 3, 0), (6, 2, 9)),
    ((6, 7, 9), (1, 3, 2), (5, 1, 1)),
    ((4, 3, 5, 6), (1, 0, 2, 0), (2, 3, 2, 6)),
    ((4, 3, 5, 6), (1, 1, 2, 3), (3, 2, 3, 2)),
    ((3001,), (1000,), (1500,)),
]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def box(tensor: Tensor, start: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    return tensor[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_noise_on_a_box(backend: Candidate, dtype: torch.dtype, rounding: str) -> None:
    for number, (shape, start, size) in enumerate(BOXES):
        asked = Noise((number, 7), float32(0.03), 5, keep_zeros=True, rounding=rounding)  # type: ignore[arg-type]
        values = normal(shape, number).to(dtype)
        whole = values.clone()
        reference.perturb_([whole], [asked])
        for layout in ("contiguous", list(LAYOUTS)[number % len(LAYOUTS)]):
            part = place(box(values, start, size).to(backend.device), layout).view
            perturb_part(backend, part, asked, Place.of_box(start, size, shape))
            assert_same(part, box(whole, start, size).contiguous(), f"{shape} {start} {size} {layout}")


def test_the_gaussian_law_on_a_box(backend: Candidate) -> None:
    asked = Noise((3, 7), 1.0, 5, law="gaussian")
    for shape, start, size in BOXES:
        whole, part = torch.zeros(shape), torch.zeros(size, device=backend.device)
        backend.module.perturb_([whole_there := whole.to(backend.device)], [asked])
        perturb_part(backend, part, asked, Place.of_box(start, size, shape))
        expected = box(whole_there, start, size)
        torch.testing.assert_close(part, expected, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_on_the_boxes_of_a_tensor(backend: Candidate, gamma: float, dtype: torch.dtype) -> None:
    """Columns and rows are cut: weights, averages and sums together are those of the whole."""
    shape, rule, generator = (37, 210), SensitivityRule(0.85, gamma), np.random.default_rng(0)
    whole = [normal(shape, 1).to(dtype), normal(shape, 2, 1e-3), torch.zeros(shape)]
    parts = [one.clone() for one in whole]
    cuts = [[0, *sorted(generator.choice(range(1, n), 2, replace=False).tolist()), n] for n in shape]
    boxes = [
        ((a, c), (b - a, d - c))
        for (a, b), (c, d) in itertools.product(*[itertools.pairwise(one) for one in cuts])
    ]
    mean = 0.0
    for step in range(1, 5):
        (expected,) = take_step(reference, "cpu", [whole], [WHOLE], (rule, step, mean))
        rows = [[box(one, *where) for one in parts] for where in boxes]
        places = [Place.of_box(*where, shape) for where in boxes]
        found = take_step(backend.module, backend.device, rows, places, (rule, step, mean))
        assert sum(one[0] for one in found) == expected[0]
        assert sum(one[1] for one in found) == expected[1]
        assert_same(parts[0], whole[0], f"weights after step {step}")
        assert_same(parts[2], whole[2], f"averages after step {step}")
        mean = float32(expected[0] * 2.0**-149 / expected[1])


def take_step(
    module: object, device: str, rows: list[list[Tensor]], places: list[Place], numbers: tuple
) -> list[tuple[int, int]]:
    """A step of some boxes, written back: the sum of e over the active elements of each, and their number."""
    rule, step, mean = numbers
    there = [[one.to(device, copy=True) for one in row] for row in rows]
    states = [SensitivityState(*row, (5, 6), place=at) for row, at in zip(there, places, strict=True)]
    count = len(rows)
    scalars = StepScalars(
        torch.tensor(step, device=device),
        torch.full((count,), mean, device=device),
        torch.full((count,), float32(0.02), device=device),
    )
    outcome = module.sensitivity_step_(states, rule, scalars)  # type: ignore[attr-defined]
    for row, copies in zip(rows, there, strict=True):
        for one, copy in zip(row, copies, strict=True):
            one.copy_(copy)
    return [
        (integer(row), active)
        for row, active in zip(outcome.total.tolist(), outcome.active.tolist(), strict=True)
    ]
