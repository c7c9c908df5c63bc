"""F1 over runs of tags, as XTREME reports it for parts of speech: that of seqeval, by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import seqeval.metrics

from dither.bench.scoring.metrics import METRICS

TAGS = ["NOUN", "VERB", "X", "ADJ", "SCONJ", "CCONJ", "SYM", "INTJ"]


@pytest.mark.parametrize("seed", range(20))
def test_tags_of_any_kind_are_those_of_seqeval(seed: int) -> None:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(0, 12, 15)
    gold, predicted = ([[TAGS[i] for i in draw.integers(0, 8, n)] for n in lengths] for _ in range(2))
    found = METRICS["tag_f1"].function(gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found == pytest.approx(seqeval.metrics.f1_score(gold, predicted, zero_division=0))


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        (["NOUN", "VERB", "ADJ"], ["NOUN", "VERB", "ADJ"], 1.0),
        # Neighbours with one tag are one run: half of it is none of it.
        (["NOUN", "NOUN", "VERB"], ["NOUN", "VERB", "VERB"], 0.0),
        (["NOUN", "NOUN", "VERB"], ["NOUN", "NOUN", "NOUN"], 0.0),
        (["NOUN", "VERB", "NOUN"], ["NOUN", "ADJ", "NOUN"], 2 / 3),
        # The first letter is read as a place in an entity, the rest as its kind: both are CONJ.
        (["NOUN", "CCONJ", "VERB"], ["NOUN", "SCONJ", "VERB"], 1.0),
        # A tag of one letter has no kind, as O has none, and at the end of a sentence it is not seen.
        (["NOUN", "X"], ["NOUN", "VERB"], 2 / 3),
        # Words lost to truncation are outside.
        (["NOUN", "VERB"], ["NOUN"], 2 / 3),
        (["NOUN", "NOUN"], ["NOUN"], 0.0),
        (["NOUN"], [], 0.0),
    ],
)
def test_runs_of_tags_by_hand(gold: list[str], predicted: list[str], expected: float) -> None:
    assert METRICS["tag_f1"].function([gold], [predicted]) == pytest.approx(expected)
