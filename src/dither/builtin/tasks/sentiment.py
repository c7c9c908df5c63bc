"""Sentiment: is the review good or bad?

A review is one or two opinions. *Not*, *hardly* and *no sailor* turn an opinion round; after *but*, and in
the main clause beside *although*, stands the opinion that counts. There are 44 verdict words, most of them
rare in the small train split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.grammar import determiner
from dither.builtin.language import Language, Word, text
from dither.builtin.lexicon import NUMBERS, Entry, below, entries
from dither.builtin.syntax import Clause, Phrase

NAME = "sentiment"
TRAIN = 160
LABELS = ("negative", "positive")


@dataclass(frozen=True)
class Review:
    """One opinion, or two with the connective between them."""

    opinions: tuple[Clause, ...]
    connective: str | None = None

    def words(self, language: Language) -> list[Word]:
        """Return the words of the review, without a full stop."""
        if self.connective is None:
            return language.clause(self.opinions[0])
        return language.joined(self.connective, *self.opinions)


def draw(dice: Dice, index: int) -> tuple[Review, int]:
    """Draw a review of the label whose turn it is."""
    label = index % 2
    return review(dice, positive=bool(label)), label


def row(item: tuple[Review, int], language: Language) -> dict[str, Any]:
    """Return the row of an item in a language."""
    said, label = item
    return {"sentence": text(said.words(language)), "label": label}


def review(dice: Dice, *, positive: bool, turns: float = 0.3) -> Review:
    """Draw a review; the opinion that counts is the last, and ``turns`` how often words turn one round."""
    work, part = dice.several(below("noun", "work"), 2)
    contrast = 10 * turns
    connective = dice.weighted((None, "and", "but", "although"), (3, 2, contrast, contrast / 2))
    last = opinion(dice, work, positive=positive, turns=turns)
    if connective is None:
        return Review((last,))
    first = opinion(dice, part, positive=positive == (connective == "and"), turns=turns)
    return Review((first, last), connective)


def opinion(dice: Dice, work: Entry, *, positive: bool, turns: float) -> Clause:
    """Draw a clause that speaks well or ill of a work."""
    number, tense = dice.pick(NUMBERS), dice.weighted(("past", "present"), (2, 1))
    subject = Phrase(work, determiner(dice, number, ("the", "this", "that")), number)
    negated = dice.chance(0.7 * turns)
    if dice.chance(0.65):
        hardly = not negated and dice.chance(0.4 * turns)
        adverb = dice.pick([x for x in entries("degree") if (x.kind == "flip") == hardly])
        degree = adverb if hardly or (not negated and dice.chance(0.3)) else None
        flipped = negated or hardly
        verdict = dice.word(_of_polarity("verdict", positive != flipped))
        return Clause(subject, predicate=verdict, degree=degree, tense=tense, negated=negated)
    nobody = not negated and dice.chance(0.6 * turns)
    viewers = "singular" if nobody else dice.pick(NUMBERS)
    critic = Phrase(
        dice.word(below("noun", "person")),
        determiner(dice, viewers, ("no",) if nobody else ("the", "a", "every", "all", "many", "some")),
        viewers,
    )
    verb = dice.word(_of_polarity("opinion", positive != (negated or nobody)))
    # "Every baker did not love it" could be read both ways, so no sweeping quantifier meets a negation.
    if negated and critic.determiner is not None and critic.determiner.sense in ("every", "many", "some"):
        critic = Phrase(critic.noun, determiner(dice, viewers, ("the",)), viewers)
    return Clause(critic, verb, subject, tense=tense, negated=negated, passive=dice.chance(0.25))


def _of_polarity(part: str, positive: bool) -> list[Entry]:
    return [entry for entry in entries(part) if entry.kind == ("good" if positive else "bad")]
