"""The words of both languages, read from the tables beside this file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

NUMBERS = ("singular", "plural")
VERB_FORMS = ("base", "singular", "past", "participle", "progressive")
_TABLES = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """A word with its forms in every language.

    Args:
        part: Part of speech, the name of its table.
        lemma: The English citation form; with ``part`` it identifies the word.
        sense: What it means; words of one sense are synonyms.
        kind: The sense above it (nouns, verbs), its opposite (adjectives), its polarity or effect.
        forms: Language code -> form name -> word.
    """

    part: str
    lemma: str
    sense: str
    kind: str
    forms: Mapping[str, Mapping[str, str]] = field(compare=False, repr=False)

    def form(self, language: str, feature: str = "only") -> str:
        """Return the word of a language for a feature such as ``plural`` or ``past``."""
        return self.forms[language][feature]

    def has(self, feature: str) -> bool:
        """Return whether the word has this form: *every* has no plural."""
        return bool(self.forms["en"].get(feature))


@cache
def languages() -> Mapping[str, Mapping[str, Any]]:
    """Return the table of languages: code -> orders, function words, endings."""
    return tomllib.loads((_TABLES / "languages.toml").read_text(encoding="utf-8"))


@cache
def entries(part: str) -> tuple[Entry, ...]:
    """Return all words of one part of speech, in the order of the table.

    Args:
        part: ``noun``, ``name``, ``intransitive``, ``transitive``, ``opinion``, ``adjective``, ``verdict``,
            ``degree``, ``manner``, ``time``, ``preposition`` or ``determiner``.

    Example:
        >>> [entry.lemma for entry in entries("noun") if entry.sense == "dog"]
        ['dog', 'hound']
    """
    rows = tomllib.loads((_TABLES / "lexicon.toml").read_text(encoding="utf-8"))[part]
    return tuple(_READERS[part](part, row) for row in rows)


def word(part: str, lemma: str) -> Entry:
    """Return the word with this English citation form."""
    return next(entry for entry in entries(part) if entry.lemma == lemma)


def below(part: str, sense: str) -> tuple[Entry, ...]:
    """Return the words whose sense lies at or under ``sense``: all children are persons."""
    return tuple(entry for entry in entries(part) if sense in lineage(entry))


@cache
def lineage(entry: Entry) -> tuple[str, ...]:
    """Return the senses that hold of whatever the word names, nearest first.

    Example:
        >>> lineage(word("noun", "lass"))
        ('girl', 'child', 'person')
    """
    chain = [entry.sense]
    if entry.part not in ("noun", "name", "intransitive", "transitive"):
        return tuple(chain)
    kinds = {other.sense: other.kind for other in entries(entry.part)}
    while kinds.get(chain[-1]):
        chain.append(kinds[chain[-1]])
    return tuple(chain)


def synonyms(entry: Entry) -> tuple[Entry, ...]:
    """Return the other words of the same sense."""
    return tuple(x for x in entries(entry.part) if x.sense == entry.sense and x != entry)


def _inflect(stem: str, endings: Mapping[str, str]) -> dict[str, str]:
    return {feature: stem + ending for feature, ending in endings.items()}


def _noun(part: str, row: list[str]) -> Entry:
    sense, kind, singular, plural, stem = row
    english = {"singular": singular, "plural": plural}
    return Entry(part, singular, sense, kind, {"en": english, "xx": _inflect(stem, _endings("noun"))})


def _name(part: str, row: list[str]) -> Entry:
    english, stem = row
    other = stem + languages()["xx"]["ending"]["name"]
    return Entry(part, english, english, "person", {"en": {"singular": english}, "xx": {"singular": other}})


def _verb(part: str, row: list[str]) -> Entry:
    # Opinions have no sense of their own: only their polarity, which stands where the kind stands.
    sense, kind = (row[1], row[0]) if part == "opinion" else row[:2]
    *forms, stem = row[1:] if part == "opinion" else row[2:]
    english = dict(zip(VERB_FORMS, forms, strict=True))
    return Entry(part, forms[0], sense, kind, {"en": english, "xx": _inflect(stem, _endings("verb"))})


def _plain(part: str, row: list[str]) -> Entry:
    """Read a word without inflection: whatever comes first, then the word, then the stem."""
    *facts, english, stem = row
    sense, kind = (facts[0], facts[1]) if len(facts) == 2 else (facts[0], "")
    if part in ("verdict", "time"):  # their only fact is a class
        sense, kind = english, facts[0]
    endings = languages()["xx"]["ending"]
    ending = endings.get(_ENDING_OF.get(part, part)) or endings["adverb"]
    return Entry(part, english, sense, kind, {"en": {"only": english}, "xx": {"only": stem + ending}})


def _determiner(part: str, row: list[str]) -> Entry:
    sense, *cells = row
    english, other = (dict(zip(NUMBERS, pair, strict=True)) for pair in (cells[:2], cells[2:]))
    return Entry(part, english["singular"] or english["plural"], sense, "", {"en": english, "xx": other})


def _endings(part: str) -> Mapping[str, str]:
    endings: Mapping[str, str] = languages()["xx"]["ending"][part]
    return endings


_ENDING_OF = {"verdict": "adjective"}
_READERS = {
    "noun": _noun,
    "name": _name,
    "intransitive": _verb,
    "transitive": _verb,
    "opinion": _verb,
    "determiner": _determiner,
} | dict.fromkeys(("adjective", "verdict", "degree", "manner", "time", "preposition"), _plain)
PARTS: tuple[str, ...] = tuple(_READERS)
