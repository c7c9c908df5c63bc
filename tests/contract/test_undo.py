"""Every method that works before training: exact undo, and nothing applied twice or by halves."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from zoo import BEFORE, METHODS, Zoo, create, same, weights

import dither
from dither.core.kernels import reference

ONCE = [name for name, info in METHODS.items() if not info.needs_gradients]


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_undo_is_exact(name: str, dtype: torch.dtype) -> None:
    model = Zoo(dtype)
    before = weights(model)
    with dither.perturbed(model, create(name, noise_lambda=1.0)) as record:
        assert same(weights(model), before) == (name not in BEFORE)
        assert record.counts()["noised"] == (6 if name in BEFORE else 0)
    assert same(weights(model), before)


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_undo_happens_on_exceptions(name: str, error: type[BaseException]) -> None:
    model = Zoo()
    before = weights(model)
    with pytest.raises(error, match="in the block"), dither.perturbed(model, create(name)):
        raise error("in the block")
    assert same(weights(model), before)
    assert dither.apply_(model, create(name)).message == ""  # no mark is left


@pytest.mark.parametrize("name", BEFORE)
def test_undo_takes_back_training_in_the_block_too(name: str) -> None:
    model = Zoo()
    before = weights(model)
    with dither.perturbed(model, create(name)), torch.no_grad():
        model.wide.mul_(3.0)
    assert same(weights(model), before)


@pytest.mark.parametrize("name", BEFORE)
def test_inside_the_block_the_noise_is_that_of_apply(name: str) -> None:
    model, twin = Zoo(), Zoo()
    record = dither.apply_(twin, create(name))
    with dither.perturbed(model, create(name)) as other:
        assert same(weights(model), weights(twin))
        assert other == record


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("layout", ["transposed", "sliced"])
def test_undo_of_other_layouts(name: str, layout: str) -> None:
    model = Zoo()
    store = torch.arange(60, dtype=torch.float32).view(6, 10) / 7
    model.wide = torch.nn.Parameter(store.t() if layout == "transposed" else store[:, ::2])
    before = store.clone()
    with dither.perturbed(model, create(name)):
        assert not torch.equal(store, before)
    assert torch.equal(store, before)


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("enabled", [True, False])
def test_the_grad_mode_of_the_caller_is_kept(name: str, enabled: bool) -> None:
    model = Zoo()
    with torch.set_grad_enabled(enabled):
        with dither.perturbed(model, create(name)):
            assert torch.is_grad_enabled() == enabled
        assert torch.is_grad_enabled() == enabled


@pytest.mark.parametrize("name", BEFORE)
def test_the_same_recipe_twice_is_a_no_op_that_says_so(name: str, caplog: pytest.LogCaptureFixture) -> None:
    model = Zoo()
    first = dither.apply_(model, create(name))
    noised = weights(model)
    with caplog.at_level(logging.WARNING, logger="dither"):
        second = dither.apply_(model, create(name))
    assert same(weights(model), noised)
    assert "already noised with recipe" in second.message
    assert second.message in caplog.text
    assert first.recipe_hash == second.recipe_hash
    assert second.counts()["noised"] == 0
    assert second.skipped()["not written"] == 7  # the constant one, too, was not measured again


@pytest.mark.parametrize("name", BEFORE)
def test_another_recipe_is_an_error_that_names_the_way_out(name: str) -> None:
    model = Zoo()
    dither.apply_(model, create(name))
    noised = weights(model)
    with pytest.raises(ValueError, match=r"was noised before with recipe \w{16}, now .* pass again=True"):
        dither.apply_(model, create(name, seed=1))
    assert same(weights(model), noised)
    dither.apply_(model, create(name, seed=1), again=True)
    assert not same(weights(model), noised)
    with pytest.raises(ValueError, match="was noised before"):
        dither.apply_(model, create(name, noise_lambda=0.3))


class Failing:
    """A backend that breaks at the second tensor."""

    NAME = "failing"
    moments = staticmethod(reference.moments)

    @staticmethod
    def perturb_(tensors: Any, noises: Any, *, places: Any = None) -> Any:
        reference.perturb_(tensors[:1], noises[:1])
        raise MemoryError("at the second tensor")


@pytest.mark.parametrize("name", BEFORE)
def test_a_failure_half_way_marks_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Zoo()
    before = weights(model)
    with monkeypatch.context() as patch:
        patch.setattr("dither.core.kernels.backend_for", lambda device: Failing)
        with pytest.raises(MemoryError, match="at the second tensor"):
            dither.apply_(model, create(name))
    assert not same(weights(model), before)
    message = r"this Zoo is partly noised: writing recipe \w{16} failed half-way; build the model anew"
    for again in (False, True):
        with pytest.raises(ValueError, match=message):
            dither.apply_(model, create(name), again=again)
    with pytest.raises(ValueError, match=message), dither.perturbed(model, create(name)):
        pass


@pytest.mark.parametrize("name", BEFORE)
def test_a_failure_half_way_into_a_block_is_undone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Zoo()
    before = weights(model)
    with monkeypatch.context() as patch:
        patch.setattr("dither.core.kernels.backend_for", lambda device: Failing)
        with pytest.raises(MemoryError), dither.perturbed(model, create(name)):
            pytest.fail("the block must not run")
    assert same(weights(model), before)
    assert dither.apply_(model, create(name)).counts()["noised"] == 6


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nothing_is_written_when_a_late_tensor_is_not_finite(name: str, value: float) -> None:
    model = Zoo()
    with torch.no_grad():
        model.first.weight[1, 1] = value
    before = model.wide.detach().clone()
    with pytest.raises(ValueError, match=r"tensor 'first\.weight' holds NaN or infinite values; nothing was"):
        dither.apply_(model, create(name))
    assert torch.equal(model.wide, before)
    assert dither.apply_(model, create(name, exclude="first.weight")).counts()["noised"] == 5
