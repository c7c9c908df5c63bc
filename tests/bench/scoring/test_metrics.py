"""Every metric against its official implementation on random input, and against hand-computed hard cases."""

from __future__ import annotations

import string
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.stats
import seqeval.metrics
import sklearn.metrics

from dither.bench.scoring.answers import normalize_answer
from dither.bench.scoring.metrics import METRICS, check_metric
from dither.bench.tasks.checks import HEADS
from dither.bench.tasks.keys import nearest

SEEDS = range(20)
TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
WORDS = ["the", "a", "An", "cat", "Cat.", "dog,", "d-o-g", "café", "42", "'s", "猫"]


def metric(name: str, gold: Any, predicted: Any) -> float:
    value = METRICS[name].function(gold, predicted)
    assert type(value) is float
    return value


@pytest.mark.parametrize("seed", SEEDS)
def test_classification_metrics_are_those_of_sklearn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    gold, predicted = draw.integers(0, 2, (2, 40)).tolist()
    assert metric("accuracy", gold, predicted) == np.mean(np.equal(gold, predicted))
    assert metric("f1", gold, predicted) == pytest.approx(sklearn.metrics.f1_score(gold, predicted))
    assert metric("matthews", gold, predicted) == pytest.approx(np.corrcoef(gold, predicted)[0, 1])
    gold, predicted = draw.integers(0, 4, (2, 40)).tolist()
    each = sklearn.metrics.f1_score(gold, predicted, average=None)
    assert metric("macro_f1", gold, predicted) == pytest.approx(np.mean(each))
    assert metric("matthews", gold, predicted) == sklearn.metrics.matthews_corrcoef(gold, predicted)


@pytest.mark.parametrize("seed", SEEDS)
def test_correlations_are_those_of_scipy(seed: int) -> None:
    draw = np.random.default_rng(seed)
    gold = draw.integers(0, 26, 50) / 5
    predicted = (gold + draw.normal(0, 1, 50)).astype(np.float32)
    values = predicted.tolist()
    assert metric("pearson", gold.tolist(), values) == pytest.approx(np.corrcoef(gold, predicted)[0, 1])
    ranks = [scipy.stats.rankdata(array) for array in (gold, predicted)]
    assert metric("spearman", gold.tolist(), values) == pytest.approx(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("seed", SEEDS)
def test_tag_metrics_are_those_of_seqeval(seed: int) -> None:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, 12, 15)
    gold, predicted = ([[TAGS[i] for i in draw.integers(0, 5, n)] for n in lengths] for _ in range(2))
    expected = seqeval.metrics.f1_score(gold, predicted, zero_division=0)
    assert metric("entity_f1", gold, predicted) == pytest.approx(expected)
    assert metric("tag_accuracy", gold, predicted) == pytest.approx(
        seqeval.metrics.accuracy_score(gold, predicted)
    )


def slow_words(text: str) -> list[str]:
    bare = text.lower().translate(dict.fromkeys(map(ord, string.punctuation)))
    return [word for word in bare.split() if word not in ("a", "an", "the")]


def slow_overlap(true: str, said: str) -> float:
    """Precision and recall over words, each gold word taken once."""
    left, given, common = slow_words(true), slow_words(said), 0
    wanted = len(left)
    for word in given:
        if word in left:
            left.remove(word)
            common += 1
    if common == 0:
        return 0.0
    precision, recall = common / len(given), common / wanted
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("seed", SEEDS)
def test_span_metrics_are_those_of_the_slow_loop(seed: int) -> None:
    draw = np.random.default_rng(seed)
    phrases = [" ".join(draw.choice(WORDS, draw.integers(0, 6))) for _ in range(200)]
    answers, said = [phrases[i : i + 3] for i in range(0, 150, 3)], phrases[150:]
    pairs = list(zip(answers, said, strict=True))
    exact = [any(slow_words(true) == slow_words(one) for true in held) for held, one in pairs]
    overlap = [max(slow_overlap(true, one) for true in held) for held, one in pairs]
    assert 0 < np.mean(exact) < np.mean(overlap) < 1
    assert metric("exact_match", answers, said) == np.mean(exact)
    assert metric("squad_f1", answers, said) == pytest.approx(np.mean(overlap))


@pytest.mark.parametrize(
    ("answers", "said", "exact", "overlap"),
    [
        (["the cat"], "cat", 1, 1),
        (["cat"], "A Cat!", 1, 1),
        (["theater"], "ater", 0, 0),
        (["Panthers' defense"], "panthers defense", 1, 1),
        (
            ["well-known man"],
            "well known man",
            0,
            2 / 5,
        ),  # "wellknown man" against three words: one in common
        (["one  two"], "one\ttwo\n", 1, 1),
        (["one two three"], "two", 0, 1 / 2),  # precision 1, recall 1/3
        (["two two one"], "two", 0, 1 / 2),
        (["two"], "two two", 0, 2 / 3),  # a repeated word counts once
        (["one two", "three"], "three four", 0, 2 / 3),  # the best of several answers
        (["one", "two"], "two", 1, 1),
        (["one"], "", 0, 0),
        (["the"], "a", 1, 0),  # v1.1: both are empty after normalisation, equal but without a word in common
        (["50%"], "50 %", 1, 1),
        (["İstanbul"], "i̇stanbul", 1, 1),
        (["one—the—two"], "one— —two", 1, 1),  # an article ends where a letter ends
        (["北京。"], "北京", 0, 0),  # v1.1 knows ASCII punctuation alone
    ],
)
def test_squad_cases_by_hand(answers: list[str], said: str, exact: float, overlap: float) -> None:
    assert metric("exact_match", [answers], [said]) == exact
    assert metric("squad_f1", [answers], [said]) == pytest.approx(overlap)


def test_squad_metrics_are_means_over_rows() -> None:
    answers, said = [["one two"], ["three"], ["four"]], ["one", "three", ""]
    assert metric("squad_f1", answers, said) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert metric("exact_match", answers, said) == pytest.approx(1 / 3)


def test_normalisation_takes_words_not_letters() -> None:
    assert normalize_answer("An ant and the-other, a.m.") == "ant and theother am"


@pytest.mark.parametrize(
    ("predicted", "accuracy", "entity"),
    [
        ([["B-X", "I-X", "O", "B-Y"]], 1, 1),
        ([["B-X", "I-X", "O"]], 3 / 4, 2 / 3),  # one of two entities is lost
        ([["B-X"]], 1 / 4, 0),  # cut inside the entity: neither is found
        ([["B-X", "I-X"]], 2 / 4, 2 / 3),
        ([[]], 0, 0),
        ([["O", "O", "O", "O"]], 1 / 4, 0),
        ([["B-X", "I-X", "O", "B-X"]], 3 / 4, 1 / 2),
    ],
)
def test_words_lost_to_truncation_are_wrong(
    predicted: list[list[str]], accuracy: float, entity: float
) -> None:
    gold = [["B-X", "I-X", "O", "B-Y"]]
    assert metric("tag_accuracy", gold, predicted) == pytest.approx(accuracy)
    assert metric("entity_f1", gold, predicted) == pytest.approx(entity)
    assert metric("lost_words", gold, predicted) == (4 - len(predicted[0])) / 4


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        ([1.0, 2.0, 3.0], [2.5, 2.5, 2.5]),
        ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
        ([1.0, 2.0, 3.0], [2.5, 2.5 + 4e-16, 2.5]),
        ([1.0, 2.0, 3.0], [1.0, float("nan"), 3.0]),
        ([1.0, 2.0, 3.0], [1.0, float("inf"), 3.0]),
        ([1.0], [1.0]),
    ],
)
def test_no_information_is_no_correlation(name: str, gold: list[float], predicted: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric(name, gold, predicted) == 0.0


@pytest.mark.parametrize("name", ["accuracy", "f1", "macro_f1", "matthews"])
@pytest.mark.parametrize("gold", [[0, 0, 0], [1, 1, 1], [0, 1, 1]])
@pytest.mark.parametrize("said", [0, 1])
def test_a_constant_label_never_warns(name: str, gold: list[int], said: int) -> None:
    right = Counter(gold)[said]
    harmonic = 2 * right / (right + len(gold)) if said else 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = metric(name, gold, [said] * len(gold))
    macro = (2 * right / (right + len(gold))) / len({*gold, said})
    assert value == pytest.approx(
        {"accuracy": right / 3, "f1": harmonic, "macro_f1": macro, "matthews": 0}[name]
    )


def test_every_metric_says_what_it_is() -> None:
    for name, row in METRICS.items():
        assert row.name == name
        assert row.summary
        assert set(row.heads) <= {*HEADS}


def test_nearest_without_a_near_one() -> None:
    assert nearest("xyz", ["accuracy", "f1"]) == "Known: accuracy, f1"
    assert nearest("xyz", []) == "Known: none"


def test_a_metric_fits_its_head_alone() -> None:
    check_metric("f1", "classification", ["a", "b"])
    with pytest.raises(
        ValueError, match="does not fit head 'span'; metrics that do: squad_f1, exact_match, mlqa"
    ):
        check_metric("f1", "span", [])
    with pytest.raises(ValueError, match=r"unknown metric 'mathews'; did you mean 'matthews'\?"):
        check_metric("mathews", "classification", ["a", "b"])
