"""Retrieval: which sentence of another language says what an English one says?

Rows are made, as all of this world: both sides are one sentence of the grammar, so each is the exact
translation of the other, and each sentence differs from all others.
"""

from __future__ import annotations

from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.grammar import clause
from dither.builtin.language import Language, text
from dither.builtin.syntax import Clause

NAME = "retrieval"
TRAIN = 240


def draw(dice: Dice, index: int) -> Clause:
    """Draw a sentence."""
    return clause(dice, inner=0.2)


def row(item: Clause, language: Language) -> dict[str, Any]:
    """Return the row of an item: in English, and in a language."""
    return {"source": text(Language("en").clause(item)), "target": text(language.clause(item))}
