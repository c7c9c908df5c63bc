"""Which sentences translate each other, by the cosines of their states: margins, best targets, mined pairs.

Cosines are taken in blocks of rows, so that two sides of 10,000 sentences never stand in memory at once.

The score of x and y is margin(cos(x, y), m) with m the mean of two means: that of the cosines of x with its k
nearest sentences of the other side, and that of y with its own. margin(a, m) is a, a - m or a / m.

Reference:
    Artetxe and Schwenk, "Margin-based Parallel Corpus Mining with Multilingual Sentence Embeddings", ACL
    2019, https://aclanthology.org/P19-1309: the margin-based score ("absolute", "distance", "ratio"), and
    the candidates of both directions with the best score first ("max"). XTREME's script scores a sentence
    with its k nearest ones alone; here it is scored with all.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dither.bench.tasks.retrieval import Retrieval

BLOCK = 512
"""Rows of a block: 512 x 10,000 cosines in float32 are 20 MB."""

Mined = tuple[int, float]
"""The number of a target and the score of the pair."""

_MARGINS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "none": lambda cosine, mean: cosine,
    "distance": np.subtract,
    # A mean of 0 or less says nothing about scale; such states have no margin.
    "ratio": lambda cosine, mean: np.divide(cosine, mean, out=np.full_like(cosine, -np.inf), where=mean > 0),
}


def unit_rows(states: np.ndarray) -> np.ndarray:
    """The rows with length 1, in float32; one of zeros stays, and what is not finite counts as 0."""
    states = np.where(np.isfinite(states), states, 0.0)
    lengths = np.linalg.norm(states.astype(np.float64), axis=1, keepdims=True)
    return (states / np.maximum(lengths, np.finfo(np.float64).tiny)).astype(np.float32)


def score_blocks(
    sources: np.ndarray, targets: np.ndarray, settings: Retrieval
) -> Iterator[tuple[int, np.ndarray]]:
    """The number of the first source of each block, and the scores of its sources with all targets.

    Args:
        sources: (sentences, width), each of length 1.
        targets: the same for the other side.
        settings: margin and neighbours; of fewer sentences all are neighbours.

    Example:
        >>> sides = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)
        >>> [(first, scores.tolist()) for first, scores in score_blocks(*sides, Retrieval(layer=1))]
        [(0, [[1.0, 0.0], [0.0, 1.0]])]
    """
    margin, alone = _MARGINS[settings.margin], settings.margin == "none"
    sides = ((sources, targets), (targets, sources))
    near, near_back = (
        np.zeros(len(side)) if alone else neighbour_mean(side, other, settings.neighbours)
        for side, other in sides
    )
    for first in range(0, len(sources), BLOCK):
        block = slice(first, first + BLOCK)
        yield first, margin(sources[block] @ targets.T, (near[block, None] + near_back) / 2)


def neighbour_mean(sentences: np.ndarray, others: np.ndarray, neighbours: int) -> np.ndarray:
    """The mean cosine of each sentence with its nearest ones of the other side: (sentences,)."""
    count = min(neighbours, len(others))
    means = [
        np.partition(sentences[first : first + BLOCK] @ others.T, -count, axis=1)[:, -count:].mean(axis=1)
        for first in range(0, len(sentences), BLOCK)
    ]
    return np.concatenate(means) if means else np.zeros(0, np.float32)


def best_targets(sources: np.ndarray, targets: np.ndarray, settings: Retrieval) -> list[int]:
    """The target with the best score for each source; of equals the first."""
    found: list[int] = []
    for _, scores in score_blocks(sources, targets, settings):
        found.extend(scores.argmax(axis=1).tolist())
    return found


def mined_pairs(sources: np.ndarray, targets: np.ndarray, settings: Retrieval) -> list[Mined | None]:
    """A target for each source, or None: candidates of both directions, the best first, each side once."""
    forward, best = np.zeros(len(sources), np.int64), np.full(len(sources), -np.inf)
    backward, best_back = np.zeros(len(targets), np.int64), np.full(len(targets), -np.inf)
    for first, scores in score_blocks(sources, targets, settings):
        block = slice(first, first + len(scores))
        forward[block], best[block] = scores.argmax(axis=1), scores.max(axis=1)
        better = scores.max(axis=0) > best_back
        backward[better] = scores.argmax(axis=0)[better] + first
        best_back[better] = scores.max(axis=0)[better]
    scores = np.concatenate([best, best_back])
    pairs = [*enumerate(forward.tolist()), *((source, at) for at, source in enumerate(backward.tolist()))]
    mined: list[Mined | None] = [None] * len(sources)
    taken: set[int] = set()
    for at in np.argsort(-scores, kind="stable"):
        source, target = pairs[at]
        if mined[source] is None and target not in taken and np.isfinite(scores[at]):
            mined[source] = target, float(scores[at])
            taken.add(target)
    return mined


def best_threshold(mined: Sequence[Mined | None], gold: Sequence[int | None]) -> float:
    """The score from which mined pairs have the best F1 against the gold ones; infinite where none is right.

    It lies in the middle between the last pair that is in and the first that is out.

    Example:
        >>> best_threshold([(0, 1.2), (1, 1.1), (0, 0.9)], [0, 1, None])
        1.0
    """
    ranked = sorted(
        ((pair[1], pair[0] == true) for pair, true in zip(mined, gold, strict=True) if pair), reverse=True
    )
    wanted = sum(true is not None for true in gold)
    right, best, threshold = 0, 0.0, np.inf
    for count, (score, fits) in enumerate(ranked, 1):
        right += fits
        below = ranked[count][0] if count < len(ranked) else -np.inf
        f1 = 2 * right / (count + wanted)
        if f1 > best and below < score:  # of pairs with one score, all are in or none
            best, threshold = f1, (score + below) / 2 if np.isfinite(below) else -np.inf
    return float(threshold)


def above(mined: Sequence[Mined | None], threshold: float) -> list[int | None]:
    """The targets of the pairs whose score reaches a threshold."""
    return [pair[0] if pair and pair[1] >= threshold else None for pair in mined]
