"""Every registered method on every kind of tensor: what is noised, what is left alone, what is said."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from zoo import BEFORE, DURING, LEFT_ALONE, METHODS, NOISY, Zoo, plain, run, same, weights

import dither

NOISED = ["wide", "square", "kernel", "vector", "table.weight", "first.weight"]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_dtype_and_shape_are_kept(name: str, dtype: torch.dtype) -> None:
    model = Zoo(dtype)
    before = {key: (value.dtype, value.shape) for key, value in weights(model).items()}
    run(name, model)
    after = weights(model)
    assert {key: (value.dtype, value.shape) for key, value in after.items()} == before
    assert all(bool(torch.isfinite(value).all()) for value in after.values())


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_what_should_be_noised_is(name: str, dtype: torch.dtype, rounding: str) -> None:
    model = Zoo(dtype)
    run(name, model, noise_lambda=0.5, rounding=rounding)
    untouched = plain(lambda: Zoo(dtype))
    found = weights(model)
    assert all(not torch.equal(found[key], untouched[key]) for key in NOISED)


@pytest.mark.parametrize("name", METHODS)
def test_degenerate_frozen_and_integer_tensors_are_left_alone(name: str) -> None:
    model = Zoo()
    run(name, model)
    assert same(weights(model), plain(), [key for key in LEFT_ALONE if "." not in key])


@pytest.mark.parametrize("name", NOISY)
def test_they_are_reported_with_the_reason(name: str) -> None:
    record = run(name, Zoo())
    assert record is not None
    reasons = {row.name: row.reason for row in record.tensors}
    assert reasons == dict.fromkeys(NOISED) | LEFT_ALONE
    assert record.counts() == {"noised": len(NOISED), "skipped": len(LEFT_ALONE)}
    assert sum(record.skipped().values()) == len(LEFT_ALONE)


@pytest.mark.parametrize("name", NOISY)
def test_the_record_accounts_for_every_parameter_and_travels_as_json(name: str) -> None:
    model = Zoo()
    record = run(name, model)
    assert record is not None
    paths = [path for path, _ in model.named_parameters(remove_duplicate=False)]
    assert [row.path for row in record.tensors] == paths
    assert dither.Record.from_json(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record
    assert record.recipe["version"] == 1
    assert record.backend
    assert record.threads == torch.get_num_threads()
    for row in record.tensors:
        assert row.noised == (row.effective is not None and row.effective > 0), row
        assert all(key in str(record) for key in (row.name, record.recipe_hash))


@pytest.mark.parametrize("name", METHODS)
def test_padding_rows_stay_zero(name: str) -> None:
    model = Zoo()
    run(name, model, noise_lambda=0.5)
    assert model.table.weight[0].tolist() == [0.0] * 4


@pytest.mark.parametrize("name", METHODS)
def test_tied_weights_are_noised_once(name: str) -> None:
    tied, alone = Zoo(), Zoo()
    alone.again.weight = nn.Parameter(torch.zeros(2, 2))
    run(name, tied)
    run(name, alone)
    assert tied.again.weight is tied.first.weight
    assert torch.equal(tied.first.weight, alone.first.weight)


@pytest.mark.parametrize("name", METHODS)
def test_frozen_weights_are_untouched_unless_asked_for(name: str) -> None:
    model = Zoo()
    before = weights(model)["frozen"]
    run(name, model)
    assert torch.equal(model.frozen, before)
    if name in BEFORE:
        run(name, fresh := Zoo(), frozen=True)
        assert not torch.equal(fresh.frozen, before)
        assert fresh.integers.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("name", DURING)
def test_an_unused_parameter_is_left_alone_without_a_word(name: str) -> None:
    """In the optimizer, but never in a graph: its gradient is None at every step."""
    model = Zoo()
    method = dither.create_method(name, seed=0)
    handle = dither.attach(
        method, torch.optim.AdamW([model.wide, model.square], lr=0.01), model, total_steps=3
    )
    before = model.square.detach().clone()
    for _ in range(3):
        model.wide.grad = torch.ones_like(model.wide)
        handle.optimizer.step()
    assert handle.step == 3
    assert torch.equal(model.square, before)
    reasons = {row.name: row.reason for row in handle.record().tensors}
    assert reasons["kernel"] == "not in the optimizer"
    assert reasons["square"] is None


@pytest.mark.parametrize("name", NOISY)
def test_half_precision_reports_what_rounding_swallowed(name: str) -> None:
    model = Zoo(torch.bfloat16)
    record = run(name, model, noise_lambda=0.01)
    assert record is not None
    rows = {row.name: row for row in record.tensors}
    assert 0 < rows["wide"].unchanged < 1  # type: ignore[operator]
    assert rows["wide"].effective != rows["wide"].requested
