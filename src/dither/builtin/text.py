"""The text that the built-in model is pretrained on: both languages, no labels.

Single sentences teach words and agreement. Pairs teach to compare, as real text does: something and the same
in other words, a statement and another that can be true with it, two reviews by one critic, a story and a
question about it, a sentence and its translation. Nothing tells which pair is of which kind, and nothing
false, ungrammatical or answered occurs.
"""

from __future__ import annotations

from collections.abc import Callable

from dither.builtin.dice import Dice
from dither.builtin.grammar import clause, description, reworded
from dither.builtin.language import LANGUAGES, Language, text
from dither.builtin.meaning import ENTAILMENT, NEUTRAL, relation
from dither.builtin.tasks import entailment, question_answering, sentiment, similarity

Text = tuple[str, ...]
"""One sentence, or two segments that stand together."""


def pretraining_sentences(n: int, seed: int) -> list[Text]:
    """Return ``n`` pieces of text, each of one or two segments.

    Args:
        n: How many, >= 0.
        seed: Equal seeds give equal text, whatever the platform.

    Raises:
        ValueError: If ``n`` is negative.

    Example:
        >>> {len(segments) for segments in pretraining_sentences(50, seed=0)} == {1, 2}
        True
    """
    if n < 0:
        raise ValueError(f"n must be at least 0, got {n}")
    dice = Dice(f"dither pretraining {seed}")
    kinds, weights = zip(*_KINDS, strict=True)
    tongues = [Language(code) for code in LANGUAGES]
    return [dice.weighted(kinds, weights)(dice, dice.weighted(tongues, (3, 1))) for _ in range(n)]


def _single(dice: Dice, language: Language) -> Text:
    return (text(language.clause(clause(dice, inner=0.3))),)


def _description(dice: Dice, language: Language) -> Text:
    return (text(language.clause(description(dice))),)


def _paraphrase(dice: Dice, language: Language) -> Text:
    said = clause(dice, adjuncts=0.2) if dice.chance(0.5) else similarity.event(dice)
    return _pair(dice, text(language.clause(said)), text(language.clause(reworded(dice, said))))


def _consistent(dice: Dice, language: Language) -> Text:
    """Return two statements that can both be true; the second mostly follows from the first."""
    while True:
        first = entailment.statement(dice)
        second = entailment.changed(dice, first)
        found = relation(first, second)
        if found == ENTAILMENT or (found == NEUTRAL and dice.chance(0.4)):
            return text(language.clause(first.clause())), text(language.clause(second.clause()))


def _reviews(dice: Dice, language: Language) -> Text:
    positive, turns = dice.chance(0.5), dice.pick((0.0, 0.0, 0.3))  # most speak plainly
    reviews = [sentiment.review(dice, positive=positive, turns=turns) for _ in range(3)]
    first, *rest = (text(review.words(language)) for review in reviews)
    return first, " ".join(rest[: dice.pick((1, 2))])


def _story(dice: Dice, language: Language) -> Text:
    """Return a question about a story, or one of its sentences in other words, and the story."""
    told = question_answering.story(dice, 3, dice.pick(question_answering.ASKED))
    passage = " ".join(text(language.clause(said)) for said in told.passage)
    if dice.chance(0.5):
        return text(language.clause(told.question), end="?"), passage
    return text(language.clause(reworded(dice, told.passage[told.target]))), passage


def _translation(dice: Dice, language: Language) -> Text:
    said = clause(dice, inner=0.2) if dice.chance(0.7) else description(dice)
    if dice.chance(0.25):
        review = sentiment.review(dice, positive=dice.chance(0.5))
        return _pair(dice, *(text(review.words(Language(code))) for code in LANGUAGES))
    return _pair(dice, *(text(Language(code).clause(said)) for code in LANGUAGES))


def _pair(dice: Dice, first: str, second: str) -> Text:
    return (first, second) if dice.chance(0.5) else (second, first)


_KINDS: tuple[tuple[Callable[[Dice, Language], Text], float], ...] = (
    (_single, 4),
    (_description, 1),
    (_paraphrase, 4),
    (_consistent, 3),
    (_reviews, 4),
    (_story, 4),
    (_translation, 4),
)
