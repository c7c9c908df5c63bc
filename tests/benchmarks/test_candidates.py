"""The candidates do the same work: each adds noise of λ times the tensor's spread, in place."""

from __future__ import annotations

import pytest
import torch
from benchmarks.candidates import CANDIDATES, COPY, UNIFORM, Subject, installed
from benchmarks.naive_pats import NaivePATS
from benchmarks.shaped_model import ShapedModel
from benchmarks.shapes import shapes_of

from dither.core.sensitivity import insensitivity, update_average

NOISING = [name for name in CANDIDATES if name not in (UNIFORM, COPY) and installed(name)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NOISING)
def test_the_noise_has_its_spread(name: str, dtype: torch.dtype) -> None:
    subject = Subject(ShapedModel(shapes_of("small LoRA"), dtype, "cpu"))
    before = [tensor.clone() for tensor in subject.tensors]
    with torch.random.fork_rng():
        CANDIDATES[name](subject)()
    for tensor, old in zip(subject.tensors, before, strict=True):
        moved = (tensor - old).float()
        assert moved.std() / old.float().std() == pytest.approx(0.15 / 12**0.5, rel=0.1)
        assert moved.abs().max() / old.float().std() < 0.15 / 2 + 0.05  # rounding to bfloat16


@pytest.mark.parametrize("name", [UNIFORM, COPY])
def test_the_yardsticks_leave_the_model_alone(name: str) -> None:
    subject = Subject(ShapedModel(shapes_of("small LoRA"), torch.float32, "cpu"))
    before = [tensor.clone() for tensor in subject.tensors]
    with torch.random.fork_rng():
        CANDIDATES[name](subject)()
    assert all(torch.equal(a, b) for a, b in zip(before, subject.tensors, strict=True))
    same = [torch.equal(a, b) for a, b in zip(subject.copies, subject.tensors, strict=True)]
    assert set(same) == {name == COPY}


def test_naive_pats_follows_the_rule() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(64, 32, generator=generator))
    optimizer = torch.optim.SGD([weight], lr=0.0)  # the noise alone moves it
    naive = NaivePATS(optimizer, total_steps=3)
    average, mean = torch.zeros(64, 32), None
    for _ in range(3):
        weight.grad = torch.randn(64, 32, generator=generator)
        before = weight.detach().clone()
        observed = (before * weight.grad).abs()
        average = update_average(average, observed, 0.85)
        with torch.random.fork_rng():
            optimizer.step()
        torch.testing.assert_close(naive.averages[weight], average)
        share = torch.zeros_like(average) if mean is None else insensitivity(average, mean, 1.0)
        moved = (weight.detach() - before).abs()
        assert (moved <= naive.scales[weight] * share / 2 + 1e-6).all()
        assert bool(moved.any()) == (mean is not None)
        mean = average.mean()
