"""What a sentence is made of, before any language puts it into words."""

from __future__ import annotations

from dataclasses import dataclass

from dither.builtin.lexicon import NUMBERS, Entry


@dataclass(frozen=True)
class Place:
    """Where: a preposition and what it goes with."""

    preposition: Entry
    phrase: Phrase


@dataclass(frozen=True)
class Phrase:
    """Who or what: *every old dog near the river*.

    Args:
        noun: The noun or name.
        determiner: The determiner; a name has none.
        number: ``singular`` or ``plural``: what determiner, noun and verb agree in.
        adjective: An attributive adjective.
        place: A place inside the phrase.
        noun_number: The number of the noun alone, where it breaks agreement; None agrees.
    """

    noun: Entry
    determiner: Entry | None = None
    number: str = "singular"
    adjective: Entry | None = None
    place: Place | None = None
    noun_number: str | None = None


@dataclass(frozen=True)
class Clause:
    """Who does what to whom, where, when and how; or how something is.

    Agreement is the rule. An unacceptable clause says so itself, by a feature that overrides it
    (``verb_number``, ``verb_form``, the phrase's ``noun_number``) or a part that does not belong.

    Args:
        agent: Who acts, or what is described.
        verb: What is done; None with a ``predicate``.
        patient: To whom it is done.
        predicate: The adjective of *the dog is old*.
        degree: The adverb before the predicate.
        tense: ``present`` or ``past``.
        negated: Whether the clause is negated.
        progressive: *is chasing* for *chases*.
        passive: *the cat is chased by the dog*.
        place: Where.
        time: When.
        manner: How.
        asked: ``agent``, ``patient`` or ``place``: the part that a question asks for.
        verb_number: The number of the finite verb, where it breaks agreement.
        verb_form: The form of the main verb, where it is wrong after its auxiliary.
    """

    agent: Phrase
    verb: Entry | None = None
    patient: Phrase | None = None
    predicate: Entry | None = None
    degree: Entry | None = None
    tense: str = "present"
    negated: bool = False
    progressive: bool = False
    passive: bool = False
    place: Place | None = None
    time: Entry | None = None
    manner: Entry | None = None
    asked: str | None = None
    verb_number: str | None = None
    verb_form: str | None = None

    @property
    def subject(self) -> Phrase:
        """The phrase that the verb agrees with."""
        return self.patient if self.passive and self.patient is not None else self.agent


def other_number(number: str) -> str:
    """Return ``plural`` for ``singular`` and the reverse."""
    return NUMBERS[1 - NUMBERS.index(number)]
