"""Parts of larger tensors on the device: the bits of the reference, though elements are no neighbours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gpu_cases import RUNS, assert_same_bits, assert_same_change, normal, twin

from dither.core.kernels import cuda, reference
from dither.core.noise import Change, Noise, SensitivityRule, SensitivityState, StepScalars
from dither.core.places import Place

pytestmark = RUNS
KEY = (0xDEADBEEF, 0xFEDCBA98)
# shape of the whole, start and size of the box
BOXES = [
    ((40, 90), (3, 20), (33, 41)),
    ((7, 5, 30), (2, 1, 11), (4, 3, 1)),
    ((4, 3, 5, 2**33), (1, 0, 2, 2**32 - 3), (2, 2, 3, 99)),
    ((50, 60), (10, 0), (31, 60)),
]


@pytest.mark.parametrize(("law", "rounding"), [("uniform", "stochastic"), ("gaussian", "nearest")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_noise(dtype: torch.dtype, law: Any, rounding: Any) -> None:
    noise = Noise(KEY, 0.0173, law=law, rounding=rounding, keep_zeros=True)
    for shape, start, size in BOXES:
        where = Place.of_box(start, size, shape)
        part = normal(*size, dtype=dtype)
        for tensor in (part, part.transpose(0, 1).contiguous().transpose(0, 1)):
            ours, theirs = twin(tensor), twin(tensor)
            (found,) = cuda.perturb_([ours], [noise], places=[where])
            (expected,) = reference.perturb_([theirs], [noise], places=[where])
            if law == "uniform":
                assert_same_bits(ours, theirs, shape)
                assert_same_change(found, expected)
            torch.testing.assert_close(ours, theirs, rtol=0.01 if dtype.itemsize == 2 else 0.0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_step(dtype: torch.dtype) -> None:
    sides: list[list[SensitivityState]] = [[], []]
    for shape, start, size in BOXES:
        for side in sides:
            weight, gradient = normal(*size, dtype=dtype), normal(*size, seed=1)
            average = normal(*size, seed=2).abs() * 0.1
            where = Place.of_box(start, size, shape)
            side.append(SensitivityState(weight, gradient, average, KEY, place=where))
    device = sides[0][0].weight.device
    numbers = [torch.full((len(BOXES),), number, device=device) for number in (0.1, 0.02)]
    scalars = StepScalars(torch.tensor(7, device=device), *numbers)
    outcomes = [
        backend.sensitivity_step_(side, SensitivityRule(0.85, 1.0), scalars)
        for backend, side in zip((cuda, reference), sides, strict=True)
    ]
    for row, (ours, theirs) in enumerate(zip(*sides, strict=True)):
        assert_same_bits(ours.weight, theirs.weight, row)
        assert_same_bits(ours.average, theirs.average, row)
        found, expected = (Change.of(one.change[row].tolist()) for one in outcomes)
        assert_same_change(found, expected)
        assert found.changed > 0


def test_a_place_with_too_many_rows_goes_to_the_reference() -> None:
    shape, start, size = (3, 3, 3, 3, 3), (1, 1, 1, 1, 1), (2, 2, 2, 2, 2)
    where = Place.of_box(start, size, shape)
    assert len(where.rows) == 4
    ours, theirs = normal(*size), normal(*size)
    cuda.perturb_([ours], [Noise(KEY, 0.1)], places=[where])
    reference.perturb_([theirs], [Noise(KEY, 0.1)], places=[where])
    assert_same_bits(ours, theirs)
