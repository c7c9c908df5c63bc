"""Noise once: every backend writes the reference's bits, whatever the tensor looks like."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from kernel_comparison import Candidate, compare_perturb, perturb_part
from kernel_layouts import LAYOUTS, assert_same, normal, place, scattered

from dither.core.kernels import reference
from dither.core.noise import Change, Noise
from dither.core.places import Place
from dither.core.statistics import float32

KEY = (0xDEADBEEF, 0x12345678)
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 31, 33, 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
HALVES = [torch.bfloat16, torch.float16]
SHAPES: list[tuple[int, ...]] = [
    *[(), (1,), (1, 1), (0, 3), (5,), (70, 61), (1, 300), (300, 1), (9, 1, 11), (6, 33, 5), (3, 5, 7, 11)],
    *[(2, 3, 4, 5, 6), (1, 2, 1, 3, 2, 1, 2, 2), (2,) * 8],
]


def noise(number: int = 0, **settings: object) -> Noise:
    return Noise((KEY[0] ^ number, KEY[1]), **{"scale": float32(0.03), "step": number} | settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep_zeros", [False, True])
def test_sizes_in_one_call(backend: Candidate, dtype: torch.dtype, keep_zeros: bool) -> None:
    tensors = [normal((n,), n).to(dtype) for n in SIZES]
    changes = compare_perturb(backend, tensors, [noise(n, keep_zeros=keep_zeros) for n in SIZES])
    assert changes[-1].changed > 60_000


@pytest.mark.parametrize("dtype", HALVES)
def test_stochastic_rounding_in_sizes(backend: Candidate, dtype: torch.dtype) -> None:
    for scale in (2e-5, 0.03):
        noises = [noise(n, scale=float32(scale), rounding="stochastic") for n in SIZES]
        changes = compare_perturb(backend, [normal((n,), n).to(dtype) for n in SIZES], noises)
        assert changes[-1].changed > 500


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "rounding"), [(dtype, "nearest") for dtype in DTYPES] + [(HALVES[0], "stochastic")]
)
def test_layouts(backend: Candidate, layout: str, dtype: torch.dtype, rounding: str) -> None:
    tensors = [normal(shape, 2).to(dtype) for shape in SHAPES]
    noises = [noise(k, rounding=rounding, keep_zeros=bool(k % 2)) for k in range(len(SHAPES))]
    compare_perturb(backend, tensors, noises, layout)


@pytest.mark.parametrize("seed", range(10))
def test_random_shapes_and_layouts(backend: Candidate, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for layout in LAYOUTS:
        shape = tuple(generator.integers(1, 20, generator.integers(1, 5)).tolist())
        dtype = DTYPES[int(generator.integers(4))]
        key = tuple(generator.integers(0, 2**32, 2).tolist())
        asked = Noise(key, float32(generator.random()), int(generator.integers(2**32)))
        compare_perturb(backend, [normal(shape, seed).to(dtype)], [asked], layout)


def test_one_wide_dimension_of_length_one(backend: Candidate) -> None:
    """Its stride means nothing and may be anything."""
    memory = place(normal((12,), 0).to(backend.device), "contiguous").view
    view = memory.as_strided((3, 1, 4), (4, 999, 1))
    expected = view.cpu().clone()
    backend.module.perturb_([view], [noise()])
    reference.perturb_([expected], [noise()])
    assert_same(view, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_of_either_sign(backend: Candidate, dtype: torch.dtype) -> None:
    zeros = torch.tensor([0.0, -0.0]).repeat(3000).to(dtype)
    mixed = torch.where(torch.arange(6000) % 3 == 0, normal((6000,), 1).to(dtype), zeros)
    for keep, scale in itertools.product((True, False), (0.0, 0.01, 1e-30)):
        asked = noise(keep_zeros=keep, scale=float32(scale))
        changes = compare_perturb(backend, [zeros, mixed], [asked, asked])
        assert changes[0].changed == (0 if keep or scale == 0.0 or changes[0].energy == 0.0 else 6000)


@pytest.mark.parametrize(
    "offset", [1, 2, 3, 4, 1021, 2**32 - 3, 2**32, 2**34 - 5, 2**34 + 1, 2**40 + 7, 2**62]
)
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, "nearest"), (torch.bfloat16, "stochastic")])
def test_a_part_of_a_larger_tensor(
    backend: Candidate, offset: int, dtype: torch.dtype, rounding: str
) -> None:
    """Beyond 2^34 elements the second counter word is no longer zero."""
    asked = noise(7, rounding=rounding)
    for layout in ("contiguous", "transposed"):
        values = normal((40, 33), 5).to(dtype)
        found = place(values.to(backend.device), layout).view
        perturb_part(backend, found, asked, Place(offset))
        expected = values.clone()
        reference.add_noise_(expected.view(-1), asked, at=offset)
        assert_same(found, expected, layout)


@pytest.mark.parametrize("dims", [9, 11, 20])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_more_dimensions_than_usual(each_backend: Candidate, dims: int, layout: str) -> None:
    values = normal((3,) + (1,) * (dims - 6) + (2,) * 5, dims)
    compare_perturb(each_backend, [values, normal((8,), 0)], [noise(), noise(1)], layout)
    found, expected = place(values.to(each_backend.device), layout).view, values.clone()
    perturb_part(each_backend, found, noise(), Place(2**34 + 1))
    reference.add_noise_(expected.view(-1), noise(), at=2**34 + 1)
    assert_same(found, expected, layout)


def test_many_small_tensors_in_one_call(each_backend: Candidate) -> None:
    shapes = [(n % 37, 1 + n % 5) for n in range(500)]
    tensors = [normal(shape, n).to(DTYPES[n % 4]) for n, shape in enumerate(shapes)]
    noises = [noise(n, scale=float32(0.001 * n), keep_zeros=n % 3 == 0) for n in range(500)]
    changes = compare_perturb(each_backend, tensors, noises)
    assert sum(change.changed > 0 for change in changes) > 400
    assert each_backend.module.perturb_([], []) == []


@pytest.mark.parametrize("scale", [0.0, 1e-45, 1e-40, 1e-30, 1.0, 3e38])
@pytest.mark.parametrize("dtype", DTYPES)
def test_data_of_every_exponent(backend: Candidate, scale: float, dtype: torch.dtype) -> None:
    """Denormal weights and denormal noise count; sums beyond the largest number are infinite."""
    values = [scattered((9000,), 1), scattered((2000,), 2, (0, 1)), scattered((2000,), 3, (250, 255))]
    tensors = [one.to(dtype) for one in values]
    tensors = [torch.where(torch.isfinite(one), one, torch.ones_like(one)) for one in tensors]
    compare_perturb(backend, tensors, [noise(k, scale=float32(scale)) for k in range(3)])


def test_what_is_zero_in_float32_alone_is_no_zero(backend: Candidate) -> None:
    values = torch.tensor([0.0, -0.0, 1e-154, -6e-78, 3e-309, 1.0], dtype=torch.float64).repeat(700)
    (change,) = compare_perturb(backend, [values], [noise(scale=float32(0.1), keep_zeros=True)])
    assert change.changed == 4 * 700


@pytest.mark.parametrize("dtype", HALVES)
def test_stochastic_rounding_of_every_exponent(backend: Candidate, dtype: torch.dtype) -> None:
    values = scattered((9000,), 1, (90, 146)).to(dtype)
    values = torch.where(torch.isfinite(values), values, torch.zeros_like(values))
    for scale in (1e-40, 1e-7, 1e-3, 1.0, 6e4):
        compare_perturb(backend, [values], [noise(1, scale=float32(scale), rounding="stochastic")])


@pytest.mark.parametrize("layout", ["contiguous", "strided"])
def test_the_gaussian_law_to_its_tolerance(backend: Candidate, layout: str) -> None:
    scale = float32(0.3)
    for values in (torch.zeros(70_001), torch.zeros(113, 59, dtype=torch.float64), normal((4097,), 1)):
        asked = noise(3, law="gaussian", scale=scale)
        found, expected = place(values.to(backend.device), layout).view, values.clone()
        changes = backend.module.perturb_([found], [asked]), reference.perturb_([expected], [asked])
        # Noise of this size is added to weights below 1: their rounding is another 2^-24.
        room = 1e-6 * scale + (2.0**-24 if values.any() else 0.0)
        assert (found.cpu() - expected).abs().max() <= room
        assert changes[0][0].energy == pytest.approx(changes[1][0].energy, rel=1e-6)
        assert changes[0][0].requested == pytest.approx(changes[1][0].requested, rel=1e-6)


def test_what_is_not_finite_stays_so(backend: Candidate) -> None:
    values = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.0]).repeat(1000)
    for dtype in DTYPES:
        found, expected = values.to(dtype).to(backend.device), values.to(dtype)
        backend.module.perturb_([found], [noise()])
        reference.perturb_([expected], [noise()])
        assert_same(found, expected, str(dtype))


def test_a_tensor_of_inference_mode(each_backend: Candidate) -> None:
    """It has no version for autograd to look at."""
    with torch.inference_mode():
        compare_perturb(each_backend, [normal((30, 40), 0)], [noise()])


def test_autograd_sees_that_a_parameter_was_written(each_backend: Candidate) -> None:
    """Between forward and backward, noise would give a silently wrong gradient."""
    parameter = torch.nn.Parameter(normal((30, 40), 0).to(each_backend.device))
    loss = parameter.square().sum()
    changes = each_backend.module.perturb_([parameter], [noise()])
    assert isinstance(changes[0], Change)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
