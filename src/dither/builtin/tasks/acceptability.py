"""Acceptability: is the sentence grammatical?

Every sentence is drawn with agreement; every second one is then broken in one of five ways. Both halves are
drawn alike, so only the break tells them apart, and a noun of another number often stands between subject and
verb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.grammar import clause, phrase
from dither.builtin.language import Language, text
from dither.builtin.syntax import Clause, Phrase, other_number

NAME = "acceptability"
TRAIN = 600
LABELS = ("unacceptable", "acceptable")
UNMARKED = ("the", "no", "some")  # determiners that go with both numbers, here or in everyday English

Item = tuple[Clause, str, int]


def draw(dice: Dice, index: int) -> Item:
    """Draw a sentence that a break of some kind applies to, and break it if it is the turn of label 0."""
    label = index % 2
    while True:
        kind = dice.weighted(tuple(BREAKS), (8, 3, 2, 2, 1))
        whole = clause(dice, transitive=0.4, adjuncts=0.15, inner=0.3)
        broken = BREAKS[kind](dice, whole)
        if broken is not None:
            return (whole, "", label) if label else (broken, kind, label)


def row(item: Item, language: Language) -> dict[str, Any]:
    """Return the row of an item in a language."""
    said, _, label = item
    return {"sentence": text(language.clause(said)), "label": label}


def _verb_number(dice: Dice, said: Clause) -> Clause | None:
    """*The dogs near the cat sleeps*: possible where the finite verb shows number."""
    shows = said.tense == "present" or said.passive or said.progressive
    return replace(said, verb_number=other_number(said.subject.number)) if shows else None


def _noun_number(dice: Dice, said: Clause) -> Clause | None:
    """*These dog*: possible where the determiner shows number."""
    part = "patient" if said.patient is not None and dice.chance(0.5) else "agent"
    target: Phrase = getattr(said, part)
    if target.determiner is None or target.determiner.lemma in UNMARKED:
        return None
    broken = replace(target, noun_number=other_number(target.number))
    return replace(said, agent=broken) if part == "agent" else replace(said, patient=broken)


def _verb_form(dice: Dice, said: Clause) -> Clause | None:
    """*Does not sleeps*, *was chase*: possible where there is an auxiliary."""
    if said.passive or said.progressive:
        return replace(said, verb_form=dice.pick(("base", "singular")))
    return replace(said, verb_form=dice.pick(("singular", "past"))) if said.negated else None


def _valency(dice: Dice, said: Clause) -> Clause | None:
    """*The dog sleeps the cat*: possible with an intransitive verb."""
    return (
        None if said.patient is not None else replace(said, patient=phrase(dice), passive=dice.chance(0.35))
    )


def _tense(dice: Dice, said: Clause) -> Clause | None:
    """*The dog sleeps yesterday*: possible where a word of time says when."""
    return replace(said, tense="past" if said.tense == "present" else "present") if said.time else None


BREAKS: dict[str, Callable[[Dice, Clause], Clause | None]] = {
    "verb number": _verb_number,
    "noun number": _noun_number,
    "verb form": _verb_form,
    "valency": _valency,
    "tense": _tense,
}
