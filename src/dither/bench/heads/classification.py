"""One label for a text or a pair of texts."""

from collections.abc import Callable, Sequence
from typing import Any

from dither.bench.task import Task

AUTO_MODEL = "AutoModelForSequenceClassification"
OUTPUTS = 1


def config(task: Task) -> dict[str, Any]:
    """As many outputs as labels, under their names."""
    return {
        "num_labels": len(task.labels),
        "id2label": dict(enumerate(task.labels)),
        "label2id": {label: number for number, label in enumerate(task.labels)},
        "problem_type": "single_label_classification",
    }


def encode(
    task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    """Tokenise the text columns, the longer of a pair cut first."""
    return encode_texts(task, rows, tokenizer, max_length)


def encode_texts(
    task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    """Tokens of one or two text columns, with the label of the row."""
    if not rows:
        return []
    texts = [[row[column] for row in rows] for column in task.columns]
    tokens = tokenizer(*texts, truncation=True, max_length=max_length)
    inputs = [dict(zip(tokens.keys(), values, strict=True)) for values in zip(*tokens.values(), strict=True)]
    return [one | {"labels": row[task.label]} for one, row in zip(inputs, rows, strict=True)]


def collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad to the longest input of a batch."""
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(tokenizer)


def decode(
    task: Task, outputs: Any, features: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[int]:
    """The label with the highest logit; (rows, labels) -> (rows,)."""
    (logits,) = outputs
    return [int(label) for label in logits.argmax(axis=-1)]
