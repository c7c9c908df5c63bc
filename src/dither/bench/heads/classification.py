"""One label for a text or a pair of texts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dither.bench.runs.features import Features
from dither.bench.tasks.task import Task

AUTO_MODEL = "AutoModelForSequenceClassification"
OUTPUTS = 1

_AT_ONCE = 1024  # rows that the tokenizer gets: enough for its threads, and few to hold as lists


def config(task: Task) -> dict[str, Any]:
    """As many outputs as labels, under their names."""
    return {
        "num_labels": len(task.labels),
        "id2label": dict(enumerate(task.labels)),
        "label2id": {label: number for number, label in enumerate(task.labels)},
        "problem_type": "single_label_classification",
    }


def encode(task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int) -> Features:
    """Tokenise the text columns, the longer of a pair cut first."""
    return Features.of(encode_texts(task, rows, tokenizer, max_length))


def encode_texts(
    task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int
) -> Iterator[dict[str, Any]]:
    """Tokens of one or two text columns, with the label of the row."""
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        texts = [[row[column] for row in some] for column in task.columns]
        tokens = tokenizer(*texts, truncation=True, max_length=max_length)
        for at, row in enumerate(some):
            yield {name: values[at] for name, values in tokens.items()} | {"labels": row[task.label]}


def collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad to the longest input of a batch, on the tokenizer's side."""
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(tokenizer)


def decode(
    task: Task, outputs: Any, features: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[int]:
    """The label with the highest logit; (rows, labels) -> (rows,)."""
    (logits,) = outputs
    return [int(label) for label in logits.argmax(axis=-1)]
