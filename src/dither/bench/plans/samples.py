"""Samples of a plan's data, tokenised: enough to time steps on, and to tell how large batches are."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dither.bench.data.loading import TaskData
from dither.bench.data.rows import Row
from dither.bench.runs.encoding import encoded_from
from dither.bench.runs.features import Features
from dither.bench.runs.request import RunRequest
from dither.bench.runs.shared_data import write_encoded
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.task import Task

TRAINED, EVALUATED = 1024, 512
"""Rows of a sample at most: of all train splits, and of all that are predicted on."""
_LEAST = 16  # rows of a split
_MEGABATCH = 50  # batches among which the Trainer sorts by length


@dataclass(frozen=True)
class Sample:
    """The sample of a run's data.

    Attributes:
        folder: that holds it, tokenised.
        trained: inputs that train, for each row of the train splits.
        evaluated: tokens that are evaluated, for each row of the predicted splits.
        evaluated_inputs: inputs likewise.
        tokens: of a step's batch with padding, on the mean.
        encoding: seconds to tokenise a row, by the clock and of the processor.
    """

    folder: str
    trained: float
    evaluated: float
    evaluated_inputs: float
    tokens: float
    encoding: tuple[float, float]

    @classmethod
    def of(cls, request: RunRequest, data: TaskData, folder: Path) -> "Sample":
        """Tokenise a sample of a task's data and write it into a new folder.

        Args:
            request: whose task, tokenizer and recipe it is for.
            data: of its task.
            folder: to be made.

        Raises:
            OSError: it cannot be written.
        """
        task, some = request.task, _sample(request.task, data)
        clock, processor = time.perf_counter(), time.process_time()
        encoded = encoded_from(request, some)
        took = time.perf_counter() - clock, time.process_time() - processor
        folder.mkdir()
        write_encoded(folder, encoded)
        rows = {split: len(found) for split, found in some.splits.items()}
        shown = [encoded.features[split] for split in task.predicted]
        predicted = max(1, sum(rows[split] for split in task.predicted))
        lengths = train_lengths(task, encoded.features)
        encoding = tuple(seconds / max(1, sum(rows.values())) for seconds in took)
        return cls(
            str(folder),
            trained=len(lengths) / max(1, sum(rows[split] for split in task.train_splits)),
            evaluated=sum(int(each.lengths.sum()) for each in shown) / predicted,
            evaluated_inputs=sum(map(len, shown)) / predicted,
            tokens=step_tokens(lengths, request.recipe),
            encoding=(encoding[0], encoding[1]),
        )


def train_lengths(task: Task, features: Mapping[str, Features]) -> np.ndarray:
    """How many tokens each input of the train splits has."""
    return np.concatenate([features[split].lengths for split in task.train_splits])


def step_tokens(lengths: np.ndarray, recipe: Recipe) -> float:
    """Tokens that a step computes, with padding: the mean over an epoch.

    Args:
        lengths: of the inputs that train, or of a sample of them.
        recipe: how batches are made.

    Example:
        >>> recipe = Recipe(learning_rate=1e-5, epochs=1, batch_size=2, max_length=64)
        >>> step_tokens(np.array([8, 8, 8, 8]), recipe)
        16.0
        >>> step_tokens(np.array([4, 16] * 8), replace(recipe, group_by_length=True))
        20.0
    """
    order = np.random.default_rng(0).permutation(lengths)
    if recipe.group_by_length:
        size = _MEGABATCH * recipe.batch_size
        order = np.concatenate([np.sort(order[at : at + size]) for at in range(0, len(order), size)])
    rows = max(1, recipe.batch_size // recipe.gradient_accumulation)
    parts = (order[at : at + rows] for at in range(0, len(order), rows))
    return float(sum(len(part) * part.max() for part in parts) / -(-len(order) // recipe.batch_size))


def _sample(task: Task, data: TaskData) -> TaskData:
    """Some rows of each split, from all over it."""
    number = {True: len(task.train_splits), False: len(task.predicted)}
    most = {split: TRAINED if split in task.train_splits else EVALUATED for split in data.splits}
    return replace(
        data,
        splits={
            split: _spread(rows, max(_LEAST, most[split] // max(1, number[split in task.train_splits])))
            for split, rows in data.splits.items()
        },
    )


def _spread(rows: Sequence[Row], most: int) -> list[Row]:
    count = min(len(rows), most)
    return [rows[at * len(rows) // count] for at in range(count)]
