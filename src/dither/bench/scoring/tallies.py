"""Pairs of runs added up: which examples flip, how often, and how often on all examples together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dither.bench.scoring.agreement import Judge, are_numbers

_COUNTS = ("flips", "mended", "broken")


class Tally:
    """Pairs of runs on one evaluation, added up example by example.

    Attributes:
        pairs: of each example, those that could be compared: all, but for numbers that are not finite.
        flips: of each example, the pairs whose predictions differ; None for numbers.
        mended: those of them in which plain was wrong and the other right; None where gold is not known.
        broken: likewise the reverse.
        distance: of each example, the sum of `Judge.distances`.
        graded: whether that says more than `flips`: for numbers and tags.

    Example:
        >>> tally = Tally(Judge(gold=[1, 0]))
        >>> tally.add([1, 1], [0, 1])
        >>> tally.add([1, 1], [1, 0])
        >>> tally.flips.tolist(), tally.mended.tolist(), tally.broken.tolist()
        ([1, 1], [0, 1], [1, 0])
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.pairs = np.zeros(0, dtype=np.int32)
        self.distance, self.graded = np.zeros(0), False
        self.flips: np.ndarray | None = None
        self.mended: np.ndarray | None = None
        self.broken: np.ndarray | None = None

    def add(self, plain: Sequence[Any], other: Sequence[Any]) -> None:
        """Count one pair; every pair has a prediction for each example."""
        if not len(self.pairs):
            self._begin(plain)
        distances = self._judge.distances(plain, other)
        finite = np.isfinite(distances)
        self.pairs += finite
        self.distance += np.where(finite, distances, 0.0)
        if self.flips is None:
            return
        changed = np.flatnonzero(distances)
        self.flips[changed] += 1
        if self.mended is None or self.broken is None:
            return
        for at in changed.tolist():
            was, became = self._judge.right(at, plain[at]), self._judge.right(at, other[at])
            self.mended[at] += became and not was
            self.broken[at] += was and not became

    def _begin(self, plain: Sequence[Any]) -> None:
        numbers = are_numbers(plain)
        self.graded = numbers or isinstance(plain[0], list)
        self.pairs, self.distance = np.zeros(len(plain), dtype=np.int32), np.zeros(len(plain))
        if not numbers:
            self.flips = np.zeros(len(plain), dtype=np.int32)
        if not numbers and self._judge.gold is not None:
            self.mended, self.broken = (np.zeros(len(plain), dtype=np.int32) for _ in range(2))


def totals(tallies: Iterable[Tally]) -> dict[str, Any]:
    """Several evaluations together: what was compared, the share that flips, mended, broken, mean distance.

    Each is None where there is none.

    Example:
        >>> tally = Tally(Judge())
        >>> tally.add([1, 1], [0, 1])
        >>> totals([tally])
        {'compared': 2, 'share': 0.5, 'mended': None, 'broken': None, 'distance': None}
    """
    some = list(tallies)
    flips, mended, broken = (_total(getattr(tally, name) for tally in some) for name in _COUNTS)
    compared = int(_total(tally.pairs for tally in some) or 0)
    graded = compared > 0 and all(tally.graded for tally in some)
    return {
        "compared": compared,
        "share": None if flips is None or not compared else flips / compared,
        "mended": mended,
        "broken": broken,
        "distance": sum(float(tally.distance.sum()) for tally in some) / compared if graded else None,
    }


def _total(columns: Iterable[np.ndarray | None]) -> int | None:
    """The sum of some counts; None where one of them is not there, or none at all."""
    total = None
    for column in columns:
        if column is None:
            return None
        total = (total or 0) + int(column.sum())
    return total


def most(tallies: Mapping[str, Tally], count: int) -> list[tuple[str, int]]:
    """The examples with the most flips, of numbers with the greatest mean distance; of equals the first.

    Args:
        tallies: of one arm, by evaluation.
        count: of examples, at most; those that never differ are left out.

    Returns:
        Evaluation and place of each.

    Example:
        >>> tally = Tally(Judge())
        >>> tally.add([1, 1, 0, 0], [1, 0, 0, 1])
        >>> most({"validation": tally}, 5)
        [('validation', 1), ('validation', 3)]
    """
    found: list[tuple[float, str, int]] = []
    for evaluation, tally in tallies.items():
        amounts = tally.distance / np.maximum(tally.pairs, 1) if tally.flips is None else tally.flips
        best = np.argsort(-amounts, kind="stable")[:count]
        found += [(float(amounts[row]), evaluation, int(row)) for row in best if amounts[row] > 0]
    found.sort(key=lambda one: -one[0])  # stable: evaluations and rows stay in order
    return [(evaluation, row) for _, evaluation, row in found[:count]]
