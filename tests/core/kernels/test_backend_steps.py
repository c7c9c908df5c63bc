"""The step of PATS: every backend gives the reference's weights, averages, sums and means at every step."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from kernel_comparison import Candidate, Settings, Training
from kernel_layouts import LAYOUTS, assert_same, normal, place
from torch import Tensor

from dither.core.noise import SensitivityRule, SensitivityState, StepScalars
from dither.core.statistics import integer

SHAPES: list[tuple[int, ...]] = [
    (33, 65),
    (7,),
    (41, 3, 9),
    (),
    (0, 3),
    (1,),
    (4, 4099),
    (2, 3, 4, 5, 6),
    (2,) * 9,
]
RULES = {
    "pats": SensitivityRule(0.85, 1.0),
    "beta 0": SensitivityRule(0.0, 1.0),
    "beta .995": SensitivityRule(0.995, 1.0),
    "gamma 2": SensitivityRule(0.85, 2.0),
    "magnitude": SensitivityRule(0.85, 1.0, measure="magnitude"),
    "idle": SensitivityRule(0.85, 1.0, idle=True),
    "idle, magnitude, gamma 2": SensitivityRule(0.85, 2.0, measure="magnitude", idle=True),
    "blind": SensitivityRule(0.85, 1.0, weighting="blind"),
    "blind, gamma 2": SensitivityRule(0.85, 2.0, weighting="blind"),
    "inverted": SensitivityRule(0.85, 1.0, weighting="inverted"),
    "inverted, magnitude": SensitivityRule(0.85, 1.0, measure="magnitude", weighting="inverted"),
}


def weights(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [normal(shape, 10 + k).to(dtype) for k, shape in enumerate(SHAPES)]


def gradients(step: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Some rows are zero, others at each step, and some whole tensors now and then."""
    found = [normal(shape, 1000 * step + k, spread=1e-3).to(dtype) for k, shape in enumerate(SHAPES)]
    for gradient in found:
        if gradient.dim() > 1:
            gradient[step % 3 :: 3] = 0.0
    found[step % 4].zero_()
    return found


def train(
    backend: Candidate, settings: Settings, dtype: torch.dtype = torch.float32, steps: int = 4
) -> Training:
    """A run in which noise was really added."""
    training = Training(backend, weights(dtype), settings)
    outcomes = [training.step(gradients(step, dtype)) for step in range(1, steps + 1)]
    assert not outcomes[0].change.any()  # no mean yet
    assert all(outcome.change[:, 1].max() > 1000 for outcome in outcomes[1:])
    assert all(outcome.active.sum() > 5000 for outcome in outcomes)
    return training


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rules(backend: Candidate, rule: SensitivityRule) -> None:
    train(backend, Settings(rule))


@pytest.mark.parametrize("gamma", [0.5, 1.5])
@pytest.mark.parametrize("name", ["pats", "idle", "blind"])
def test_other_exponents_to_their_tolerance(backend: Candidate, gamma: float, name: str) -> None:
    train(backend, Settings(replace(RULES[name], gamma=gamma), exact=False), steps=3)


DTYPES = {
    "float32, bfloat16 average": (torch.float32, torch.bfloat16),
    "bfloat16": (torch.bfloat16, torch.bfloat16),
    "bfloat16, float32 average": (torch.bfloat16, torch.float32),
    "float16": (torch.float16, torch.float16),
    "float16, float32 average": (torch.float16, torch.float32),
    "float64": (torch.float64, torch.float64),
    "float64, float32 average": (torch.float64, torch.float32),
}


@pytest.mark.parametrize(("dtype", "average"), DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize(
    ("rounding", "name"), [("nearest", "pats"), ("stochastic", "pats"), ("nearest", "blind")]
)
def test_dtypes(
    backend: Candidate, dtype: torch.dtype, average: torch.dtype, rounding: str, name: str
) -> None:
    train(backend, Settings(RULES[name], average=average, rounding=rounding), dtype, steps=3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_gradient_of_another_dtype(backend: Candidate, dtype: torch.dtype) -> None:
    training = Training(backend, weights())
    outcomes = [training.step(gradients(step, dtype)) for step in (1, 2, 3)]
    assert outcomes[2].change[:, 1].max() > 1000


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["pats", "inverted"])
def test_layouts(each_backend: Candidate, layout: str, name: str) -> None:
    train(each_backend, Settings(RULES[name], layouts=(layout,) * 3), steps=3)


@pytest.mark.parametrize("shift", range(len(LAYOUTS)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weight_gradient_and_average_each_in_a_layout(
    each_backend: Candidate, shift: int, dtype: torch.dtype
) -> None:
    names = [*LAYOUTS, *LAYOUTS, *LAYOUTS]
    chosen = (names[shift], names[shift + 1], names[2 * shift + 3])
    train(each_backend, Settings(layouts=chosen, average=torch.float32), dtype, steps=3)


@pytest.mark.parametrize("layouts", list(itertools.product(["contiguous", "strided"], repeat=3)))
def test_more_dimensions_than_usual(each_backend: Candidate, layouts: tuple[str, str, str]) -> None:
    shapes = [(3, 1, 1, 1, 2, 2, 2, 2, 2), (4,) * 5, (2,) * 10]
    training = Training(each_backend, [normal(shape, 1) for shape in shapes], Settings(layouts=layouts))
    for step in (1, 2, 3):
        training.step([normal(shape, step) for shape in shapes])


@pytest.mark.parametrize("name", ["pats", "idle", "blind"])
def test_expanded_gradients(each_backend: Candidate, name: str) -> None:
    """Autograd expands the gradient of a sum; its elements share their memory."""
    values = [normal((60, 70), 1), normal((50, 3, 41), 2), normal((70_001,), 3)]
    row, number = normal((70,), 4), torch.tensor(0.01)
    for layout in ("contiguous", "transposed"):
        training = Training(
            each_backend, values, Settings(RULES[name], layouts=(layout, "contiguous", layout))
        )
        for _ in range(3):
            wide = [row.expand(60, 70), row[:50, None, None].expand(50, 3, 41), number.expand(70_001)]
            outcome = training.step(wide)
        assert outcome.change[:, 1].min() > 1000


@pytest.mark.parametrize("seed", range(17))
def test_random_runs(backend: Candidate, seed: int) -> None:
    """Three tensors each, in random shapes, layouts and dtypes, under a random rule."""
    generator = np.random.default_rng(seed)
    shapes = [tuple(generator.integers(1, 17, generator.integers(1, 5)).tolist()) for _ in range(3)]
    dtype, average = list(DTYPES.values())[seed % len(DTYPES)]
    layouts = tuple(generator.choice(list(LAYOUTS), 3).tolist())
    rule = list(RULES.values())[seed % len(RULES)]
    settings = Settings(rule, average=average, layouts=layouts)  # type: ignore[arg-type]
    training = Training(backend, [normal(shape, seed).to(dtype) for shape in shapes], settings)
    for step in generator.integers(1, 2**32, 3).tolist():
        training.step([normal(shape, step).to(dtype) for shape in shapes], number=step)


def test_many_small_tensors_in_one_call(each_backend: Candidate) -> None:
    shapes = [(n % 29, 1 + n % 5) for n in range(300)]
    training = Training(each_backend, [normal(shape, n) for n, shape in enumerate(shapes)])
    for step in (1, 2, 3):
        outcome = training.step([normal(shape, 300 * step + n) for n, shape in enumerate(shapes)])
    assert int((outcome.change[:, 1] > 0).sum()) > 250


@pytest.mark.parametrize("name", ["pats", "blind", "inverted"])
@pytest.mark.parametrize("size", [1, 3, 4, 5, 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537])
def test_sizes(backend: Candidate, size: int, name: str) -> None:
    training = Training(backend, [normal((size,), 1)], Settings(RULES[name]))
    outcomes = [training.step([normal((size,), step)]) for step in (2, 3)]
    assert outcomes[1].active.item() >= 0.8 * (size - 1)


def test_what_comes_out_is_what_was_found(each_backend: Candidate) -> None:
    """Not only like the reference: the sum and the number, from the definition."""
    weight, gradient = normal((90, 80), 1), normal((90, 80), 2)
    average = torch.zeros(90, 80)
    placed = [place(one.to(each_backend.device), "transposed").view for one in (weight, gradient, average)]
    device, one = each_backend.device, torch.ones(1, device=each_backend.device)
    scalars = StepScalars(torch.tensor(3, device=device), one * 0.0, one)
    state = SensitivityState(placed[0], placed[1], placed[2], (5, 6))
    outcome = each_backend.module.sensitivity_step_([state], RULES["pats"], scalars)
    s = (weight * gradient).abs()
    assert_same(placed[2], s)
    assert_same(placed[0], weight)
    assert outcome.active.tolist() == [int(s.count_nonzero())]
    total = integer(outcome.total[0].tolist()) * 2.0**-149
    assert total == math.fsum(s.flatten().tolist())
    assert each_backend.module.next_means(outcome, scalars.mean).tolist() == [
        torch.tensor(total / int(s.count_nonzero()), dtype=torch.float32).item()
    ]


def test_no_tensors_at_all(each_backend: Candidate) -> None:
    none = torch.zeros(0, device=each_backend.device)
    scalars = StepScalars(torch.tensor(1, device=each_backend.device), none, none)
    outcome = each_backend.module.sensitivity_step_([], RULES["pats"], scalars)
    assert (outcome.total.numel(), outcome.active.numel(), outcome.change.numel()) == (0, 0, 0)
    assert each_backend.module.next_means(outcome, none).tolist() == []


def test_idle_float64_weights_that_float32_takes_for_zeros(each_backend: Candidate) -> None:
    """Only a weight that is zero in its own dtype is kept."""
    tiny = torch.tensor([1e-60, 0.0], dtype=torch.float64).repeat(350)
    weights = [torch.cat([tiny, normal((300,), 1).to(torch.float64)])]
    training = Training(each_backend, weights, Settings(RULES["idle"], average=torch.float32))
    for step in (2, 3):
        training.step([normal((1000,), step).to(torch.float64)])
    assert int(training.expected.weights[0].view[:700].count_nonzero()) == 350
    assert bool((training.expected.weights[0].view[:700:2] != 1e-60).any())
