"""Mining: which sentences of two heaps translate each other, where most translate none?

By turns a row is a pair, an English sentence alone, and a sentence of the other language alone.
"""

from __future__ import annotations

from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.language import Language
from dither.builtin.syntax import Clause
from dither.builtin.tasks import retrieval

NAME = "mining"
TRAIN = 480
SIDES = (("source", "target"), ("source",), ("target",))

Item = tuple[Clause, tuple[str, ...]]


def draw(dice: Dice, index: int) -> Item:
    """Draw a sentence and the sides that it stands on."""
    return retrieval.draw(dice, index), SIDES[index % len(SIDES)]


def row(item: Item, language: Language) -> dict[str, Any]:
    """Return the row of an item: None where a side has no sentence."""
    said, sides = item
    both = retrieval.row(said, language)
    return {side: both[side] if side in sides else None for side in both}
