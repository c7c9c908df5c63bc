"""What a trained model predicts on every evaluation of its task, and what that scores."""

from collections.abc import Sequence
from typing import Any

from dither.bench.encoding import Encoded
from dither.bench.heads import HEADS
from dither.bench.request import RunRequest
from dither.bench.scores import Scores, score


def evaluate(
    request: RunRequest, encoded: Encoded, trainer: Any
) -> tuple[dict[str, list[Any]], Scores, str | None]:
    """Predictions and scores on every evaluation, and why the run failed if it did."""
    import numpy as np

    task, head = request.task, HEADS[request.task.head]
    predictions: dict[str, list[Any]] = {}
    failure = None
    for name, split in task.evaluation.items():
        features = encoded.features[split]
        outputs = trainer.predict(features).predictions
        parts: Sequence[Any] = outputs if isinstance(outputs, tuple) else (outputs,)
        parts = parts[: head.OUTPUTS]  # encoder-decoders add their hidden states
        if not all(np.isfinite(part).all() for part in parts):
            failure = f"outputs on {name} are not finite"
        predictions[name] = head.decode(task, parts, features, encoded.data.splits[split])
    rows = {name: encoded.data.splits[split] for name, split in task.evaluation.items()}
    scores = score(task, predictions, rows, train=encoded.data.splits[task.train])
    if failure is None and not scores.score > scores.constant_score:
        failure = (
            f"score {scores.score:.2f} is not above the constant predictor's {scores.constant_score:.2f}"
        )
    return predictions, scores, failure
