"""Entailment: does the hypothesis follow from the premise, contradict it, or neither?

The premise is a quantified statement; the hypothesis is the same with one to three changes: another
quantifier, a word above, below, opposite or beside, an adjective or a place more or less, a negation, a
synonym. What follows depends on where the change is (*every animal* -> *every dog*, but *some dog* -> *some
animal*), so neither sentence alone and no single word gives the label away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.grammar import living, synonym
from dither.builtin.language import Language, text
from dither.builtin.lexicon import Entry, below, entries, lineage
from dither.builtin.meaning import QUANTIFIERS, Statement, relation

NAME = "entailment"
TRAIN = 400
LABELS = ("entailment", "neutral", "contradiction")

Pair = tuple[Statement, Statement, int]


def draw(dice: Dice, index: int) -> Pair:
    """Draw a premise and a hypothesis of the label whose turn it is."""
    while True:
        premise = statement(dice)
        hypothesis = changed(dice, premise)
        if relation(premise, hypothesis) == index % len(LABELS):
            return premise, hypothesis, index % len(LABELS)


def row(item: Pair, language: Language) -> dict[str, Any]:
    """Return the row of an item in a language."""
    premise, hypothesis, label = item
    return {
        "premise": text(language.clause(premise.clause())),
        "hypothesis": text(language.clause(hypothesis.clause())),
        "label": label,
    }


def statement(dice: Dice) -> Statement:
    """Draw a statement."""
    quantifier = dice.weighted(QUANTIFIERS, (3, 3, 2, 2))
    described = dice.chance(0.25)
    return Statement(
        quantifier,
        dice.word(entries("name") if quantifier == "name" else living()),
        dice.word(entries("adjective")) if quantifier != "name" and dice.chance(0.35) else None,
        verb=None if described else dice.word(entries("intransitive")),
        predicate=dice.word(entries("adjective")) if described else None,
        place=dice.word(below("noun", "place")) if not described and dice.chance(0.35) else None,
        negated=quantifier in ("some", "name") and dice.chance(0.25),
        tense=dice.pick(("present", "past")),
        plural=dice.chance(0.5),
    )


def changed(dice: Dice, said: Statement) -> Statement:
    """Change a statement in one to three ways."""
    for change in dice.several(_CHANGES, dice.weighted((1, 2, 3), (5, 3, 1))):
        said = change(dice, said)
    return said


def _beside(dice: Dice, entry: Entry) -> Entry:
    """Return a word above, below, opposite or unrelated."""
    opposites = [x for x in entries(entry.part) if x.part == "adjective" and x.sense == entry.kind]
    related = [
        x
        for x in entries(entry.part)
        if x.sense != entry.sense and (x.sense in lineage(entry) or entry.sense in lineage(x))
    ]
    choices = opposites or related
    if choices and dice.chance(0.7):
        return dice.pick(choices)
    pool = living() if entry.part == "noun" else entries(entry.part)
    return dice.pick([x for x in pool if x.sense != entry.sense])


def _quantifier(dice: Dice, said: Statement) -> Statement:
    if said.quantifier == "name":
        return replace(said, negated=not said.negated)
    other = dice.other(QUANTIFIERS[:3], said.quantifier)
    return replace(said, quantifier=other, negated=other == "some" and dice.chance(0.3))


def _negation(dice: Dice, said: Statement) -> Statement:
    if said.quantifier in ("some", "name"):
        return replace(said, negated=not said.negated)
    return replace(said, quantifier="no" if said.quantifier == "every" else "every")


def _noun(dice: Dice, said: Statement) -> Statement:
    return said if said.quantifier == "name" else replace(said, noun=_beside(dice, said.noun))


def _adjective(dice: Dice, said: Statement) -> Statement:
    if said.quantifier == "name":
        return said
    return replace(said, adjective=None if said.adjective else dice.word(entries("adjective")))


def _claim(dice: Dice, said: Statement) -> Statement:
    if said.verb is not None:
        return replace(said, verb=_beside(dice, said.verb))
    return replace(said, predicate=said.predicate and _beside(dice, said.predicate))


def _place(dice: Dice, said: Statement) -> Statement:
    if said.verb is None:
        return said
    return replace(said, place=None if said.place else dice.word(below("noun", "place")))


def _synonyms(dice: Dice, said: Statement) -> Statement:
    return replace(
        said,
        noun=synonym(dice, said.noun),
        adjective=said.adjective and synonym(dice, said.adjective),
        verb=said.verb and synonym(dice, said.verb),
        predicate=said.predicate and synonym(dice, said.predicate),
        place=said.place and synonym(dice, said.place),
        plural=not said.plural,
    )


_CHANGES: tuple[Callable[[Dice, Statement], Statement], ...] = (
    _quantifier,
    _negation,
    _noun,
    _adjective,
    _claim,
    _place,
    _synonyms,
)
