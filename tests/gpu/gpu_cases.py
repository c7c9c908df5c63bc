"""Tensors that are hard on the kernels, and what equal means: the same bits, but for what NaN carries."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest
import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
HAS_GPU = torch.cuda.is_available()
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

HAS_TRITON = importlib.util.find_spec("triton") is not None
# The interpreter computes with NumPy, which has something to say about NaN and infinity.
RUNS = pytest.mark.filterwarnings("ignore::RuntimeWarning")
NEEDS_GPU = pytest.mark.skipif(not HAS_GPU, reason="no GPU")


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Tensor:
    """Normal numbers on the device, the same ones on every device."""
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn * scale).to(dtype).to(DEVICE)


def spread(count: int, seed: int = 0) -> Tensor:
    """float32 numbers with every exponent, denormals and both zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(-(2**31), 2**31, (count,), generator=generator, dtype=torch.int64).to(torch.int32)
    numbers = bits.view(torch.float32)
    numbers[~torch.isfinite(numbers)] = 0.0
    numbers[:3] = torch.tensor([-0.0, 2.0**-149, torch.finfo(torch.float32).max])
    return numbers.to(DEVICE)


def layouts(seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Views of every kind: what merges, what is strided, what starts at an odd address, what is empty."""
    big = normal(13, 8, 17, 6, seed=seed, dtype=dtype)
    deep = normal(2, 3, 2, 5, 3, 4, seed=seed, dtype=dtype)
    return {
        "contiguous": normal(3, 1100, seed=seed, dtype=dtype),
        "odd": normal(1237, seed=seed, dtype=dtype),
        "shifted": normal(1101, seed=seed, dtype=dtype)[1:],
        "transposed": normal(31, 47, seed=seed, dtype=dtype).t(),
        "sliced": big[1::3, :, 2:15, 1:5],
        "every third": normal(999, seed=seed, dtype=dtype)[::3],
        "permuted": big.permute(3, 1, 0, 2),
        "too deep": deep.permute(5, 3, 1, 0, 4, 2),
        "one": normal(1, seed=seed, dtype=dtype),
        "no dimension": normal(1, seed=seed, dtype=dtype)[0],
        "empty": normal(0, 3, seed=seed, dtype=dtype),
    }


def twin(tensor: Tensor) -> Tensor:
    """A copy in memory of its own with the same layout."""
    whole = torch.empty(tensor.untyped_storage().nbytes() // tensor.element_size(), dtype=tensor.dtype)
    whole = whole.to(tensor.device)
    whole.untyped_storage().copy_(tensor.untyped_storage())
    return whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def assert_same_bits(found: Tensor, expected: Tensor, what: Any = "") -> None:
    """Every bit equal, signs of zeros too; NaN equals NaN."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    kind = _BITS[found.element_size()]
    same = found.contiguous().view(kind) == expected.contiguous().view(kind)
    same |= found.isnan() & expected.isnan()
    wrong = (~same).nonzero()
    assert not len(wrong), f"{what}: {len(wrong)} of {found.numel()} differ, first at {wrong[0].tolist()}"


def assert_same_change(found: Any, expected: Any) -> None:
    """Counts equal, energies to 1e-12."""
    assert (found.elements, found.changed) == (expected.elements, expected.changed)
    for field in ("energy", "requested"):
        near = pytest.approx(getattr(expected, field), rel=1e-12, abs=0.0, nan_ok=True)
        assert getattr(found, field) == near, field
