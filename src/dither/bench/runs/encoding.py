"""What a run needs of a task's data for one tokenizer: made once, kept for further runs of the process."""

from dataclasses import dataclass

from dither.bench.data.loading import TaskData, load
from dither.bench.data.rows import Row
from dither.bench.heads import HEADS
from dither.bench.models.loading import load_tokenizer
from dither.bench.runs.features import Features
from dither.bench.runs.request import RunRequest
from dither.bench.scoring.scores import constant_score

_KEPT = 8  # tokenised tasks that a process keeps for its next runs
_ENCODED: dict[tuple[object, ...], "Encoded"] = {}


@dataclass(frozen=True)
class Encoded:
    """The data of a task for one tokenizer.

    Attributes:
        features: the inputs of every split, or of all but the train splits.
        rows: of the splits that are evaluated; those of train are in the inputs and needed no more.
        constant_score: points of the best constant predictor.
    """

    features: dict[str, Features]
    rows: dict[str, list[Row]]
    constant_score: float


def encode(request: RunRequest, *, trains: bool = True) -> Encoded:
    """The data of a request: from the file that holds it, or loaded and tokenised; kept for the next run.

    Args:
        request: of a run.
        trains: whether inputs of the train splits are needed; not so where the training is another run's.

    Raises:
        ValueError: the data are no longer those of the request, or the file cannot be read.
    """
    # A sample of the data, on which beginnings of runs are timed, lies in a file of its own.
    key, whole = ((*encoding_key(request, trains=each), request.encoded) for each in (trains, True))
    if whole in _ENCODED:
        return _ENCODED[whole]
    if key not in _ENCODED:
        encoded = _encoded(request, trains=trains)
        while len(_ENCODED) >= _KEPT:
            _ENCODED.pop(next(iter(_ENCODED)))
        _ENCODED[key] = encoded
    return _ENCODED[key]


def encoding_key(request: RunRequest, *, trains: bool = True) -> tuple[object, ...]:
    """What the encoded data of a run depend on, with inputs of the train splits or without."""
    spec = request.spec
    return spec.task_digest, spec.data_digest, spec.model_digest, request.recipe.max_length, trains


def _encoded(request: RunRequest, *, trains: bool) -> Encoded:
    if request.encoded is not None:
        from dither.bench.runs.shared_data import read_encoded

        return read_encoded(request.encoded)
    return encoded_from(request, load(request.task, request.data_dir), trains=trains)


def encoded_from(request: RunRequest, data: TaskData, *, trains: bool = True) -> Encoded:
    """Tokenise the rows of a task for a request.

    Args:
        request: whose tokenizer and length they are for.
        data: of its task.
        trains: also the rows of the train splits.

    Raises:
        ValueError: the data are other ones than the request's.
    """
    task = request.task
    if data.digest != request.spec.data_digest:
        raise ValueError(
            f"the data of task {task.name!r} changed since this comparison was planned; use another "
            "--out for the new data, or put the old files back"
        )
    tokenizer, features = load_tokenizer(request.source), {}
    wanted = [split for split in data.splits if trains or split not in task.train_splits]
    for split in wanted:
        reader, rows = task.reader(split), data.splits[split]
        features[split] = HEADS[reader.head].encode(reader, rows, tokenizer, request.recipe.max_length)
    read = {split: rows for split, rows in data.splits.items() if split not in task.train_splits}
    evaluated = {name: read[split] for name, split in task.evaluation.items()}
    trained = [row for split in task.train_splits for row in data.splits[split]]
    return Encoded(features, read, constant_score(task, trained, evaluated))
