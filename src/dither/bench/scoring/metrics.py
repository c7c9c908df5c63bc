"""Metrics of tasks, as the official scorers compute them; none ever warns or returns NaN.

scikit-learn, scipy and seqeval do the arithmetic where they hold the official definition.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dither.bench.scoring.answers import Normal, exact_share, mean_f1, normalize_answer, normalize_in
from dither.bench.tasks.keys import nearest

Function = Callable[[Sequence[Any], Sequence[Any]], float]
_CONSTANT = 1e-13  # below this share of its mean, scipy too calls the spread of an array rounding noise


def _sklearn(name: str, **options: Any) -> Function:
    def metric(gold: Sequence[Any], predicted: Sequence[Any]) -> float:
        import sklearn.metrics

        return float(getattr(sklearn.metrics, name)(gold, predicted, **options))

    return metric


def _matthews(gold: Sequence[int], predicted: Sequence[int]) -> float:
    varied = len(set(gold)) > 1 and len(set(predicted)) > 1
    return _sklearn("matthews_corrcoef")(gold, predicted) if varied else 0.0


def _correlation(name: str) -> Function:
    def metric(gold: Sequence[float], predicted: Sequence[float]) -> float:
        import scipy.stats

        arrays = np.asarray(gold, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
        for values in arrays:
            mean = values.mean()
            if not np.isfinite(values).all() or np.linalg.norm(values - mean) <= _CONSTANT * abs(mean):
                return 0.0
        return float(getattr(scipy.stats, name)(*arrays).statistic)

    return metric


def _entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    from seqeval.metrics import f1_score

    # A word lost to truncation is outside every predicted entity: its gold entity counts as missed.
    padded = [[*tags, *["O"] * (len(true) - len(tags))] for true, tags in zip(gold, predicted, strict=True)]
    return float(f1_score([list(true) for true in gold], padded, average="micro", zero_division=0))


def _tag_accuracy(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    pairs = zip(gold, predicted, strict=True)
    # zip stops at the shorter list, which is the prediction: lost words count in the denominator alone.
    right = sum(true == tag for truth, tags in pairs for true, tag in zip(truth, tags, strict=False))
    return right / max(1, sum(len(truth) for truth in gold))


def _tag_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* seems not to be NE tag", category=UserWarning)
        return _entity_f1(gold, predicted)


def _retrieval_accuracy(gold: Sequence[int | None], predicted: Sequence[int | None]) -> float:
    return sum(true == said for true, said in zip(gold, predicted, strict=True)) / max(1, len(gold))


def _mining_f1(gold: Sequence[int | None], predicted: Sequence[int | None]) -> float:
    right = sum(true is not None and true == said for true, said in zip(gold, predicted, strict=True))
    both = sum(true is not None for true in gold) + sum(said is not None for said in predicted)
    return 2 * right / max(1, both)


def _lost_words(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    pairs = zip(gold, predicted, strict=True)
    lost = sum(len(truth) - len(tags) for truth, tags in pairs)
    return lost / max(1, sum(len(truth) for truth in gold))


@dataclass(frozen=True)
class Metric:
    """One metric: the heads it fits, `function(gold, predicted)`, and what a task's labels must be.

    One that `scores` may be primary; another is reported alone, because a greater value is no better.
    `by_language` gives the function for texts of one language, where that makes a difference; `normal_in`
    the rule by which it compares answers in a language.
    """

    name: str
    heads: tuple[str, ...]
    function: Function
    summary: str
    needs: tuple[str, Callable[[Sequence[str]], bool]] = ("", lambda labels: True)
    by_language: Callable[[str], Function] | None = None
    scores: bool = True
    normal_in: Callable[[str], Normal] | None = None

    def of(self, language: str) -> Function:
        """The function for texts of a language, "" where none is given."""
        return self.by_language(language) if self.by_language else self.function


_CLASSES, _VALUES, _TAGS, _SPANS = ("classification",), ("regression",), ("tagging",), ("span",)
_PAIRS = ("retrieval",)
_BINARY, _MACRO = ({"average": kind, "zero_division": 0} for kind in ("binary", "macro"))
_TWO = ("two labels", lambda labels: len(labels) == 2)
_IOB = (
    "entity tags: O, B-X, I-X (also E-X, S-X)",
    lambda labels: "O" in labels and all(x == "O" or re.fullmatch("[BIES]-.+", x) for x in labels),
)


def _answers(
    name: str, score: Callable[..., float], summary: str, normal_in: Callable[[str], Normal]
) -> Metric:
    def in_language(language: str) -> Function:
        return lambda gold, predicted: score(gold, predicted, normal_in(language))

    return Metric(name, _SPANS, in_language(""), summary, by_language=in_language, normal_in=normal_in)


def _squad(language: str) -> Normal:
    return normalize_answer


_ROWS = (
    Metric("accuracy", _CLASSES, _sklearn("accuracy_score"), "share of right labels"),
    Metric("f1", _CLASSES, _sklearn("f1_score", **_BINARY), "F1 of the second label", _TWO),
    Metric("macro_f1", _CLASSES, _sklearn("f1_score", **_MACRO), "mean of the F1 of each label that occurs"),
    Metric("matthews", _CLASSES, _matthews, "Matthews correlation"),
    Metric("pearson", _VALUES, _correlation("pearsonr"), "Pearson correlation"),
    Metric("spearman", _VALUES, _correlation("spearmanr"), "Spearman rank correlation"),
    Metric("entity_f1", _TAGS, _entity_f1, "F1 over whole entities (seqeval)", _IOB),
    Metric(
        "tag_f1",
        _TAGS,
        _tag_f1,
        "F1 over runs of one tag, as seqeval takes tags of any kind (XTREME's UD-POS)",
    ),
    Metric("tag_accuracy", _TAGS, _tag_accuracy, "share of words with the right tag"),
    Metric("lost_words", _TAGS, _lost_words, "share of words cut off at the end: wrong ones", scores=False),
    _answers("squad_f1", mean_f1, "F1 over the words of the best-fitting gold answer", _squad),
    _answers("exact_match", exact_share, "share of answers equal to a gold answer", _squad),
    _answers(
        "mlqa_f1",
        mean_f1,
        "squad_f1 with MLQA's articles, punctuation and words of the language",
        normalize_in,
    ),
    _answers("mlqa_exact_match", exact_share, "exact_match by the rule of mlqa_f1", normalize_in),
    Metric(
        "retrieval_accuracy", _PAIRS, _retrieval_accuracy, "share of sources whose best target is their own"
    ),
    Metric("mining_f1", _PAIRS, _mining_f1, "F1 over the pairs that reach the threshold (BUCC)"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ROWS}


def check_metric(name: str, head: str, labels: Sequence[str]) -> None:
    """Raise ValueError unless the metric exists, fits the head, and can read these labels."""
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; {nearest(name, METRICS)}")
    metric = METRICS[name]
    if head not in metric.heads:
        fitting = ", ".join(row.name for row in _ROWS if head in row.heads)
        raise ValueError(f"metric {name!r} does not fit head {head!r}; metrics that do: {fitting}")
    need, fits = metric.needs
    if not fits(labels):
        raise ValueError(f"metric {name!r} needs {need}; the labels are {list(labels)}")
