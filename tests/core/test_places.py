"""A place tells the index of each element of a box, however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dither.core.draws import gaussian, gaussian_at, random_words, random_words_at, uniform, uniform_at
from dither.core.places import WHOLE, Place


@pytest.mark.parametrize("seed", range(40))
def test_the_indices_of_a_random_box(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = generator.integers(1, 7, generator.integers(1, 6))
    start = generator.integers(0, shape)
    size = generator.integers(1, shape - start + 1)
    whole = torch.arange(int(shape.prod())).view(*shape.tolist())
    chosen = whole[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    found = Place.of_box(start.tolist(), size.tolist(), shape.tolist())
    assert found.index(torch.arange(chosen.numel())).tolist() == chosen.reshape(-1).tolist()


def test_what_lies_together_is_one_run() -> None:
    assert Place.of_box((0, 0), (3, 4), (3, 4)) == WHOLE
    assert Place.of_box((1, 0), (2, 4), (3, 4)) == Place(4)
    assert Place.of_box((2, 1), (1, 2), (3, 4)) == Place(9)
    assert Place.of_box((), (), ()) == WHOLE
    assert Place.of_box((0, 3), (2, 0), (2, 3)) == WHOLE  # nothing lies anywhere


def test_neighbouring_dimensions_merge() -> None:
    assert Place.of_box((0, 0, 1), (5, 6, 2), (5, 6, 4)) == Place(1, 2, ((30, 4),))
    assert Place.of_box((0, 2, 0), (5, 3, 4), (5, 6, 4)) == Place(8, 12, ((5, 24),))


@pytest.mark.parametrize("base", [0, 2**32 - 3, 2**34 - 5, 2**62])
def test_draws_at_indices_are_those_of_the_range(base: int) -> None:
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    index = order + base
    assert torch.equal(random_words_at((1, 2), index, step=3), random_words((1, 2), base, 50, step=3)[order])
    assert torch.equal(uniform_at((1, 2), index, step=3), uniform((1, 2), base, 50, step=3)[order])
    expected = gaussian((1, 2), base, 50, step=3)[order]
    torch.testing.assert_close(gaussian_at((1, 2), index, step=3), expected, rtol=0.0, atol=1e-6)
