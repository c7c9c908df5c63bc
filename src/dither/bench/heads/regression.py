"""One number for a text or a pair of texts, by least squares."""

from collections.abc import Sequence
from typing import Any

from dither.bench.heads.classification import AUTO_MODEL, OUTPUTS, collator, encode_texts
from dither.bench.runs.features import Features
from dither.bench.tasks.task import Task

__all__ = ["AUTO_MODEL", "OUTPUTS", "collator", "config", "decode", "encode"]


def config(task: Task) -> dict[str, Any]:
    """One output."""
    return {"num_labels": 1, "problem_type": "regression"}


def encode(task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int) -> Features:
    """Tokenise the text columns; labels are numbers."""
    inputs = encode_texts(task, rows, tokenizer, max_length)
    return Features.of(one | {"labels": float(one["labels"])} for one in inputs)


def decode(
    task: Task, outputs: Any, features: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[float]:
    """The output as it is; (rows, 1) -> (rows,)."""
    (values,) = outputs
    return [float(value) for value in values.reshape(-1)]
