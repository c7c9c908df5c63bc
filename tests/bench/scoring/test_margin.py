"""Scores of pairs, best targets and mined pairs against loops over single pairs, and hard cases by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from dither.bench.scoring import margin
from dither.bench.scoring.margin import (
    above,
    best_targets,
    best_threshold,
    mined_pairs,
    score_blocks,
    unit_rows,
)
from dither.bench.tasks.retrieval import MARGINS, Retrieval


def sides(seed: int, sources: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of two languages with a common direction, as real states have one."""
    draw = np.random.default_rng(seed)
    common = draw.normal(size=8)
    return unit_rows(common + draw.normal(size=(sources, 8))), unit_rows(
        common + draw.normal(size=(targets, 8))
    )


def slow_scores(x: np.ndarray, y: np.ndarray, settings: Retrieval) -> np.ndarray:
    """The formula, one pair at a time."""

    def near(one: np.ndarray, others: np.ndarray) -> float:
        cosines = sorted((float(one @ other) for other in others), reverse=True)[: settings.neighbours]
        return sum(cosines) / (2 * len(cosines))

    scores = np.zeros((len(x), len(y)))
    for i, source in enumerate(x):
        for j, target in enumerate(y):
            cosine, mean = float(source @ target), near(source, y) + near(target, x)
            scores[i, j] = {"none": cosine, "distance": cosine - mean, "ratio": cosine / mean}[
                settings.margin
            ]
    return scores


@pytest.mark.parametrize("kind", MARGINS)
@pytest.mark.parametrize(("sources", "targets", "neighbours"), [(7, 9, 4), (5, 3, 4), (1, 6, 1), (6, 1, 2)])
def test_scores_are_those_of_the_formula(kind, sources, targets, neighbours, monkeypatch):
    settings = Retrieval(layer=1, margin=kind, neighbours=neighbours)
    x, y = sides(sources + targets, sources, targets)
    wanted = slow_scores(x, y, settings)
    for block in (1, 4, 512):
        monkeypatch.setattr(margin, "BLOCK", block)
        parts = list(score_blocks(x, y, settings))
        assert [first for first, _ in parts] == list(range(0, sources, block))
        np.testing.assert_allclose(
            np.concatenate([scores for _, scores in parts]), wanted, rtol=1e-5, atol=1e-6
        )
        assert best_targets(x, y, settings) == wanted.argmax(axis=1).tolist()


def test_a_margin_takes_the_hub_out():
    """A target near to everything beats the right one by its cosine, and not by its margin."""
    x = unit_rows(np.array([[1.0, 0.45], [0.45, 1.0]]))
    y = unit_rows(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    assert best_targets(x, y, Retrieval(layer=1)) == [2, 2]
    for kind in ("ratio", "distance"):
        assert best_targets(x, y, Retrieval(layer=1, margin=kind, neighbours=2)) == [0, 1]


def test_without_scale_there_is_no_ratio():
    x, y = unit_rows(np.array([[1.0, 0.0]])), unit_rows(np.array([[-1.0, 0.0], [-1.0, -0.1]]))
    settings = Retrieval(layer=1, margin="ratio", neighbours=2)
    assert mined_pairs(x, y, settings) == [None]
    assert best_targets(x, y, settings) == [0]


def test_rows_without_direction_and_broken_ones():
    found = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 2.0], [np.inf, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0, 1], [0, 0]], rtol=1e-6)


def slow_pairs(scores: np.ndarray) -> list[int | None]:
    """The best target of each source and the best source of each target, by falling score, each side once."""
    candidates = {(i, int(scores[i].argmax())) for i in range(scores.shape[0])}
    candidates |= {(int(scores[:, j].argmax()), j) for j in range(scores.shape[1])}
    found: list[int | None] = [None] * scores.shape[0]
    for i, j in sorted(candidates, key=lambda pair: -scores[pair]):
        if found[i] is None and j not in found:
            found[i] = j
    return found


@pytest.mark.parametrize("seed", range(10))
def test_pairs_are_mined_from_both_directions(seed, monkeypatch):
    monkeypatch.setattr(margin, "BLOCK", 5)
    settings = Retrieval(layer=1, margin="ratio", neighbours=3)
    x, y = sides(seed, 12, 17)
    scores = slow_scores(x, y, settings)
    mined = mined_pairs(x, y, settings)
    assert [pair and pair[0] for pair in mined] == slow_pairs(scores)
    for source, pair in enumerate(mined):
        assert pair is None or pair[1] == pytest.approx(scores[source, pair[0]], rel=1e-5)


def f1_at(mined, gold, threshold) -> float:
    said = above(mined, threshold)
    right = sum(a is not None and a == b for a, b in zip(said, gold, strict=True))
    return 2 * right / (sum(a is not None for a in said) + sum(b is not None for b in gold))


@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_has_a_better_f1(seed):
    draw = np.random.default_rng(seed)
    mined = [
        (int(draw.integers(4)), float(draw.integers(8))) if draw.random() < 0.8 else None for _ in range(15)
    ]
    gold = [int(draw.integers(4)) if draw.random() < 0.6 else None for _ in range(15)]
    best = max(f1_at(mined, gold, threshold) for threshold in np.arange(-1, 9, 0.5))
    assert f1_at(mined, gold, best_threshold(mined, gold)) == best


def test_where_nothing_is_right_nothing_is_mined():
    assert best_threshold([(0, 1.0), None], [1, 0]) == np.inf
    assert above([(0, 1.0), None], np.inf) == [None, None]
    assert best_threshold([(0, 1.0), (1, 0.5)], [0, 1]) == -np.inf


def test_ten_thousand_sentences_do_not_stand_in_memory_at_once():
    x, y = (unit_rows(side) for side in np.random.default_rng(0).normal(size=(2, 10_000, 4)))
    tracemalloc.start()
    found = best_targets(x, x[::-1], Retrieval(layer=1, margin="distance"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == len(y)
    assert peak < 200e6, f"{peak / 1e6:.0f} MB; the whole square of float32 is 400 MB"
