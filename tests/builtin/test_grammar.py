from __future__ import annotations

import pytest
from recognizer import grammatical

from dither.builtin import LANGUAGES, rows
from dither.builtin.dice import Dice
from dither.builtin.grammar import clause, reworded
from dither.builtin.language import Language, text
from dither.builtin.lexicon import PARTS, entries, lineage, synonyms, word
from dither.builtin.syntax import Clause, Phrase
from dither.builtin.tasks import question_answering
from dither.builtin.tasks.acceptability import BREAKS

ENGLISH = Language("en")


def phrase(noun: str, determiner: str, number: str = "singular") -> Phrase:
    return Phrase(word("noun", noun), word("determiner", determiner), number)


def test_the_recognizer_knows_right_from_wrong() -> None:
    for right in (
        "The dogs near the cat sleep.",
        "Mira was not chased by an old dog in the garden yesterday.",
    ):
        assert grammatical(right), right
    for wrong in (
        "The dogs near the cat sleeps.",
        "These dog sleep.",
        "The dog did not slept.",
        "The dog is chase.",
    ):
        assert not grammatical(wrong), wrong


def test_clauses_agree() -> None:
    dice = Dice("agreement")
    for _ in range(1000):
        sentence = text(ENGLISH.clause(clause(dice, inner=0.5)))
        assert grammatical(sentence), sentence


def test_paraphrases_agree_and_differ() -> None:
    dice = Dice("paraphrase")
    changed = 0
    for _ in range(300):
        said = clause(dice)
        first, second = (text(ENGLISH.clause(x)) for x in (said, reworded(dice, said)))
        assert grammatical(second), second
        changed += first != second
    assert changed > 200


def test_labels_of_acceptability_are_true() -> None:
    for split in ("train", "validation"):
        for row in rows("acceptability", split):
            assert grammatical(row["sentence"]) == bool(row["label"]), row


@pytest.mark.parametrize("kind", BREAKS)
def test_every_break_shows_in_every_language(kind: str) -> None:
    dice = Dice(f"break {kind}")
    found = 0
    for _ in range(600):
        whole = clause(dice, transitive=0.5, inner=0.5)
        broken = BREAKS[kind](dice, whole)
        if broken is None:
            continue
        found += 1
        assert grammatical(text(ENGLISH.clause(whole)))
        assert not grammatical(text(ENGLISH.clause(broken))), text(ENGLISH.clause(broken))
        for code in LANGUAGES:
            assert Language(code).clause(whole) != Language(code).clause(broken)
    assert found > 50


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "The dogs chase an owl."),
        ({"negated": True}, "The dogs do not chase an owl."),
        ({"passive": True, "tense": "past"}, "An owl was chased by the dogs."),
        ({"asked": "patient"}, "Whom do the dogs chase."),
        ({"asked": "place", "tense": "past"}, "Where did the dogs chase an owl."),
        ({"progressive": True, "verb_number": "singular"}, "The dogs is chasing an owl."),
    ],
)
def test_english_word_order(change: dict[str, object], sentence: str) -> None:
    said = Clause(
        phrase("dog", "the", "plural"),
        word("transitive", "chase"),
        phrase("owl", "a"),
        **change,  # type: ignore[arg-type]
    )
    assert text(ENGLISH.clause(said)) == sentence


def test_only_one_event_answers_the_question() -> None:
    dice = Dice("unambiguous")
    for index in range(300):
        item = question_answering.draw(dice, index)
        fitting = [i for i, told in enumerate(item.passage) if question_answering.fits(item.question, told)]
        assert fitting == [item.target]


def test_lumari_puts_the_verb_last_and_the_adposition_after() -> None:
    said = Clause(phrase("dog", "the"), word("transitive", "chase"), phrase("owl", "a"), passive=True)
    roles = [x.role for x in Language("xx").clause(said)]
    assert roles == ["PATIENT", "PATIENT", "AGENT", "AGENT", "AGENT", "ACTION", "O"]
    english = [x.role for x in ENGLISH.clause(said)]
    assert english == ["PATIENT", "PATIENT", "O", "ACTION", "AGENT", "AGENT", "AGENT"]


def test_languages_share_no_word() -> None:
    from dither.builtin.tokenizer import words_of

    english, lumari = (set(words_of(code)) for code in LANGUAGES)
    assert not english & lumari
    assert len(english) > 300
    assert len(lumari) > 300


def test_words_of_a_sense_share_their_kind() -> None:
    for part in PARTS:
        for entry in entries(part):
            assert {other.kind for other in synonyms(entry)} <= {entry.kind}, entry
            assert lineage(entry)[0] == entry.sense


def test_unknown_language_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no built-in language 'de'; there are en, xx"):
        Language("de")
