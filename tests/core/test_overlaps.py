"""Tensors on the same memory are one, those on parts of it are found: compared with sets of addresses."""

from __future__ import annotations

import random
from itertools import product

import pytest
import torch
from torch import Tensor

from dither.core.overlaps import Box, boxes, first_meeting
from tensor_kinds import Boxed, promised, two


def addresses(tensor: Tensor) -> list[int]:
    """Of each byte of each element, one by one."""
    item = tensor.element_size()
    places = product(*(range(size) for size in tensor.shape))
    starts = [sum(p * s for p, s in zip(place, tensor.stride(), strict=True)) for place in places]
    return [tensor.data_ptr() + start * item + byte for start in starts for byte in range(item)]


def some_view(store: Tensor, dice: random.Random) -> Tensor:
    """A view with any sizes and strides that fit."""
    dims = dice.randint(0, 3)
    size = [dice.randint(1, 4) for _ in range(dims)]
    stride = [dice.choice([0, 1, 1, 2, 3, 4, 6, 8]) for _ in range(dims)]
    reach = sum((one - 1) * step for one, step in zip(size, stride, strict=True))
    return torch.as_strided(store, size, stride, dice.randrange(len(store) - reach))


@pytest.mark.parametrize("seed", range(4))
def test_boxes_meet_where_sets_of_addresses_do(seed: int) -> None:
    dice, store = random.Random(seed), torch.zeros(90)
    met = 0
    for _ in range(400):
        one, other = some_view(store, dice), some_view(store, dice)
        listed = addresses(one)
        assert Box.of(one).meets_itself == (len(set(listed)) < len(listed)), (one.size(), one.stride())
        if Box.of(one).is_nested or Box.of(other).is_nested:
            shared = bool(set(listed) & set(addresses(other)))
            found = Box.of(one).meets(Box.of(other))
            assert found or not shared  # never missed
            met += found == shared
    assert met > 200


@pytest.mark.parametrize("seed", range(4))
def test_nested_boxes_meet_exactly_where_they_share(seed: int) -> None:
    dice, store = random.Random(seed), torch.zeros(12, 10)
    for _ in range(300):
        cuts = [sorted(dice.sample(range(size + 1), 2)) for size in store.shape * 2]
        views = [store[slice(*cuts[0]), slice(*cuts[1])], store[slice(*cuts[2]), slice(*cuts[3])]]
        one, other = (view.t() if dice.random() < 0.5 else view for view in views)
        shared = bool(set(addresses(one)) & set(addresses(other)))
        assert Box.of(one).meets(Box.of(other)) == Box.of(other).meets(Box.of(one)) == shared
        assert (Box.of(one) == Box.of(other)) == (set(addresses(one)) == set(addresses(other)))


def test_other_dtypes_on_the_same_bytes_meet() -> None:
    store = torch.zeros(8)
    assert Box.of(store).meets(Box.of(store.view(torch.int16)[3:5]))
    assert not Box.of(store[:2]).meets(Box.of(store.view(torch.int16)[4:]))


def test_large_boxes_are_compared_by_their_fewer_elements() -> None:
    store = torch.zeros(2000, 1500)
    left, right = Box.of(store[:, :700]), Box.of(store[:, 700:])
    assert not left.meets(right)
    assert left.meets(Box.of(store[5]))
    assert not right.meets(Box.of(store[5, :700]))


def test_what_wrappers_hold_counts() -> None:
    store = torch.zeros(8)
    assert boxes(Boxed(store)) == boxes(promised(store)) == boxes(store)
    first, second = torch.zeros(2), torch.zeros(2)
    assert len(boxes(two(first, second))) == 2
    assert first_meeting([boxes(two(first, second)), boxes(second[:1])], among={0}) == (0, 1)


def test_a_meeting_counts_where_one_of_the_two_is_asked_about() -> None:
    store = torch.zeros(8)
    found = [boxes(store), boxes(torch.zeros(3)), boxes(store[4:5]), boxes(store[4:6])]
    assert first_meeting(found, among={1}) is None
    assert first_meeting(found, among={2}) == (0, 2)
    assert first_meeting(found, among={3}) == (0, 3)
    assert first_meeting(found, among={0, 1, 2, 3}) == (0, 2)
