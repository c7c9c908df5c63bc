"""Tensors of other kinds: a backend reads what is there, writes through the kind, and refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_comparison import Candidate, assert_change
from kernel_layouts import assert_same
from torch import Tensor

from dither.core import kernels
from dither.core.kernels import reference
from dither.core.memory import values_of
from dither.core.noise import Noise, SensitivityRule, SensitivityState, StepScalars
from tensor_kinds import QUIET, READABLE, UNREADABLE, cut, values

pytestmark = QUIET
NO_VALUES = ["masked", "fake", "to be functional", "traced", "freed", "freed in part", "jagged"]
RULES = [SensitivityRule(0.85, 1.0), SensitivityRule(0.85, 1.0, weighting="blind")]


def on_cpu(backend: Candidate) -> Any:
    if backend.device != "cpu":
        pytest.skip("the kinds are made on the CPU")
    return backend.module


def step(module: Any, weight: Tensor, gradient: Tensor, average: Tensor, rule: Any = RULES[0]) -> Any:
    scalars = StepScalars(torch.tensor(2), torch.ones(1), torch.full((1,), 0.1))
    return module.sensitivity_step_([SensitivityState(weight, gradient, average, (1, 2))], rule, scalars)


@pytest.mark.parametrize("kind", READABLE)
def test_noise_and_moments_are_those_of_the_values(each_backend: Candidate, kind: str) -> None:
    module, tensor, twin = on_cpu(each_backend), READABLE[kind](values()), values()
    assert module.moments([tensor]) == reference.moments([twin])
    (change,) = module.perturb_([tensor], [Noise((1, 2), 0.25)])
    assert_change(change, reference.perturb_([twin], [Noise((1, 2), 0.25)])[0])
    assert_same(values_of(tensor), twin)
    assert not torch.equal(twin, values())


@pytest.mark.parametrize("kind", READABLE)
@pytest.mark.parametrize("rule", RULES)
def test_a_step_of_any_kind_is_that_of_its_values(each_backend: Candidate, kind: str, rule: Any) -> None:
    module, twins = on_cpu(each_backend), [values(), values() / 3, values().abs()]
    tensors = [READABLE[kind](one.clone()) for one in twins]
    step(module, *tensors, rule)  # type: ignore[misc]
    step(reference, *twins, rule)  # type: ignore[misc]
    for tensor, twin in zip(tensors, twins, strict=True):
        assert_same(values_of(tensor), twin)
    assert not torch.equal(twins[0], values())


@pytest.mark.parametrize("kind", NO_VALUES)
def test_what_has_no_values_is_refused_and_nothing_is_written(each_backend: Candidate, kind: str) -> None:
    module, beside = on_cpu(each_backend), values()
    with pytest.raises(TypeError, match="a tensor"):
        module.perturb_([beside, UNREADABLE[kind][0](values())], [Noise((1, 2), 0.25)] * 2)
    with pytest.raises(TypeError, match="a tensor"):
        module.moments([UNREADABLE[kind][0](values())])
    assert torch.equal(beside, values())


@pytest.mark.parametrize("kind", [name for name in NO_VALUES if name != "jagged"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_step_reads_no_memory_that_is_not_there(each_backend: Candidate, kind: str, which: int) -> None:
    module, given = on_cpu(each_backend), [values(), values(), torch.zeros(4, 4)]
    given[which] = UNREADABLE[kind][0](values())
    with pytest.raises(TypeError, match="a tensor"):
        step(module, *given)  # type: ignore[misc]
    assert which == 0 or torch.equal(given[0], values())


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("shape", [(2, 4), (16,), (4, 5), (1, 4)])
@pytest.mark.parametrize("rule", RULES)
def test_shapes_that_differ_are_refused(
    each_backend: Candidate, which: int, shape: tuple[int, ...], rule: Any
) -> None:
    """As a gradient has that was kept while the weights were replaced: a kernel would go past its end."""
    given = [torch.ones(4, 4, device=each_backend.device) for _ in range(3)]
    given[which] = torch.ones(shape, device=each_backend.device)
    with pytest.raises(ValueError, match=r"weight, gradient and average have shapes .*; they must be one"):
        step(each_backend.module, *given, rule)  # type: ignore[misc]
    assert torch.equal(given[0].cpu(), torch.ones(4, 4))


def test_a_gradient_that_is_expanded_is_read_as_it_looks(each_backend: Candidate) -> None:
    module, twin = on_cpu(each_backend), values()
    weight, average = values(), torch.zeros(4, 4)
    step(module, weight, torch.full((1, 1), 0.5).expand(4, 4), average)
    step(reference, twin, torch.full((4, 4), 0.5), torch.zeros(4, 4))
    assert_same(weight, twin)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_gradient_of_a_dtype_that_kernels_do_not_know(each_backend: Candidate, dtype: torch.dtype) -> None:
    module, (one, twin) = on_cpu(each_backend), (values(), values())
    step(module, one, values().to(dtype), torch.zeros(4, 4))
    step(reference, twin, values().to(dtype).float(), torch.zeros(4, 4))
    assert_same(one, twin)


@pytest.mark.parametrize("kind", ["renamed", "two alike", "promised"])
def test_autograd_sees_what_was_written_through_a_kind(kind: str) -> None:
    made = READABLE[kind](values())
    parameter = made if kind == "renamed" else torch.nn.Parameter(made)
    before = parameter._version
    kernels.perturb_([parameter], [Noise((1, 2), 0.25)])
    assert parameter._version > before


def test_a_tensor_elsewhere_is_refused(each_backend: Candidate) -> None:
    module = on_cpu(each_backend)
    with pytest.raises((TypeError, NotImplementedError), match="meta"):
        module.moments([torch.zeros(4, 4, device="meta")])
    assert module.moments([cut(torch.zeros(0), 0)])[0].count == 0
