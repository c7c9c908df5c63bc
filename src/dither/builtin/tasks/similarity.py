"""Similarity: how much do two sentences mean the same, from 0 to 5?

The second sentence says the first in other words, after none to all of its parts have been changed. The label
is 5 minus what the changes weigh, as five imaginary raters report it: each is off by up to one point and
rounds, and their mean is the label. So no model can reach a correlation of 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.grammar import living, phrase, reworded, somewhere
from dither.builtin.language import Language, text
from dither.builtin.lexicon import Entry, entries, lineage
from dither.builtin.syntax import Clause, Phrase

NAME = "similarity"
TRAIN = 300
RATERS = 5

Item = tuple[Clause, Clause, float]


def draw(dice: Dice, index: int) -> Item:
    """Draw a pair; how many parts differ goes round by turns."""
    first = event(dice)
    second, lost = first, 0.0
    for weight, change in dice.several(CHANGES, (0, 1, 1, 2, 2, 3, 4, 6)[index % 8]):
        second, share = change(dice, second)
        lost += weight * share
    return first, reworded(dice, second), rated(dice, max(0.0, 5.0 - lost))


def row(item: Item, language: Language) -> dict[str, Any]:
    """Return the row of an item in a language."""
    first, second, label = item
    return {
        "sentence1": text(language.clause(first)),
        "sentence2": text(language.clause(second)),
        "label": label,
    }


def event(dice: Dice) -> Clause:
    """Draw who does what to whom, where."""
    agent, patient = phrase(dice, name=0.1), phrase(dice, name=0.1)
    while patient.noun.sense == agent.noun.sense:
        patient = phrase(dice, name=0.1)
    return Clause(
        agent,
        dice.word(entries("transitive")),
        patient,
        tense=dice.pick(("present", "past")),
        passive=dice.chance(0.3),
        place=somewhere(dice) if dice.chance(0.6) else None,
    )


def rated(dice: Dice, similarity: float) -> float:
    """Return what the raters make of a similarity in 0..5: a multiple of 0.2."""
    votes = 0
    for _ in range(RATERS):
        vote = int(similarity + 2 * dice.below(1001) / 1000 - 1 + 0.5)
        votes += min(5, max(0, vote))
    return votes / RATERS


def _replaced(dice: Dice, entry: Entry) -> tuple[Entry, float]:
    """Return another word, and how much is lost: half if its sense is above or below, else all."""
    pool = living() if entry.part == "noun" else entries(entry.part)
    other = dice.pick([x for x in pool if x.sense != entry.sense])
    related = other.sense in lineage(entry) or entry.sense in lineage(other)
    return other, 0.5 if related else 1.0


def _somebody(dice: Dice, who: Phrase) -> tuple[Phrase, float]:
    noun, share = _replaced(dice, who.noun)
    return replace(who, noun=noun), share


def _agent(dice: Dice, said: Clause) -> tuple[Clause, float]:
    agent, share = _somebody(dice, said.agent)
    return replace(said, agent=agent), share


def _patient(dice: Dice, said: Clause) -> tuple[Clause, float]:
    patient, share = _somebody(dice, said.patient or said.agent)
    return replace(said, patient=patient), share


def _verb(dice: Dice, said: Clause) -> tuple[Clause, float]:
    verb, share = _replaced(dice, said.verb or entries("transitive")[0])
    return replace(said, verb=verb), share


def _place(dice: Dice, said: Clause) -> tuple[Clause, float]:
    return replace(said, place=None if said.place else somewhere(dice)), 1.0


def _polarity(dice: Dice, said: Clause) -> tuple[Clause, float]:
    return replace(said, negated=not said.negated), 1.0


def _swap(dice: Dice, said: Clause) -> tuple[Clause, float]:
    """Exchange who acts and who suffers: the same words, another event."""
    return replace(said, agent=said.patient or said.agent, patient=said.agent), 1.0


CHANGES: tuple[tuple[float, Callable[[Dice, Clause], tuple[Clause, float]]], ...] = (
    (1.2, _agent),
    (1.2, _patient),
    (1.4, _verb),
    (0.6, _place),
    (1.2, _polarity),
    (1.2, _swap),
)
