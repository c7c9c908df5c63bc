"""The inputs of a task for one tokenizer, made once and kept for further runs."""

from dataclasses import dataclass

from dither.bench.data import TaskData, load
from dither.bench.heads import HEADS, Features
from dither.bench.models import load_tokenizer
from dither.bench.request import RunRequest

_KEPT = 8  # tokenised tasks that a process keeps for its next runs
_ENCODED: dict[tuple[object, ...], "Encoded"] = {}


@dataclass(frozen=True)
class Encoded:
    """The inputs of a task for one tokenizer, and its rows, by split."""

    data: TaskData
    features: dict[str, Features]


def encode(request: RunRequest) -> Encoded:
    """Load and tokenise the data of a request; kept for the next run of the same process."""
    encoded = _encode(request)
    if encoded.data.digest != request.spec.data_digest:
        raise ValueError(
            f"the data of task {request.task.name!r} changed since this comparison was planned; use another "
            "--out for the new data, or put the old files back"
        )
    return encoded


def _encode(request: RunRequest) -> Encoded:
    task, max_length = request.task, request.recipe.max_length
    key = (task.digest, request.spec.data_digest, request.source.digest, max_length)
    if key not in _ENCODED:
        data = load(task, request.data_dir)
        tokenizer = load_tokenizer(request.source)
        features = {}
        for split, rows in data.splits.items():
            reader = task.reader(split)
            features[split] = HEADS[reader.head].encode(reader, rows, tokenizer, max_length)
        if data.digest != request.spec.data_digest:
            return Encoded(data, features)
        while len(_ENCODED) >= _KEPT:
            _ENCODED.pop(next(iter(_ENCODED)))
        _ENCODED[key] = Encoded(data, features)
    return _ENCODED[key]
