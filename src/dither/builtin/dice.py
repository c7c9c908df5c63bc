"""Random choices that are the same bytes on every platform and Python version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Choices built on ``random.Random.random`` alone, the one method whose sequence Python guarantees.

    Args:
        seed: A text that names the stream; equal texts give equal streams.

    Example:
        >>> Dice("a stream").pick("abc") == Dice("a stream").pick("abc")
        True
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311  (sentences, not secrets)

    def below(self, n: int) -> int:
        """Return a whole number in ``0 .. n-1``."""
        return int(self._random.random() * n)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self._random.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options, each as likely as the other."""
        return options[self.below(len(options))]

    def word(self, options: Sequence[T]) -> T:
        """Return one of the options, the first ones most often, as in a language: weight 1/(3 + rank)."""
        return self.weighted(options, [1 / (3 + rank) for rank in range(len(options))])

    def other(self, options: Sequence[T], taken: T) -> T:
        """Return one of the options that is not ``taken``."""
        return self.pick([option for option in options if option != taken])

    def weighted(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """Return one of the options, as likely as its weight."""
        mark = self._random.random() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            mark -= weight
            if mark < 0:
                return option
        return options[-1]

    def several(self, options: Sequence[T], n: int) -> list[T]:
        """Return ``n`` different options in random order."""
        rest = list(options)
        return [rest.pop(self.below(len(rest))) for _ in range(n)]
