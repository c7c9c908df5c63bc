"""noisytune_, apply_ and perturbed: what the contract of all methods does not say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import dither


def net() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def test_the_call_and_the_class_are_one() -> None:
    one, other = net(), net()
    record = dither.noisytune_(one, 0.2, 7, exclude="*.bias", law="gaussian")
    assert record == dither.apply_(
        other, dither.NoisyTune(noise_lambda=0.2, seed=7, exclude="*.bias", law="gaussian")
    )
    assert torch.equal(flat(one), flat(other))


def test_the_default_of_the_paper() -> None:
    record = dither.noisytune_(net())
    assert record.recipe["noise_lambda"] == 0.15
    assert record.recipe["seed"] == 0


@pytest.mark.parametrize("method", [dither.PATS(), None, "noisytune", dither.NoisyTune])
def test_what_does_not_work_before_training_is_refused(method: Any) -> None:
    with pytest.raises(TypeError, match=r"method is .*; before training .* use dither\.attach\(method, opt"):
        dither.apply_(net(), method)
    with pytest.raises(TypeError, match="before training"), dither.perturbed(net(), method):
        pytest.fail("the block must not run")


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (2**64, ValueError), (0.5, TypeError)])
def test_a_bad_seed_is_refused_before_anything_happens(seed: Any, error: type[Exception]) -> None:
    model = net()
    before = flat(model)
    with pytest.raises(error, match=f"seed is {seed}"):
        dither.apply_(model, dither.NoisyTune(), seed=seed)
    with pytest.raises(error, match=f"seed is {seed}"):
        dither.apply_(model, dither.create_method("none", seed=seed))
    assert torch.equal(flat(model), before)


def test_the_methods_own_seed_wins() -> None:
    one, other = net(), net()
    dither.apply_(one, dither.NoisyTune(seed=3), seed=4)
    dither.noisytune_(other, seed=3)
    assert torch.equal(flat(one), flat(other))


def test_a_wrong_pattern_writes_nothing() -> None:
    model = net()
    before = flat(model)
    with pytest.raises(ValueError, match=r"include='7\.\*' fits none of the 6 tensors"):
        dither.noisytune_(model, include=["0.*", "7.*"])
    assert torch.equal(flat(model), before)
    assert dither.noisytune_(model).message == ""


def test_writing_between_forward_and_backward_is_an_error_of_torch() -> None:
    """The version counter of the weights moves: no silently wrong gradient."""
    for layout in (lambda w: w, lambda w: w.t().contiguous().t()):
        model = net()
        model[2].weight = nn.Parameter(layout(model[2].weight.detach()))
        loss = model(torch.ones(3, 6)).square().sum()
        dither.noisytune_(model, include="2.weight")
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_undoing_between_forward_and_backward_is_one_too() -> None:
    model = net()
    with dither.perturbed(model, dither.NoisyTune()):
        loss = model(torch.ones(3, 6)).square().sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_and_the_graph_are_left_alone() -> None:
    model = net()
    model(torch.ones(3, 6)).sum().backward()
    kept = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    dither.noisytune_(model)
    for parameter, gradient in zip(model.parameters(), kept, strict=True):
        assert torch.equal(parameter.grad, gradient)  # type: ignore[arg-type]
        assert parameter.is_leaf
        assert parameter.requires_grad
        assert parameter.grad_fn is None


def test_buffers_are_not_parameters() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    dither.noisytune_(model)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_nested_blocks_undo_in_turn() -> None:
    model = net()
    before = flat(model)
    with dither.perturbed(model, dither.NoisyTune(seed=0)):
        outer = flat(model)
        with dither.perturbed(model, dither.NoisyTune(seed=0)):
            assert not torch.equal(flat(model), outer)
        assert torch.equal(flat(model), outer)
    assert torch.equal(flat(model), before)


def test_a_model_without_parameters_is_no_error() -> None:
    assert dither.noisytune_(nn.ReLU()).counts() == {"noised": 0, "skipped": 0}


def test_float64_weights_get_the_float32_noise() -> None:
    single, double = net(), net().double()
    before = flat(double)
    dither.noisytune_(single)
    dither.noisytune_(double)
    change = (flat(double) - before).abs().max()
    assert change > 0
    assert torch.allclose(flat(double).float(), flat(single), rtol=0, atol=2e-7)
    assert not torch.equal(flat(double), flat(double).float().double())


def test_the_record_measures_what_was_done() -> None:
    model = net()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    record = dither.noisytune_(model, 0.15)
    for row in record.tensors:
        change = model.get_parameter(row.path).detach().double() - before[row.path].double()
        assert row.effective == pytest.approx(change.square().mean().sqrt().item(), rel=1e-6)
        assert row.requested == pytest.approx(row.effective, rel=1e-3)
        assert row.std == pytest.approx(before[row.path].std().item(), rel=1e-6)
        assert row.strength == 0.15
    total = (flat(model) - torch.cat([value.reshape(-1) for value in before.values()])).double()
    assert record.root_mean_square() == pytest.approx(total.square().mean().sqrt().item(), rel=1e-6)


def test_a_model_in_which_nothing_was_noised_is_named(caplog: pytest.LogCaptureFixture) -> None:
    model = torch.nn.Linear(4, 4).requires_grad_(False)
    dither.noisytune_(model, seed=0)
    assert "no tensor was noised" in caplog.text
    assert "2 frozen" in caplog.text
    caplog.clear()
    dither.noisytune_(torch.nn.Linear(4, 4), noise_lambda=0.0)
    assert caplog.text == ""
