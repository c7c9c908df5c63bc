"""Tagging: which part does every word play?

Tags are roles, not word classes: in *the cat was chased by the dog* the dog is the agent. Active and passive
sentences, questions' word order aside, mix; a place may stand inside the agent.
"""

from __future__ import annotations

from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.grammar import clause
from dither.builtin.language import OUTSIDE, Language, Word
from dither.builtin.syntax import Clause

NAME = "tagging"
TRAIN = 48
LABELS = ("O", "AGENT", "ACTION", "PATIENT", "PLACE", "TIME", "MANNER")


def draw(dice: Dice, index: int) -> Clause:
    """Draw a sentence."""
    return clause(dice, transitive=0.75, adjuncts=0.4, inner=0.4)


def row(item: Clause, language: Language) -> dict[str, Any]:
    """Return the row of an item in a language."""
    words = [*language.clause(item), Word(".", OUTSIDE)]
    return {"tokens": [word.text for word in words], "tags": [word.role for word in words]}
