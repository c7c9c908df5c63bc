"""A second opinion on English: a recogniser written from the rules, sharing no code with the linearizer."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import dither.builtin

TABLE = tomllib.loads((Path(dither.builtin.__file__).parent / "lexicon.toml").read_text(encoding="utf-8"))
BOTH = frozenset({"singular", "plural"})
SINGULAR, PLURAL = frozenset({"singular"}), frozenset({"plural"})
DETERMINERS = {"the": BOTH, "no": SINGULAR} | dict.fromkeys(("a", "an", "this", "that", "every"), SINGULAR)
DETERMINERS |= dict.fromkeys(("these", "those", "all", "some", "many", "two", "three"), PLURAL)
AUXILIARIES = {
    "is": ("be", "present", SINGULAR),
    "are": ("be", "present", PLURAL),
    "was": ("be", "past", SINGULAR),
    "were": ("be", "past", PLURAL),
    "does": ("do", "present", SINGULAR),
    "do": ("do", "present", PLURAL),
    "did": ("do", "past", BOTH),
}
TIMES = {row[1]: row[0] for row in TABLE["time"]}


@cache
def verbs() -> dict[str, set[tuple[str, bool]]]:
    """Word -> the forms it can be, each with whether the verb takes a patient."""
    known: dict[str, set[tuple[str, bool]]] = {}
    for part in ("intransitive", "transitive"):
        for row in TABLE[part]:
            for form, word in zip(("base", "s", "past", "participle", "ing"), row[2:7], strict=True):
                known.setdefault(word, set()).add((form, part == "transitive"))
    return known


NOUNS = {row[2]: SINGULAR for row in TABLE["noun"]} | {row[3]: PLURAL for row in TABLE["noun"]}
NAMES = {row[0].lower() for row in TABLE["name"]}
ADJECTIVES = {row[2] for row in TABLE["adjective"]}
MANNERS = {row[1] for row in TABLE["manner"]}
PREPOSITIONS = {row[1] for row in TABLE["preposition"]}


def grammatical(sentence: str) -> bool:
    """Return whether the sentence is one of the grammar's, agreement included."""
    words = re.findall(r"\w+|[.]", sentence.lower())
    return any(_rest_is_fine(words, at, number) for at, number in _phrase(words, 0))


def _phrase(words: list[str], at: int) -> Iterator[tuple[int, frozenset[str]]]:
    """Yield where a phrase that starts here can end, and its number."""
    if words[at] in NAMES:
        yield at + 1, SINGULAR
    if words[at] not in DETERMINERS:
        return
    number = DETERMINERS[words[at]]
    at += 1 + (words[at + 1] in ADJECTIVES)
    number &= NOUNS.get(words[at], frozenset())
    if not number:
        return
    yield at + 1, number
    yield from ((end, number) for end in _place(words, at + 1))


def _place(words: list[str], at: int) -> Iterator[int]:
    if words[at] in PREPOSITIONS:
        yield from (end for end, _ in _phrase(words, at + 1))


def _rest_is_fine(words: list[str], at: int, number: frozenset[str]) -> bool:
    """Return whether what follows the subject is a verb group that agrees, its patient, and adjuncts."""
    helper, tense, wanted = AUXILIARIES.get(words[at], ("", "", BOTH))
    if helper and not number & wanted:
        return False
    at += bool(helper)
    negated = words[at] == "not"
    if negated != (helper == "do") and not (negated and helper == "be"):
        return False
    at += negated
    for form, transitive in verbs().get(words[at], ()):
        passive = helper == "be" and form == "participle" and transitive
        active = form in {"be": ("ing",), "do": ("base",), "": ("past", "s", "base")}[helper]
        agrees = helper or form == "past" or number & (SINGULAR if form == "s" else PLURAL)
        when = tense or ("past" if form == "past" else "present")
        if (passive or (active and agrees)) and any(
            _adjuncts(words, end, when) for end in _complement(words, at + 1, transitive, passive)
        ):
            return True
    return False


def _complement(words: list[str], at: int, transitive: bool, passive: bool) -> Iterator[int]:
    if not transitive:
        yield at
    elif not passive or words[at] == "by":
        yield from (end for end, _ in _phrase(words, at + passive))


def _adjuncts(words: list[str], at: int, tense: str) -> bool:
    at += words[at] in MANNERS
    for end in (at, *_place(words, at)):
        if words[end] in TIMES and TIMES[words[end]] != tense:
            continue
        end += words[end] in TIMES
        if words[end:] == ["."]:
            return True
    return False
