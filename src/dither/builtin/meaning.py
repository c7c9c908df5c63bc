"""What a quantified statement means, and what follows from it.

Statements speak of one kind of individual: *every old dog sleeps in the garden*. Their truth depends only on
which combinations of senses occur among the individuals, so entailment is decided exactly, by looking for a
combination that makes the premise true and the hypothesis false. Everybody a statement quantifies over is
taken to exist (as speakers do: *every dog sleeps* is not said where there are no dogs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from dither.builtin.lexicon import Entry, entries, lineage
from dither.builtin.syntax import Clause, Phrase, Place

ENTAILMENT, NEUTRAL, CONTRADICTION = range(3)
QUANTIFIERS = ("every", "some", "no", "name")

Literal = tuple[str, bool]
"""A sense, and whether the individual has it."""

Literals = Sequence[Literal]


@dataclass(frozen=True)
class Statement:
    """A quantified statement.

    Args:
        quantifier: ``every``, ``some``, ``no``, or ``name`` if ``noun`` is a first name.
        noun: Whom it speaks of.
        adjective: Narrows whom it speaks of.
        verb: What they do; None with a ``predicate``.
        predicate: The adjective they are said to be.
        place: The noun of the place where they do it.
        negated: Whether they do not do it; with ``some`` and ``name`` only.
        tense: ``present`` or ``past``.
        plural: *all dogs* for *every dog*; changes no meaning.
    """

    quantifier: str
    noun: Entry
    adjective: Entry | None = None
    verb: Entry | None = None
    predicate: Entry | None = None
    place: Entry | None = None
    negated: bool = False
    tense: str = "present"
    plural: bool = False

    def restriction(self) -> list[Literal]:
        """Return what somebody must be for the statement to speak of them."""
        words = (self.noun, self.adjective)
        return [(sense_of(word), True) for word in words if word is not None]

    def claim(self) -> list[Literal]:
        """Return what the statement says of them, before negation."""
        words = (self.verb, self.predicate, self.place)
        return [(sense_of(word), True) for word in words if word is not None]

    def clause(self) -> Clause:
        """Return the clause that says it."""
        lemma = {"every": "all" if self.plural else "every", "some": "some", "no": "no"}.get(self.quantifier)
        determiner = next((x for x in entries("determiner") if x.lemma == lemma), None)
        number = "plural" if lemma in ("all", "some") else "singular"
        return Clause(
            Phrase(self.noun, determiner, number, self.adjective),
            self.verb,
            predicate=self.predicate,
            place=_inside(self.place) if self.place is not None else None,
            negated=self.negated,
            tense=self.tense,
        )


def relation(premise: Statement, hypothesis: Statement) -> int | None:
    """Return whether the hypothesis follows: ``ENTAILMENT``, ``NEUTRAL`` or ``CONTRADICTION``.

    None is the answer where the premise leaves nobody for the hypothesis to speak of: *every dog is big*, *no
    small dog sleeps*.

    Example:
        >>> from dither.builtin.lexicon import word
        >>> sleep = word("intransitive", "sleep")
        >>> every = Statement("every", word("noun", "animal"), verb=sleep)
        >>> relation(every, Statement("every", word("noun", "dog"), verb=sleep)) == ENTAILMENT
        True
    """
    can_hold, can_fail = (_satisfiable([premise, hypothesis], [True, truth]) for truth in (True, False))
    if can_hold:
        return NEUTRAL if can_fail else ENTAILMENT
    return CONTRADICTION if can_fail else None


def sense_of(word: Entry) -> str:
    """Return the name of a word's meaning; a name's is its bearer."""
    return f"{_FIELD.get(word.part, word.part)}:{word.sense}"


def _satisfiable(statements: Sequence[Statement], truths: Sequence[bool]) -> bool:
    """Return whether some world gives the statements these truth values, and everybody spoken of exists."""
    witnesses: list[tuple[Literals, list[Literals]]] = [(s.restriction(), []) for s in statements]
    nobody: list[Literals] = []  # combinations that do not occur
    for statement, true in zip(statements, truths, strict=True):
        restriction, claim = statement.restriction(), statement.claim()
        name = statement.quantifier == "name"
        # The falsehood of "every" is "some not", that of "no" is "some"; a name's is its own negation.
        universal = name or (statement.quantifier in ("every", "no")) == true
        positive = ((statement.quantifier != "no") != statement.negated) == true
        if universal and positive:
            nobody.extend([*restriction, (sense, False)] for sense, _ in claim)
        elif universal:
            nobody.append([*restriction, *claim])
        elif positive:
            witnesses.append(([*restriction, *claim], []))
        else:
            witnesses.append((restriction, [claim]))
    return all(_possible(has, [*lacks, *nobody]) for has, lacks in witnesses)


def _possible(has: Literals, lacks: Sequence[Literals]) -> bool:
    """Return whether there can be somebody with all of ``has`` who fails one literal of each group."""
    if not _coherent(has):
        return False
    if not lacks:
        return True
    first, *rest = lacks
    return any(_possible([*has, (sense, not value)], rest) for sense, value in first)


def _coherent(literals: Literals) -> bool:
    """Return whether somebody can have these senses: kinds are respected, opposites exclude each other."""
    truths = {implied for sense, value in literals if value for implied in _implied(sense)}
    if any(not value and sense in truths for sense, value in literals):
        return False
    return not any(_opposite(sense) in truths for sense in truths)


@cache
def _implied(sense: str) -> tuple[str, ...]:
    """Return the senses that come with a sense, itself included."""
    field, _, name = sense.partition(":")
    part = {"verb": "intransitive"}.get(field, field)
    entry = next(entry for entry in entries(part) if entry.sense == name)
    above = "noun" if part == "name" else field
    return (sense, *(f"{above}:{kind}" for kind in lineage(entry)[1:]))


@cache
def _opposite(sense: str) -> str | None:
    """Return the sense that excludes this one, for adjectives."""
    field, _, name = sense.partition(":")
    if field != "adjective":
        return None
    return "adjective:" + next(entry.kind for entry in entries("adjective") if entry.sense == name)


def _inside(place: Entry) -> Place:
    marker = next(entry for entry in entries("preposition") if entry.sense == "in")
    the = next(entry for entry in entries("determiner") if entry.lemma == "the")
    return Place(marker, Phrase(place, the))


_FIELD = {"intransitive": "verb"}
