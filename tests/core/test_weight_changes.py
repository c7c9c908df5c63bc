"""The change of weights in norms, against a slow loop."""

from __future__ import annotations

import math

import pytest
import torch

from dither.core.weight_changes import WeightChange, weight_change


def tensors(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    start = torch.randn(n, generator=generator)
    return start, start + 0.1 * torch.randn(n, generator=generator)


@pytest.mark.parametrize("n", [1, 7, 600])
def test_norms_equal_a_slow_loop(n):
    start, end = tensors(n)
    change = norm = norm_end = 0.0
    for old, new in zip(start.tolist(), end.tolist(), strict=True):
        change, norm, norm_end = change + (new - old) ** 2, norm + old**2, norm_end + new**2
    found = weight_change(start.reshape(1, n), end.reshape(1, n), noise=0.09)
    assert found.count == n
    assert found.distance == pytest.approx(math.sqrt(change), rel=1e-12)
    assert found.relative == pytest.approx(math.sqrt(change / norm), rel=1e-12)
    assert found.norm_change == pytest.approx(
        abs(math.sqrt(norm_end) - math.sqrt(norm)) / math.sqrt(norm), abs=1e-12
    )
    assert found.relative_noise == pytest.approx(0.3 / math.sqrt(norm), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_are_in_float64(dtype):
    start = torch.full((3000,), 300.0, dtype=dtype)  # its squares are beyond float16
    found = weight_change(start, start.clone())
    assert (found.start, found.relative, found.norm_change) == (3000 * 300.0**2, 0, 0)


def test_changes_of_parts_add_up(monkeypatch):
    start, end = tensors(1000)
    whole = weight_change(start, end)
    parts = [weight_change(start[at : at + 300], end[at : at + 300]) for at in range(0, 1000, 300)]
    merged = sum(parts, WeightChange())
    monkeypatch.setattr("dither.core.weight_changes._BLOCK", 77)
    for found in (merged, weight_change(start, end)):
        assert (found.count, found.relative) == (1000, pytest.approx(whole.relative, rel=1e-12))


def test_what_started_at_zero_has_no_relative_change():
    found = weight_change(torch.zeros(2), torch.tensor([3.0, 4.0]))
    assert found.distance == 5.0
    assert math.isnan(found.relative)
    assert math.isnan(found.norm_change)


def test_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\) at the start, \(3,\) now"):
        weight_change(torch.zeros(2), torch.zeros(3))
