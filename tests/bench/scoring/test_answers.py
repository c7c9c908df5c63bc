"""MLQA's comparison of answers against a slow loop and against hard cases by hand, language by language."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest

from dither.bench.scoring.answers import normalize_in
from dither.bench.scoring.metrics import METRICS
from dither.bench.scoring.scores import score
from dither.bench.tasks.task import Task

ARTICLES = {
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "de": "ein eine einen einem eines einer der die das den dem des",
    "vi": "của là cái chiếc những",
}
PIECES = [
    "Der",
    "el",
    "The",
    "của",
    "猫",
    "北京",
    "NFL",
    "»x«",
    "a.b",
    "。",
    "!",
    "und",
    "3",
    "né",
    " ",
    "\t",
]


def slow_words(text: str, language: str) -> list[str]:
    """Character by character, for languages whose articles are words of their own."""
    kept = ""
    for character in text.lower():
        if unicodedata.category(character).startswith("P") or character in string.punctuation:
            continue
        alone = language == "zh" and "\u4e00" <= character <= "\u9fa5"
        kept += f" {character} " if alone else character
    return [word for word in kept.split() if word not in ARTICLES.get(language, "").split()]


@pytest.mark.parametrize("language", ["en", "de", "es", "vi", "zh", "hi"])
def test_a_rule_is_that_of_the_slow_loop(language: str) -> None:
    draw = np.random.default_rng(7)
    for _ in range(300):
        text = "".join(draw.choice(PIECES, 5)) + " " + " ".join(draw.choice(PIECES, 5))
        assert normalize_in(language)(text).split() == slow_words(text, language)


@pytest.mark.parametrize(
    ("language", "answers", "said", "exact", "overlap"),
    [
        ("zh", ["北京。"], "北京", 1, 1),  # full-width punctuation
        ("zh", ["北京市"], "北京", 0, 4 / 5),  # two of three characters
        ("zh", ["NFL 队"], "NFL队", 1, 1),  # a space between scripts does not count
        ("zh", ["3月5日"], "5日", 0, 4 / 6),
        ("de", ["der Rhein"], "Rhein", 1, 1),
        ("de", ["the Rhein"], "Rhein", 0, 2 / 3),  # an English article is a word in German
        ("es", ["¿La Habana?"], "habana", 1, 1),
        ("vi", ["những con mèo"], "con mèo", 1, 1),
        ("ar", ["الكتاب"], "كتاب", 1, 1),  # the article is part of the written word
        ("hi", ["दिल्ली।"], "दिल्ली", 1, 1),
        ("ru", ["«Москва»"], "москва", 1, 1),
        ("ja", ["東京タワー"], "東京", 0, 4 / 7),
        ("th", ["กา"], "ก", 0, 2 / 3),
        ("en", ["the cat", "dog"], "", 0, 0),
        ("en", ["a"], "the", 1, 0),  # both are empty: equal, without a word in common
        ("en", ["cats", "cat food"], "the cat", 0, 2 / 3),
        ("", ["“the” cat"], "the cat", 1, 1),  # no language: no articles
    ],
)
def test_cases_by_hand(language: str, answers: list[str], said: str, exact: float, overlap: float) -> None:
    assert METRICS["mlqa_exact_match"].of(language)([answers], [said]) == exact
    assert METRICS["mlqa_f1"].of(language)([answers], [said]) == pytest.approx(overlap)


def test_a_score_takes_the_language_of_each_evaluation(small_task: Callable[..., Task]) -> None:
    task = small_task(
        "span",
        train="train.en",
        languages=["en", "de"],
        evaluation={"{language}": "test.{language}"},
        metrics=["squad_f1", "mlqa_f1"],
        primary=["mlqa_f1"],
    )
    rows = [{"answers": {"text": ["der Rhein"], "answer_start": [0]}}]
    scores = score(task, {"en": ["Rhein"], "de": ["Rhein"]}, {"en": rows, "de": rows}, train=rows)
    assert scores.metrics["en"]["mlqa_f1"] == scores.metrics["de"]["squad_f1"] == pytest.approx(2 / 3)
    assert scores.metrics["de"]["mlqa_f1"] == 1.0
    assert scores.score == pytest.approx(100 * (2 / 3 + 1) / 2)
