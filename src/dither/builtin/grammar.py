"""Random sentences of the grammar: phrases and clauses in which everything agrees."""

from __future__ import annotations

from dataclasses import replace

from dither.builtin.dice import Dice
from dither.builtin.lexicon import NUMBERS, Entry, below, entries, synonyms
from dither.builtin.syntax import Clause, Phrase, Place

# "The" is by far the most frequent determiner.
_PLAIN = ("the",) * 4 + ("a", "a", "this", "that", "every", "all", "some", "no", "many", "two", "three")


def living() -> tuple[Entry, ...]:
    """Return the nouns for whoever can act."""
    return below("noun", "person") + below("noun", "animal")


def determiner(dice: Dice, number: str, lemmas: tuple[str, ...] = _PLAIN) -> Entry:
    """Draw a determiner that has this number."""
    return dice.pick(
        [x for lemma in lemmas for x in entries("determiner") if x.lemma == lemma and x.has(number)]
    )


def phrase(dice: Dice, *, adjective: float = 0.4, place: float = 0.0, name: float = 0.0) -> Phrase:
    """Draw a phrase for somebody.

    Args:
        dice: Where the choices come from.
        adjective: Probability of an adjective.
        place: Probability of a place inside the phrase, which may hold a noun of another number.
        name: Probability of a first name instead of a noun.
    """
    if dice.chance(name):
        return Phrase(dice.pick(entries("name")))
    number = dice.pick(NUMBERS)
    return Phrase(
        dice.word(living()),
        determiner(dice, number),
        number,
        dice.word(entries("adjective")) if dice.chance(adjective) else None,
        somewhere(dice, near=0.6) if dice.chance(place) else None,
    )


def somewhere(dice: Dice, near: float = 0.0) -> Place:
    """Draw a place: a spot, or with probability ``near`` the neighbourhood of somebody."""
    if dice.chance(near):
        marker = dice.pick([x for x in entries("preposition") if x.sense != "in"])
        return Place(marker, phrase(dice, adjective=0.1))
    number = dice.weighted(NUMBERS, (5, 1))
    spot = Phrase(
        dice.word(below("noun", "place")), determiner(dice, number, ("the", "a", "this", "that")), number
    )
    return Place(dice.weighted(entries("preposition"), (5, 1, 1, 1)), spot)


def clause(dice: Dice, *, transitive: float = 0.6, adjuncts: float = 0.3, inner: float = 0.0) -> Clause:
    """Draw an affirmative or negated clause, active or passive, in present or past.

    Args:
        dice: Where the choices come from.
        transitive: Probability of a verb with a patient.
        adjuncts: Probability of each of place, time and manner.
        inner: Probability of a place inside the subject.
    """
    has_patient = dice.chance(transitive)
    tense = dice.pick(("present", "past"))
    when = [x for x in entries("time") if x.kind == tense]
    drawn = Clause(
        phrase(dice, place=inner, name=0.15),
        dice.word(entries("transitive" if has_patient else "intransitive")),
        phrase(dice, name=0.15) if has_patient else None,
        tense=tense,
        negated=dice.chance(0.2),
        progressive=dice.chance(0.3),
        place=somewhere(dice) if dice.chance(adjuncts) else None,
        time=dice.pick(when) if dice.chance(adjuncts) else None,
        manner=dice.pick(entries("manner")) if dice.chance(adjuncts / 2) else None,
    )
    if has_patient and dice.chance(0.35):
        drawn = replace(drawn, passive=True, progressive=False)
    return drawn


def description(dice: Dice) -> Clause:
    """Draw a clause that says how somebody is: *the doctor was not very tired*."""
    degree = dice.pick(entries("degree")[:4]) if dice.chance(0.3) else None
    return Clause(
        phrase(dice, adjective=0.2, place=0.3, name=0.15),
        predicate=dice.word(entries("adjective")),
        degree=degree,
        tense=dice.pick(("present", "past")),
        negated=dice.chance(0.25),
    )


def synonym(dice: Dice, entry: Entry) -> Entry:
    """Return the word or, as likely, another of the same sense if there is one."""
    others = synonyms(entry)
    return dice.pick(others) if others and dice.chance(0.5) else entry


def reworded_phrase(dice: Dice, phrase: Phrase) -> Phrase:
    """Say a phrase with synonyms."""
    return replace(
        phrase,
        noun=synonym(dice, phrase.noun),
        adjective=phrase.adjective and synonym(dice, phrase.adjective),
    )


def reworded(dice: Dice, clause: Clause) -> Clause:
    """Say a clause in other words: synonyms, and sometimes the other voice."""
    flip = clause.patient is not None and not clause.progressive and dice.chance(0.5)
    return replace(
        clause,
        agent=reworded_phrase(dice, clause.agent),
        patient=clause.patient and reworded_phrase(dice, clause.patient),
        verb=clause.verb and synonym(dice, clause.verb),
        predicate=clause.predicate and synonym(dice, clause.predicate),
        place=clause.place and replace(clause.place, phrase=reworded_phrase(dice, clause.place.phrase)),
        manner=clause.manner and synonym(dice, clause.manner),
        passive=clause.passive != flip,
    )
