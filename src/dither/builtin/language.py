"""From structure to words: one linearizer, and one table of orders and function words per language."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dither.builtin.lexicon import languages
from dither.builtin.syntax import Clause, Phrase, Place

OUTSIDE = "O"
LANGUAGES: tuple[str, ...] = tuple(languages())


class Word(NamedTuple):
    """A word and the role it plays: ``AGENT``, ``ACTION``, ``PATIENT``, ``PLACE`` and so on, or ``O``."""

    text: str
    role: str = OUTSIDE


class Language:
    """One of the languages.

    Args:
        code: ``en`` or ``xx``.

    Raises:
        KeyError: If there is no such language.

    Example:
        >>> from dither.builtin.lexicon import word
        >>> dog = Phrase(word("noun", "dog"), word("determiner", "the"), "plural")
        >>> sleep = Clause(dog, word("intransitive", "sleep"), negated=True)
        >>> text(Language("en").clause(sleep))
        'The dogs do not sleep.'
    """

    def __init__(self, code: str) -> None:
        if code not in LANGUAGES:
            raise KeyError(f"no built-in language {code!r}; there are {', '.join(LANGUAGES)}")
        self.code = code
        self._table: Mapping[str, Any] = languages()[code]
        self.name: str = self._table["name"]

    def clause(self, clause: Clause) -> list[Word]:
        """Return the words of a clause, without a full stop."""
        order = self._table["question" if clause.asked else "clause"]
        return [word for slot in order for word in _SLOTS[slot](self, clause)]

    def joined(self, connective: str, first: Clause, second: Clause) -> list[Word]:
        """Return two clauses joined by ``and``, ``but`` or ``although`` (which weakens the first)."""
        word = Word(self._table["connective"][connective])
        parts = [*self.clause(first)], [*self.clause(second)]
        if connective != "although":
            return [*parts[0], word, *parts[1]]
        opening = [word, *parts[0]] if self._table["although"] == "before" else [*parts[0], word]
        return [*opening, Word(","), *parts[1]]

    def phrase(self, phrase: Phrase, role: str = OUTSIDE) -> list[Word]:
        """Return the words of a phrase; a place inside it keeps its own role."""
        words: dict[str, list[Word]] = {slot: [] for slot in self._table["phrase"]}
        number = phrase.noun_number or phrase.number
        words["noun"] = [Word(phrase.noun.form(self.code, number), role)]
        if phrase.adjective is not None:
            words["adjective"] = [Word(phrase.adjective.form(self.code), role)]
        if phrase.determiner is not None:
            words["determiner"] = [Word(phrase.determiner.form(self.code, phrase.number), role)]
        if phrase.place is not None:
            words["modifier"] = self.place(phrase.place)
        ordered = [word for slot in self._table["phrase"] for word in words[slot]]
        return _with_article(ordered) if self.code == "en" else ordered

    def place(self, place: Place) -> list[Word]:
        """Return the words of a place."""
        return self._adposition(
            place.preposition.form(self.code), self.phrase(place.phrase, "PLACE"), "PLACE"
        )

    def _adposition(self, marker: str, words: list[Word], role: str) -> list[Word]:
        if self._table["adposition"] == "before":
            return [Word(marker, role), *words]
        return [*words, Word(marker, role)]

    def _part(self, clause: Clause, name: str) -> list[Word]:
        """Return agent or patient: a phrase, or in a question the word that asks for it."""
        phrase: Phrase | None = getattr(clause, name)
        if phrase is None or self._fronted(clause) == name:
            return []
        if clause.asked == name:
            return [Word(self._table["asked"][name], name.upper())]
        return self.phrase(phrase, name.upper())

    def _subject(self, clause: Clause) -> list[Word]:
        return self._part(clause, "patient" if clause.subject is clause.patient else "agent")

    def _object(self, clause: Clause) -> list[Word]:
        return [] if clause.passive else self._part(clause, "patient")

    def _agent(self, clause: Clause) -> list[Word]:
        if not clause.passive:
            return []
        return self._adposition(self._table["agent_marker"], self._part(clause, "agent"), "AGENT")

    def _where(self, clause: Clause) -> list[Word]:
        if clause.asked == "place":
            return [] if self._fronted(clause) else [Word(self._table["asked"]["place"], "PLACE")]
        return self.place(clause.place) if clause.place is not None else []

    def _asked(self, clause: Clause) -> list[Word]:
        fronted = self._fronted(clause)
        return [Word(self._table["asked"][fronted], fronted.upper())] if fronted else []

    def _fronted(self, clause: Clause) -> str | None:
        """Return the part that a question moves to the front: none where the language leaves it in place."""
        return clause.asked if "asked" in self._table["question"] else None

    def _helper(self, clause: Clause) -> str | None:
        """Return which auxiliary the clause needs: ``be``, ``do`` or none."""
        if clause.passive or clause.progressive or clause.predicate is not None:
            return "be"
        subject_asked = clause.asked == ("patient" if clause.subject is clause.patient else "agent")
        moved = self._fronted(clause) is not None and not subject_asked
        return "do" if clause.negated or moved else None

    def _auxiliary(self, clause: Clause) -> list[Word]:
        helper = self._helper(clause)
        if helper is None:
            return []
        number = clause.verb_number or clause.subject.number
        return [Word(self._table["auxiliary"][helper][clause.tense][number])]

    def _negation(self, clause: Clause) -> list[Word]:
        return [Word(self._table["negation"])] if clause.negated else []

    def _verb(self, clause: Clause) -> list[Word]:
        if clause.verb is None:
            parts = (clause.degree, clause.predicate)
            return [Word(part.form(self.code), "ACTION") for part in parts if part is not None]
        return [Word(clause.verb.form(self.code, clause.verb_form or self._verb_form(clause)), "ACTION")]

    def _verb_form(self, clause: Clause) -> str:
        if clause.passive:
            return "participle"
        if clause.progressive:
            return "progressive"
        if self._helper(clause) == "do":
            return "base"
        if clause.tense == "past":
            return "past"
        return "singular" if (clause.verb_number or clause.subject.number) == "singular" else "base"

    def _manner(self, clause: Clause) -> list[Word]:
        return [Word(clause.manner.form(self.code), "MANNER")] if clause.manner is not None else []

    def _time(self, clause: Clause) -> list[Word]:
        return [Word(clause.time.form(self.code), "TIME")] if clause.time is not None else []

    def function_words(self) -> Iterator[str]:
        """Yield the words that are in no lexicon: auxiliaries, markers, connectives, question words."""
        for tenses in self._table["auxiliary"].values():
            for numbers in tenses.values():
                yield from numbers.values()
        yield from (self._table["agent_marker"], self._table["negation"])
        yield from self._table["asked"].values()
        yield from self._table["connective"].values()


_SLOTS: Mapping[str, Callable[[Language, Clause], list[Word]]] = {
    "subject": Language._subject,
    "object": Language._object,
    "agent": Language._agent,
    "auxiliary": Language._auxiliary,
    "negation": Language._negation,
    "verb": Language._verb,
    "manner": Language._manner,
    "place": Language._where,
    "time": Language._time,
    "asked": Language._asked,
}


def text(words: Sequence[Word], end: str = ".") -> str:
    """Write words as a sentence: capital first letter, no blank before a comma, an end mark."""
    sentence = " ".join(word.text for word in words).replace(" ,", ",")
    return sentence[:1].upper() + sentence[1:] + end


def _with_article(words: list[Word]) -> list[Word]:
    """Write *an* for *a* before a vowel."""
    return [
        word._replace(text="an") if word.text == "a" and following.text[0] in "aeiou" else word
        for word, following in zip(words, [*words[1:], Word("-")], strict=True)
    ]
