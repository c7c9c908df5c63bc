"""Unit draws: keys, starts, chunk borders, exactness, and golden bits that hold the recipe in place."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from dither.core import draws
from dither.core.draws import RECIPE_VERSION, Purpose, check_seed, gaussian, random_words, stream_key, uniform

# The bits of recipe version 1. They may change only together with RECIPE_VERSION.
GOLDEN_KEYS = {
    (0, "noisytune", "encoder.layer.0.attention.self.query.weight"): (503764966, 1593844342),
    (2**64 - 1, "pats", "head:classifier.weight"): (32257386, 1135133056),
    (42, "noisytune", "é"): (3522867483, 3763980064),
    (7, "pats", "x"): (2393324273, 1397215371),
}
# start, step: bits of four uniform draws, bits of two Gaussian ones, a word for rounding
GOLDEN_DRAWS = {
    (0, 0): ("bee4e69f 3eff0f7b 3ee67d87 3d49b0e8", "3f3326f7 bc043432", 1511433137),
    (2, 1): ("3d8864f4 3c64b960 3e4cd6ae 3edc041d", "be9cf0cc bcdcd267", 3376624860),
    (2**34 - 2, 0): ("bd942edc 3e5d08d2 3e8ed455 3e90eaa3", "bda41010 bebc3b61", 1990867403),
    (65534, 2**32 - 1): ("be4de37e be20eabe 3ee89b9d 3edabb1b", "be7d108d 3ebfb1f9", 3428295805),
}


def bits(values: Tensor) -> list[str]:
    return [f"{word & 0xFFFFFFFF:08x}" for word in values.view(torch.int32).tolist()]


def test_a_change_of_the_recipe_cannot_go_unnoticed() -> None:
    assert RECIPE_VERSION == 1, "new draws need new golden bits below, and a line in the changelog"


@pytest.mark.parametrize(("identity", "key"), GOLDEN_KEYS.items())
def test_golden_keys(identity: tuple[int, str, str], key: tuple[int, int]) -> None:
    assert stream_key(*identity) == key


@pytest.mark.parametrize(("where", "golden"), GOLDEN_DRAWS.items())
def test_golden_draws(where: tuple[int, int], golden: tuple[str, str, int]) -> None:
    (start, step), key = where, next(iter(GOLDEN_KEYS.values()))
    assert bits(uniform(key, start, 4, step=step)) == golden[0].split()
    # Logarithm and sine are not rounded alike everywhere: the stated tolerance.
    expected = [torch.tensor(int(word, 16)).to(torch.int32).view(torch.float32) for word in golden[1].split()]
    assert torch.allclose(gaussian(key, start, 2, step=step), torch.stack(expected), rtol=0, atol=1e-6)
    assert random_words(key, start, 1, step=step, purpose=Purpose.ROUNDING).item() == golden[2]


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 5, 63, 4095, 2**34 - 2])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("law", [uniform, gaussian])
def test_any_start_and_count_cut_the_same_sequence(law, start: int, count: int) -> None:
    base = start // 4 * 4
    whole = law((5, 6), base, 16, step=3)
    assert torch.equal(law((5, 6), start, count, step=3), whole[start - base :][:count])


@pytest.mark.parametrize("law", [uniform, gaussian])
def test_chunk_borders_leave_no_trace(law, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = law((1, 2), 3, 1000, step=9)
    monkeypatch.setattr(draws, "_CHUNK", 7)
    assert torch.equal(law((1, 2), 3, 1000, step=9), whole)


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_the_real_chunk_border(offset: int) -> None:
    border = 4 * draws._CHUNK
    whole = uniform((1, 2), 0, border + 8)
    assert torch.equal(uniform((1, 2), border + offset, 4), whole[border + offset :][:4])


def test_the_formula_of_the_uniform_draw_is_exact() -> None:
    words = random_words((1, 2), 0, 4000).tolist()
    expected = [Fraction(2 * (word >> 8) + 1 - 2**24, 2**25) for word in words]
    found = uniform((1, 2), 0, 4000)
    assert [Fraction(value) for value in found.tolist()] == expected
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    ("word", "expected"), [(0, -0.5 + 2.0**-25), (2**32 - 1, 0.5 - 2.0**-25), (2**31, 2.0**-25)]
)
def test_the_ends_of_the_uniform_draw(word: int, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "random_words", lambda *args, **kwargs: torch.tensor([word]))
    assert uniform((0, 0), 0, 1).item() == expected


def test_the_gaussian_draw_to_its_tolerance() -> None:
    words = random_words((1, 2), 0, 400).tolist()
    found = gaussian((1, 2), 0, 400).double().tolist()
    with mpmath.workdps(40):
        for i in range(0, 400, 2):
            radius = mpmath.sqrt(-2 * mpmath.log((mpmath.mpf(words[i]) + 0.5) / 2**32) / 12)
            angle = 2 * mpmath.pi * (mpmath.mpf(words[i + 1]) + 0.5) / 2**32
            assert abs(found[i] - radius * mpmath.cos(angle)) < 1e-7
            assert abs(found[i + 1] - radius * mpmath.sin(angle)) < 1e-7


@pytest.mark.parametrize("word", [0, 2**32 - 1])
def test_the_gaussian_draw_is_finite_at_the_ends(word: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "random_words", lambda *args, **kwargs: torch.full((4,), word))
    found = gaussian((0, 0), 0, 4)
    assert torch.isfinite(found).all()
    assert found.abs().max() <= math.sqrt(2 * math.log(2.0**33) / 12) + 1e-6


def test_what_the_key_depends_on() -> None:
    keys = [
        stream_key(0, "noisytune", "a"),
        stream_key(1, "noisytune", "a"),
        stream_key(2**64 - 1, "noisytune", "a"),
        stream_key(0, "pats", "a"),
        stream_key(0, "noisytune", "b"),
        stream_key(0, "noisytune", "a", version=2),
        stream_key(0, 'noisytune","a', ""),  # no way to write one pair of texts as another
        stream_key(0, "noisytune", "ä"),
    ]
    assert len(set(keys)) == len(keys)
    assert all(0 <= word < 2**32 for key in keys for word in key)


def test_step_and_purpose_change_the_words() -> None:
    found = [
        random_words((1, 2), 0, 8, step=step, purpose=purpose).tolist()
        for step in (0, 1, 2**32 - 1)
        for purpose in Purpose
    ]
    assert len({tuple(row) for row in found}) == 6


@pytest.mark.parametrize("step", [-1, 2**32])
def test_a_step_outside_its_word_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match=rf"step is {step}; it must lie in \[0, 2\^32\)"):
        random_words((0, 0), 0, 4, step=step)


@pytest.mark.parametrize(("start", "count"), [(-1, 4), (0, -1)])
def test_negative_elements_are_refused(start: int, count: int) -> None:
    with pytest.raises(ValueError, match=rf"elements \[{start}, .* an index is never negative"):
        random_words((0, 0), start, count)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=rf"seed is {seed}; it must lie in \[0, 2\^64\)"):
        stream_key(seed, "noisytune", "a")


@pytest.mark.parametrize("seed", [True, 1.0, "1", None, np.float64(1)])
def test_a_seed_of_another_type_is_refused(seed: object) -> None:
    with pytest.raises(TypeError, match=r"seed is .*; it must be a whole number"):
        check_seed(seed)
