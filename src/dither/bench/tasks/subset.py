"""Parts of a train split: less of it, or a part held out of training to select on."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

HELD_OUT = "held_out"
"""The name of the split that holds what was kept out of training."""


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Which rows of the train split train, and which are held out of it.

    The rows have a fixed order, drawn from the seed; held out is its end, and of what is before it the
    beginning trains. So smaller fractions lie within greater ones, and every fraction is stratified: each
    label has its share of every beginning, up to one row. Runs of all seeds see the same subset.

    Args:
        train_fraction: of what is not held out, the share that trains, in (0, 1].
        held_out: the share of the train split that is evaluated on instead, in [0, 1).
        subset_seed: of the order, at least 0.

    Raises:
        ValueError, TypeError: a value outside its range, or no number.

    Example:
        >>> Subset(train_fraction=0.5).parts(["a", "b", "b", "a"])
        ([0, 2], [])
    """

    train_fraction: float = 1.0
    held_out: float = 0.0
    subset_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train_fraction", HELD_OUT):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} = {value!r} is no number")
            object.__setattr__(self, name, float(value))
        if not 0 < self.train_fraction <= 1:
            raise ValueError(f"train_fraction = {self.train_fraction:g} is outside (0, 1]")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out = {self.held_out:g} is outside [0, 1)")
        if type(self.subset_seed) is not int or self.subset_seed < 0:
            raise ValueError(f"subset_seed = {self.subset_seed!r} is no whole number >= 0")

    def parts(self, strata: Sequence[Any]) -> tuple[list[int], list[int]]:
        """Which rows train and which are held out, each in the order of the file.

        Args:
            strata: of each row what must stay in proportion, such as its label.

        Raises:
            ValueError: no row would train, or none would be held out where some should.
        """
        order = stratified(strata, self.subset_seed)
        held = math.floor(self.held_out * len(order) + 0.5)
        left = len(order) - held
        kept = math.floor(self.train_fraction * left + 0.5)
        if not kept or (self.held_out and not held):
            raise ValueError(
                f"train_fraction = {self.train_fraction:g} and held_out = {self.held_out:g} of {len(order)} "
                f"rows leave {kept} to train on and {held} held out; there must be one at least"
            )
        return sorted(order[:kept]), sorted(order[left:])


def strata(labels: Sequence[Any]) -> list[Any]:
    """Of each label what must stay in proportion: an id itself, the tenth that a number falls into.

    Labels of other kinds, such as tags or answers, are one stratum.

    Example:
        >>> strata([1, 0, 1]), strata([0.5, 5.0]), strata([["O"], ["B"]])
        ([1, 0, 1], [0, 5], [None, None])
    """
    if all(isinstance(label, int) for label in labels):
        return list(labels)
    if not all(isinstance(label, float) for label in labels):
        return [None] * len(labels)
    tenths = {
        row: 10 * rank // len(labels)
        for rank, row in enumerate(sorted(range(len(labels)), key=labels.__getitem__))
    }
    return [tenths[row] for row in range(len(labels))]


def stratified(strata: Sequence[Any], seed: int) -> list[int]:
    """All rows so that every beginning holds each stratum in proportion, its first row as early as may be.

    Row number r of a stratum of n stands at r / n. The order within strata is that of a hash, which is the
    same on every machine and with every version of every library.
    """
    drawn = sorted(range(len(strata)), key=lambda row: hashlib.sha256(f"{seed} {row}".encode()).digest())
    sizes, ranks = Counter(strata), defaultdict[Any, int](int)
    place = {}
    for row in drawn:
        place[row] = ranks[strata[row]] / sizes[strata[row]]
        ranks[strata[row]] += 1
    return sorted(drawn, key=place.__getitem__)
