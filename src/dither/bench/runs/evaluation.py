"""What a trained model predicts on every evaluation of its task, and what that scores."""

from typing import Any

import numpy as np

from dither.bench.heads import HEADS
from dither.bench.runs.encoding import Encoded
from dither.bench.runs.features import Features
from dither.bench.runs.precision import in_float32
from dither.bench.runs.request import RunRequest
from dither.bench.scoring.margin import above, best_threshold
from dither.bench.scoring.scores import Scores, own_answers, score
from dither.bench.tasks.task import Task


def evaluate(
    request: RunRequest, encoded: Encoded, trainer: Any
) -> tuple[dict[str, list[Any]], Scores, str | None]:
    """Predictions and scores on every evaluation, and why the run failed if it did."""
    task, rows = request.task, encoded.rows
    predictor = predictor_of(request, trainer)
    predictions: dict[str, list[Any]] = {}
    failure = None
    for name, split in task.evaluation.items():
        predictions[name], finite = _predicted(task, encoded, predictor, split)
        if not finite:
            failure = f"outputs on {name} are not finite"
        if task.retrieval and (shown := task.retrieval.threshold_for(split)):
            found, _ = _predicted(task, encoded, predictor, shown)
            threshold = best_threshold(found, own_answers(task, rows[shown]))
            predictions[name] = above(predictions[name], threshold)
    evaluated = {name: rows[split] for name, split in task.evaluation.items()}
    scores = score(task, predictions, evaluated, constant=encoded.constant_score)
    if failure is None and not scores.score > scores.constant_score:
        failure = (
            f"score {scores.score:.2f} is not above the constant predictor's {scores.constant_score:.2f}"
        )
    return predictions, scores, failure


def predictor_of(request: RunRequest, trainer: Any) -> Any:
    """What predicts the outputs of the request's head: the trainer, or one that reads its model's states."""
    if not request.task.retrieval:
        return trainer
    from dither.bench.models.states import reading

    return reading(request, trainer)


def _predicted(task: Task, encoded: Encoded, predictor: Any, split: str) -> tuple[list[Any], bool]:
    """What the head makes of a split, and whether all outputs are finite."""
    head, features = HEADS[task.head], encoded.features[split]
    outputs = outputs_of(predictor, features, head.OUTPUTS)
    finite = all(np.isfinite(part).all() for part in outputs)
    return head.decode(task, outputs, features, encoded.rows[split]), finite


def outputs_of(trainer: Any, features: Features, count: int) -> tuple[np.ndarray, ...]:
    """The model's first outputs for every input, in order; batches of like lengths, which pad little."""
    from torch.utils.data import Subset

    in_float32(trainer)
    # A Trainer that groups its training by length would shuffle what it evaluates, too.
    trainer.args.train_sampling_strategy = "random"
    order = np.argsort(-features.lengths, kind="stable")
    inputs: Any = features
    outputs = trainer.predict(Subset(inputs, order.tolist())).predictions
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    # Encoder-decoders add their hidden states.
    return tuple(part[np.argsort(order)] for part in parts[:count])
