"""Where the elements of a tensor are, whatever its kind: found, copied, or refused; never read elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dither.core.memory import (
    has_addresses,
    inner_tensors,
    is_ordinary,
    is_plainly_ordinary,
    overwrite,
    settled,
    unwritable,
    values_of,
)
from tensor_kinds import QUIET, READABLE, UNREADABLE, Boxed, cut, nested, promised, two, values

pytestmark = QUIET
NO_VALUES = ["masked", "fake", "to be functional", "traced", "freed", "freed in part", "jagged", "nested"]


@pytest.mark.parametrize("kind", READABLE)
def test_what_can_be_read_has_its_values(kind: str) -> None:
    tensor = READABLE[kind](values())
    found = values_of(tensor)
    assert is_ordinary(found)
    assert torch.equal(found, values())
    assert unwritable(tensor) is None


@pytest.mark.parametrize("kind", READABLE)
def test_what_can_be_written_has_what_was_written(kind: str) -> None:
    tensor = READABLE[kind](values())
    overwrite(tensor, values() * 3)
    assert torch.equal(values_of(tensor), values() * 3)


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_says_why(kind: str) -> None:
    make, said = UNREADABLE[kind]
    assert (unwritable(make(values())) or "").startswith(said)


@pytest.mark.parametrize("kind", NO_VALUES)
def test_what_has_no_values_gives_none(kind: str) -> None:
    tensor = UNREADABLE[kind][0](values())
    with pytest.raises(
        TypeError, match=rf"a tensor of type {type(tensor).__name__} on cpu (has no|gives no)"
    ):
        values_of(tensor)
    assert not is_ordinary(tensor)


@pytest.mark.parametrize("kind", ["sparse", "sparse rows", "mkldnn"])
def test_other_layouts_are_read_through_a_copy(kind: str) -> None:
    assert torch.equal(values_of(UNREADABLE[kind][0](values())), values())


@pytest.mark.parametrize("kind", [*READABLE, *UNREADABLE])
def test_the_cheap_questions_agree_with_the_others(kind: str) -> None:
    made = READABLE[kind] if kind in READABLE else UNREADABLE[kind][0]
    tensor = made(values())
    assert is_ordinary(tensor) or not is_plainly_ordinary(tensor) or tensor.data_ptr() == 0


def test_a_trial_leaves_everything_as_it_was() -> None:
    first, second = values(), values() + 1
    assert unwritable(two(first, second)) is not None
    assert torch.equal(first, values())
    assert torch.equal(second, values() + 1)


def test_a_promise_is_kept_in_its_own_memory() -> None:
    held = values()
    found = settled(promised(held))
    assert found.data_ptr() == held.data_ptr()
    assert [one.data_ptr() for one in inner_tensors(promised(Boxed(held)))] == [held.data_ptr()]


def test_a_storage_must_reach_to_the_last_element() -> None:
    whole = torch.zeros(4, 4)
    columns = whole[:, 3]
    assert has_addresses(columns)
    whole.untyped_storage().resize_(60)
    assert not has_addresses(columns)
    assert has_addresses(whole[:, 2])
    assert not is_plainly_ordinary(whole)


def test_numbers_that_are_none_do_not_hide_a_wrapper_that_works() -> None:
    held = values()
    held[0, 0], held[1, 1] = float("nan"), 0.0
    assert unwritable(Boxed(held)) is None


@pytest.mark.parametrize("tensor", [torch.zeros(0), torch.zeros(0, 3, device="meta"), cut(torch.zeros(0), 0)])
def test_an_empty_tensor_lies_nowhere(tensor: Tensor) -> None:
    assert not has_addresses(tensor)
    assert is_ordinary(tensor) != tensor.is_meta


def test_a_nested_tensor_is_refused_before_anything_is_asked_of_it() -> None:
    assert not has_addresses(nested(torch.strided))
