"""Parameters of other kinds, and on each other's memory: served, or refused by name before any write."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dither
from dither.core.memory import values_of
from tensor_kinds import QUIET, READABLE, UNREADABLE, Boxed, Quantised, Renamed, two, values

pytestmark = QUIET


class Pair(nn.Module):
    """A plain parameter before one of another kind."""

    def __init__(self, other: Tensor) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.arange(16.0).view(4, 4))
        self.other = other if isinstance(other, nn.Parameter) else nn.Parameter(other)


def attach(model: nn.Module, **settings: Any) -> dither.Handle:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return dither.attach(dither.PATS(**settings), optimizer, model, total_steps=3)


def untouched(model: Pair) -> bool:
    fresh = torch.equal(model.first, torch.arange(16.0).view(4, 4))
    return fresh and not any("_dither" in name for module in model.modules() for name in vars(module))


CALLS: dict[str, Callable[..., Any]] = {"noisytune": dither.noisytune_, "pats": attach}
PARAMETERS = [kind for kind in UNREADABLE if kind != "traced"]  # no parameter can be made of it


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.parametrize("call", CALLS)
def test_a_kind_that_cannot_be_noised_is_refused_by_name(kind: str, call: str) -> None:
    make, said = UNREADABLE[kind]
    model = Pair(make(values()))
    with pytest.raises(ValueError, match="parameter 'other' " + said) as caught:
        CALLS[call](model)
    assert untouched(model)
    assert "or leave it out with exclude='other'" in str(caught.value)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_what_the_refusal_advises_works(kind: str) -> None:
    model = Pair(UNREADABLE[kind][0](values()))
    record = dither.noisytune_(model, exclude="other")
    assert record.skipped() == {"excluded": 1}
    assert dither.Record.from_json(record.to_json()) == record
    assert all(type(size) is int for size in record.tensors[1].shape)
    assert attach(model, exclude="other").record().skipped() == {"excluded": 1}


@pytest.mark.parametrize("kind", READABLE)
def test_a_kind_that_works_is_noised_like_its_values(kind: str) -> None:
    model, twin = Pair(READABLE[kind](values())), Pair(values())
    record = dither.noisytune_(model, seed=1)
    assert record.counts() == dither.noisytune_(twin, seed=1).counts() == {"noised": 2, "skipped": 0}
    assert torch.equal(values_of(model.other), twin.other)
    with dither.perturbed(model, dither.NoisyTune(seed=2)):
        assert not torch.equal(values_of(model.other), twin.other)
    assert torch.equal(values_of(model.other), twin.other)


def test_training_a_wrapper_is_training_its_values() -> None:
    found = []
    for make in (lambda held: two(held, held.clone()), Tensor.clone):
        model = nn.Module()
        model.weight = nn.Parameter(make(values()))
        handle = attach(model, seed=0)
        for _ in range(3):
            handle.optimizer.zero_grad()
            model.weight.square().sum().backward()
            handle.optimizer.step()
        found.append((values_of(model.weight).clone(), handle.record().tensors[0].effective))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(found[1][1])
    assert found[0][1] > 0.0


def test_gradients_of_functional_collectives_are_waited_for() -> None:
    found = []
    for make in (READABLE["promised"], Tensor.clone):
        model = Pair(values())
        handle = attach(model, seed=0)
        for _ in range(3):
            model.first.grad, model.other.grad = make(values()), make(-values())
            handle.optimizer.step()
        found.append([parameter.detach().clone() for parameter in model.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_what_is_neither_is_skipped_with_its_reason() -> None:
    model = Pair(values().to(torch.complex64))
    model.eight = Renamed(values().to(torch.float8_e4m3fn), requires_grad=False)
    packed = Quantised(torch.ones(2, 2, dtype=torch.int8))
    model.packed = nn.Parameter(packed, requires_grad=False)
    record = dither.noisytune_(model, frozen=True)
    assert record.skipped() == {"complex": 1, "integer or quantised": 2}


def test_codebooks_of_quantised_layers_are_left_alone() -> None:
    layer = nn.Module()
    layer.codes = nn.Parameter(torch.ones(4, 2, dtype=torch.int16), requires_grad=False)
    layer.eight = nn.Parameter(torch.ones(4, 2).to(torch.float8_e4m3fn), requires_grad=False)
    for name in ("codebooks", "scales", "bias"):
        layer.register_parameter(name, nn.Parameter(values()))
    model = nn.ModuleDict({"up": layer, "norm": nn.LayerNorm(4)})
    rows = {row.path: row.reason for row in dither.noisytune_(model).tensors}
    assert rows["up.codebooks"] == rows["up.scales"] == "scale of a quantised tensor"
    assert rows["up.bias"] is None


def memory(make: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Pair:
    model = Pair(values())
    store = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    first, other = make(store)
    model.first, model.other = nn.Parameter(first), nn.Parameter(other)
    return model


SHARED = {
    "a part": lambda store: (store, store[2:4]),
    "the first half, as long as a column block": lambda store: (store[:4], store[:, :4]),
    "one element": lambda store: (store[:, :5], store[4:, 4:]),
    "under a wrapper": lambda store: (store, Boxed(store[1:3])),
    "in another dtype": lambda store: (store.fill_(1.5)[:4], store.view(torch.float16)[3:]),
}


@pytest.mark.parametrize("case", SHARED)
@pytest.mark.parametrize("call", CALLS)
def test_parameters_that_share_a_part_of_their_memory_are_refused(case: str, call: str) -> None:
    model = memory(SHARED[case])
    before = values_of(model.first).detach().clone()
    message = "parameter 'first' and parameter 'other' share a part of their memory, so noise on one changes"
    for settings in ({}, {"exclude": "other"}, {"include": "other"}):
        with pytest.raises(ValueError, match=message):
            CALLS[call](model, **settings)
    assert torch.equal(model.first, before)
    with torch.no_grad():  # as the message advises
        model.other = nn.Parameter(model.other.detach().clone())
    CALLS[call](model)


APART = {
    "columns": lambda store: (store[:, :3], store[:, 3:]),
    "every second": lambda store: (store[::2], store[1::2]),
    "corners": lambda store: (store[:4, :4], store[4:, 4:]),
}


@pytest.mark.parametrize("case", APART)
def test_parameters_beside_each_other_in_one_memory_are_two(case: str) -> None:
    model, twin = memory(APART[case]), memory(APART[case])
    twin.first, twin.other = (nn.Parameter(one.detach().clone()) for one in twin.parameters())
    assert (
        dither.noisytune_(model).counts() == dither.noisytune_(twin).counts() == {"noised": 2, "skipped": 0}
    )
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), twin.parameters(), strict=True))


def test_a_transposed_view_is_the_same_parameter() -> None:
    record = dither.noisytune_(memory(lambda store: (store, store.t())))
    assert [row.reason for row in record.tensors] == [None, "tied to first"]


@pytest.mark.parametrize("shape", [((1, 8), (4, 8)), ((8, 1), (8, 3))])
def test_an_expanded_parameter_is_refused_by_name(shape: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    model = Pair(torch.randn(shape[0]).expand(shape[1]))
    message = "parameter 'other' has elements that share memory, as an expanded tensor has; give it memory of"
    for call in CALLS.values():
        with pytest.raises(ValueError, match=message):
            call(model)
    assert untouched(model)
    assert dither.noisytune_(model, exclude="other").counts()["noised"] == 1
    model.other = nn.Parameter(model.other.detach().contiguous())  # as the message advises
    assert dither.noisytune_(model, again=True).counts()["noised"] == 2


def test_rows_that_overlap_in_a_view_are_refused() -> None:
    model = Pair(torch.randn(10).as_strided((4, 4), (2, 1)))
    with pytest.raises(ValueError, match="parameter 'other' has elements that share memory"):
        dither.noisytune_(model)
    assert untouched(model)


def test_nothing_is_said_of_models_that_have_no_such_tensor() -> None:
    with warnings.catch_warnings(record=True) as said:
        dither.noisytune_(nn.GRU(4, 4, num_layers=2))
    assert not said
