"""Philox4x32-10 against the authors' known answers and against a slow copy in Python integers."""

from __future__ import annotations

import pytest
import torch

from dither.core.draws import Purpose, random_words
from dither.core.philox import WORD, philox4x32

# Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def slow_philox(counter: list[int], key: list[int]) -> list[int]:
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & WORD, (p0 >> 32) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return [c0, c1, c2, c3]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(counter: str, key: str, expected: str) -> None:
    k0, k1 = words(key)
    c0, c1, c2, c3 = (torch.tensor([word], dtype=torch.int64) for word in words(counter))
    assert [int(word) for word in philox4x32((c0, c1, c2, c3), (k0, k1))] == words(expected)
    assert slow_philox(words(counter), words(key)) == words(expected)


def test_the_inputs_are_left_alone() -> None:
    counter = tuple(torch.arange(4 * i, 4 * i + 4) for i in range(4))
    before = [part.clone() for part in counter]
    philox4x32(counter, (1, 2))  # type: ignore[arg-type]
    assert all(torch.equal(part, kept) for part, kept in zip(counter, before, strict=True))


@pytest.mark.parametrize("index", [2**34 - 4, 2**34, 2**34 + 4, 2**40 + 8, 2**62])
def test_the_counter_carries_into_its_high_word(index: int) -> None:
    found = random_words((3, 2**32 - 1), index, 4, step=2**32 - 1, purpose=Purpose.ROUNDING).tolist()
    counter = [(index // 4) & WORD, (index // 4) >> 32, 2**32 - 1, 1]
    assert found == slow_philox(counter, [3, 2**32 - 1])


def test_a_run_across_the_carry_is_one_sequence() -> None:
    start = 2**34 - 6
    whole = random_words((7, 8), start, 12)
    pieces = [random_words((7, 8), start + i, 1) for i in range(12)]
    assert torch.equal(whole, torch.cat(pieces))
    assert whole[6:].tolist()[:4] == slow_philox([0, 1, 0, 0], [7, 8])
