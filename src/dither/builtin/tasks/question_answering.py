"""Question answering: find the phrase of the context that answers the question.

Two sentences tell who does what to whom and where; the question repeats one of them, often in other words
and in the other voice. A second sentence shares its verb or the known participant, so one word is never
enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.grammar import phrase, reworded, somewhere
from dither.builtin.language import Language, text
from dither.builtin.lexicon import entries
from dither.builtin.syntax import Clause, Phrase

NAME = "question_answering"
TRAIN = 400
ASKED = ("agent", "patient", "place")


@dataclass(frozen=True)
class Item:
    """A passage, the question, and which clause holds the answer."""

    passage: tuple[Clause, ...]
    question: Clause
    target: int


def draw(dice: Dice, index: int) -> Item:
    """Draw a passage of two events and a question for the part whose turn it is, with one right answer."""
    while True:
        item = story(dice, 2, ASKED[index % 3])
        others = [clause for i, clause in enumerate(item.passage) if i != item.target]
        if not any(fits(item.question, clause) for clause in others):
            return item


def fits(question: Clause, told: Clause) -> bool:
    """Return whether an event has all of agent, verb and patient that the question knows, in any words."""
    known = {"agent", "verb", "patient"} - {question.asked}
    return all(_sense(question, part) == _sense(told, part) for part in known)


def story(dice: Dice, sentences: int, asked: str) -> Item:
    """Draw a passage and a question for one of its events."""
    told = list(passage(dice)[-sentences:])
    target = dice.below(len(told))
    if asked == "place":
        told[target] = replace(told[target], place=told[target].place or somewhere(dice))
    return Item(tuple(told), question(dice, told[target], asked), target)


def row(item: Item, language: Language) -> dict[str, Any]:
    """Return the row of an item in a language."""
    sentences = [text(language.clause(clause)) for clause in item.passage]
    start, answer = located(item.passage[item.target], item.question.asked or "agent", language)
    start += sum(len(sentence) + 1 for sentence in sentences[: item.target])
    context = " ".join(sentences)
    return {
        "context": context,
        "question": text(language.clause(item.question), end="?"),
        "answers": {"text": [context[start : start + len(answer)]], "answer_start": [start]},
    }


def passage(dice: Dice) -> tuple[Clause, ...]:
    """Draw three events that share words but never two of agent, verb and patient."""
    first = _event(dice)
    second, third = _event(dice, unlike=[first]), _event(dice, unlike=[first])
    if dice.chance(0.5):
        second = replace(second, verb=first.verb)
    elif dice.chance(0.5):
        second = replace(second, patient=first.patient)
    else:
        second = replace(second, agent=first.agent)
    return tuple(dice.several([first, second, third], 3))


def question(dice: Dice, told: Clause, asked: str) -> Clause:
    """Ask for a part of an event, often in other words."""
    said = reworded(dice, told) if dice.chance(0.5) else told
    said = replace(said, asked=asked, passive=False, place=None if asked == "place" else said.place)
    if asked != "place" and dice.chance(0.7):
        said = replace(said, place=None)
    # The asker does not know the answer, nor its number.
    return replace(said, agent=replace(said.agent, number="singular")) if asked == "agent" else said


def located(told: Clause, part: str, language: Language) -> tuple[int, str]:
    """Return where a part of a clause stands in its sentence, and its words."""
    words = language.clause(told)
    if part == "place" and told.place is not None:
        wanted = language.place(told.place)
    else:
        wanted = language.phrase(getattr(told, part), part.upper())
    at = next(i for i in range(len(words)) if words[i : i + len(wanted)] == wanted)
    return sum(len(word.text) + 1 for word in words[:at]), " ".join(word.text for word in wanted)


def _event(dice: Dice, unlike: list[Clause] | None = None) -> Clause:
    """Draw an event whose participants and verb differ in sense from those of the others."""
    taken = {x.sense for other in unlike or [] for x in _content(other)}
    while True:
        drawn = Clause(
            phrase(dice, adjective=0.2, name=0.2),
            dice.word(entries("transitive")),
            phrase(dice, adjective=0.2, name=0.2),
            tense="past",
            passive=dice.chance(0.3),
            place=somewhere(dice) if dice.chance(0.5) else None,
        )
        senses = [x.sense for x in _content(drawn)]
        if len(set(senses)) == len(senses) and not taken & set(senses):
            return drawn


def _sense(said: Clause, part: str) -> str:
    value = getattr(said, part)
    sense: str = value.noun.sense if isinstance(value, Phrase) else value.sense
    return sense


def _content(said: Clause) -> list[Any]:
    parts = (
        said.agent.noun,
        said.verb,
        said.patient and said.patient.noun,
        said.place and said.place.phrase.noun,
    )
    return [part for part in parts if part is not None]
