"""When two predictions are the same, and which is right, for every head; and what pairs add up to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dither.bench.scoring.agreement import Judge
from dither.bench.scoring.metrics import METRICS
from dither.bench.scoring.tallies import Tally, most, totals
from dither.bench.tasks.files import load_task


def test_label_ids_are_right_where_they_are_equal(small_task):
    judge = Judge.of(small_task(), "validation", [{"label": 1}, {"label": 0}])
    assert judge.distances([1, 0], [1, 1]).tolist() == [0, 1]
    assert [judge.right(0, 1), judge.right(1, 1)] == [True, False]


def test_answers_are_compared_by_the_rule_of_the_tasks_metric(small_task):
    rows = [{"answers": {"text": ["The cat.", "a dog"], "answer_start": [0, 9]}}]
    judge = Judge.of(small_task("span"), "validation", rows)
    assert judge.distances(["the Cat"], ["cat"]).tolist() == [0]
    assert judge.distances(["cat"], ["cats"]).tolist() == [1]
    assert [judge.right(0, said) for said in ("cat!", "Dog", "the", "")] == [True, True, False, False]
    exact = METRICS["exact_match"].function
    for said in ("cat!", "Dog", "the", ""):
        assert judge.right(0, said) == exact([rows[0]["answers"]["text"]], [said])


def test_the_rule_is_that_of_the_evaluations_language():
    task = load_task("xtreme/mlqa")
    said = ["der Rhein"], ["Rhein"]
    assert Judge.of(task, "de").distances(*said).tolist() == [0]
    assert Judge.of(task, "es").distances(*said).tolist() == [1]
    assert Judge().distances(*said).tolist() == [1]


def test_tags_differ_word_by_word_and_lost_ones_too(small_task):
    rows = [{"tags": ["O", "B-X", "I-X"]}, {"tags": ["O"]}]
    judge = Judge.of(small_task("tagging"), "validation", rows)
    plain, other = [["O", "B-X", "I-X"], []], [["O", "O"], ["O"]]
    assert judge.distances(plain, other).tolist() == [2, 1]
    assert [judge.right(0, plain[0]), judge.right(0, other[0])] == [True, False]
    assert [judge.right(1, []), judge.right(1, ["O"])] == [False, True]


def test_in_retrieval_the_first_of_equal_targets_is_right_and_so_is_nothing_where_there_is_none(small_task):
    rows = [{"left": "a", "right": "x"}, {"left": "b", "right": "x"}, {"left": "c", "right": None}]
    judge = Judge.of(small_task("retrieval"), "validation", rows)
    assert [judge.right(at, said) for at, said in ((0, 0), (1, 0), (1, 1), (2, None), (2, 0))] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert judge.distances([0, None, 1], [0, 0, None]).tolist() == [0, 1, 1]


def test_numbers_have_a_distance_and_no_gold_to_flip_to(small_task):
    judge = Judge.of(small_task("regression"), "validation", [{"score": 1.0}, {"score": 2.0}])
    tally = Tally(judge)
    tally.add([1.0, 2.0], [1.5, math.inf])
    tally.add([1.0, math.inf], [0.0, math.inf])
    assert tally.flips is tally.mended is tally.broken is None
    assert (tally.pairs.tolist(), tally.distance.tolist()) == ([2, 0], [1.5, 0.0])
    assert totals([tally]) == {"compared": 2, "share": None, "mended": None, "broken": None, "distance": 0.75}
    assert most({"validation": tally}, 5) == [("validation", 0)]


@pytest.mark.parametrize(
    ("values", "usual"),
    [
        ([0, 1, 1], 1),
        ([1, 0, 0, 1], 1),
        ([None, 3, None], None),
        ([["O"], ["B"], ["B"]], ["B"]),
        ([1.0, math.nan, 2.0], 1.5),
        ([math.nan], None),
    ],
)
def test_what_was_mostly_said(values, usual):
    assert Judge().usual(values) == usual


def test_answers_that_are_the_same_count_together_and_the_first_is_shown(small_task):
    judge = Judge.of(small_task("span"), "validation")
    assert judge.usual(["dog", "The cat", "cat."]) == "The cat"


def test_tags_count_words_beside_flips():
    tally = Tally(Judge())
    for _ in range(3):
        tally.add([["O", "B"], ["O"]], [["B", "O"], ["O"]])
    assert (tally.flips.tolist(), tally.distance.tolist()) == ([3, 0], [6.0, 0.0])
    assert totals([tally])["distance"] == 1.0
    assert totals([tally])["share"] == 0.5


def test_nothing_compared_has_no_totals():
    assert set(totals([]).values()) == {0, None}


def test_the_most_come_first_over_all_evaluations_and_equals_stay_in_order():
    one, two = Tally(Judge()), Tally(Judge())
    one.add([0, 0, 0], [1, 1, 0])
    for _ in range(2):
        two.add([0, 0], [0, 1])
    assert most({"en": one, "de": two}, 3) == [("de", 1), ("en", 0), ("en", 1)]
    assert most({"en": one, "de": two}, 2) == [("de", 1), ("en", 0)]
    assert isinstance(one.flips, np.ndarray)
