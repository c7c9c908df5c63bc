"""What a trained model predicts on every evaluation of its task, and what that scores."""

from collections.abc import Sequence
from typing import Any

from dither.bench.encoding import Encoded
from dither.bench.heads import HEADS
from dither.bench.margin import above, best_threshold
from dither.bench.request import RunRequest
from dither.bench.scores import Scores, own_answers, score
from dither.bench.task import Task


def evaluate(
    request: RunRequest, encoded: Encoded, trainer: Any
) -> tuple[dict[str, list[Any]], Scores, str | None]:
    """Predictions and scores on every evaluation, and why the run failed if it did."""
    from dither.bench.states import reading

    task, splits = request.task, encoded.data.splits
    predictor = reading(request, trainer) if task.retrieval else trainer
    predictions: dict[str, list[Any]] = {}
    failure = None
    for name, split in task.evaluation.items():
        predictions[name], finite = _predicted(task, encoded, predictor, split)
        if not finite:
            failure = f"outputs on {name} are not finite"
        if task.retrieval and (shown := task.retrieval.threshold_for(split)):
            found, _ = _predicted(task, encoded, predictor, shown)
            threshold = best_threshold(found, own_answers(task, splits[shown]))
            predictions[name] = above(predictions[name], threshold)
    rows = {name: splits[split] for name, split in task.evaluation.items()}
    train = [row for split in task.train_splits for row in splits[split]]
    scores = score(task, predictions, rows, train=train)
    if failure is None and not scores.score > scores.constant_score:
        failure = (
            f"score {scores.score:.2f} is not above the constant predictor's {scores.constant_score:.2f}"
        )
    return predictions, scores, failure


def _predicted(task: Task, encoded: Encoded, predictor: Any, split: str) -> tuple[list[Any], bool]:
    """What the head makes of a split, and whether all outputs are finite."""
    import numpy as np

    head, features = HEADS[task.head], encoded.features[split]
    outputs = predictor.predict(features).predictions
    parts: Sequence[Any] = outputs if isinstance(outputs, tuple) else (outputs,)
    parts = parts[: head.OUTPUTS]  # encoder-decoders add their hidden states
    finite = all(np.isfinite(part).all() for part in parts)
    return head.decode(task, parts, features, encoded.data.splits[split]), finite
