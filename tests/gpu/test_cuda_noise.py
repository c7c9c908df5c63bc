"""Noise on the device: the bits of the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from gpu_cases import (
    DEVICE,
    DTYPES,
    NEEDS_GPU,
    RUNS,
    assert_same_bits,
    assert_same_change,
    layouts,
    normal,
    spread,
    twin,
)
from torch import Tensor

from dither.core.kernels import cuda, reference
from dither.core.kernels.device import table
from dither.core.noise import Noise
from dither.core.places import Place

pytestmark = RUNS
NOISE = Noise(key=(0xDEADBEEF, 0xFEDCBA98), scale=0.0173)
HALF = (torch.bfloat16, torch.float16)


def assert_same_noise(tensors: list[Tensor], noises: list[Noise], tolerance: float | None = None) -> None:
    """Write the same noise by both backends and compare all that comes of it."""
    ours, theirs = [twin(tensor) for tensor in tensors], [twin(tensor) for tensor in tensors]
    found = cuda.perturb_(ours, noises)
    expected = reference.perturb_(theirs, noises)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if tolerance is not None:
            torch.testing.assert_close(one, other, rtol=0.0, atol=tolerance)
            continue
        assert_same_bits(one, other, number)
        assert_same_change(found[number], expected[number])


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_layout(dtype: torch.dtype, rounding: Any) -> None:
    tensors = list(layouts(dtype=dtype).values())
    noises = [replace(NOISE, step=2**32 - 1 - k, rounding=rounding) for k in range(len(tensors))]
    assert_same_noise(tensors, noises)


def test_a_list_of_many_kinds() -> None:
    tensors = [normal(50 + 8 * k, seed=k, dtype=dtype) for k in range(3) for dtype in DTYPES]
    noises = [
        replace(NOISE, key=(k, 2**32 - k - 1), scale=0.01 * k, keep_zeros=k % 2 == 1, step=k)
        for k in range(len(tensors))
    ]
    assert_same_noise(tensors, noises)


@pytest.mark.parametrize("keep_zeros", [True, False])
def test_zeros(keep_zeros: bool) -> None:
    tensor = normal(1500)
    tensor[::3] = 0.0
    tensor[1::9] = -0.0
    assert_same_noise([tensor, torch.zeros(1100, device=DEVICE)], [replace(NOISE, keep_zeros=keep_zeros)] * 2)


@pytest.mark.parametrize("scale", [0.0, 2.0**-149, 1e-40, 2.0**-126, 1e-7, 1e30])
def test_scales_down_to_the_denormal_ones(scale: float) -> None:
    scale = torch.tensor(scale).item()
    tensors = [spread(1100), normal(1100, scale=1e-38), normal(1100, scale=max(scale, 1e-42))]
    assert_same_noise(tensors, [replace(NOISE, scale=scale)] * 3)


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_every_half_number(dtype: torch.dtype, rounding: Any) -> None:
    numbers = torch.arange(-(2**15), 2**15, 7, dtype=torch.int32).to(torch.int16).view(dtype).to(DEVICE)
    scales = (1e-7, 1e-3, 1.0, 1e4)
    noises = [replace(NOISE, scale=torch.tensor(scale).item(), rounding=rounding) for scale in scales]
    assert_same_noise([numbers] * len(scales), noises)


def test_weights_that_are_not_finite() -> None:
    tensor = normal(1100)
    tensor[[1, 600, 1099]] = torch.tensor([float("nan"), float("inf"), -float("inf")], device=DEVICE)
    assert_same_noise([tensor], [NOISE])


@pytest.mark.parametrize("offset", [1, 2, 3, 4, 2**34 - 2, 2**34 + 5, 2**40 + 4, 2**62 + 3])
def test_parts_of_tensors_that_nobody_could_allocate(offset: int) -> None:
    for tensor in (normal(1200), normal(40, 31).t(), normal(1025, dtype=torch.bfloat16)):
        noise = replace(NOISE, rounding="stochastic")
        ours, flat = twin(tensor), tensor.reshape(-1).clone()
        found = cuda.perturb_([ours], [noise], places=[Place(offset)])
        assert_same_change(found[0], reference.add_noise_(flat, noise, at=offset))
        assert_same_bits(ours.reshape(-1), flat, offset)


@pytest.mark.parametrize("tiles", [16, 64])
def test_parts_that_end_beside_the_end_of_an_item(tiles: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_MUCH", 0 if tiles == 64 else 2**28)
    for count, offset in ((1024 * tiles, 3), (1024 * tiles - 3, 3)):
        ours = normal(count)
        flat = ours.clone()
        cuda.perturb_([ours], [NOISE], places=[Place(offset)])
        reference.add_noise_(flat, NOISE, at=offset)
        assert_same_bits(ours, flat, (count, offset))


def test_the_gaussian_law() -> None:
    noise = replace(NOISE, law="gaussian", scale=1.0)
    zeros = [torch.zeros(1001, device=DEVICE), torch.zeros(33, 7, device=DEVICE).t()]
    assert_same_noise(zeros, [noise, replace(noise, keep_zeros=False, step=5)], tolerance=1e-6)


def test_autograd_knows_that_the_value_changed() -> None:
    weight = normal(64).requires_grad_()
    loss = (weight * weight).sum()
    cuda.perturb_([weight], [NOISE])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 tensors, 1 noises and 2 places"):
        cuda.perturb_([normal(4), normal(4)], [NOISE])


@NEEDS_GPU
def test_a_large_tensor_and_the_same_change_at_every_call() -> None:
    tensor = normal(3_000_001, scale=0.02)
    assert_same_noise([tensor, normal(1000, 2000, scale=0.02).t()], [NOISE] * 2)
    changes = {repr(cuda.perturb_([tensor.clone()], [NOISE])) for _ in range(5)}
    assert len(changes) == 1
