"""One tag for each word: the first sub-token speaks for its word."""

from collections.abc import Callable, Sequence
from typing import Any

from dither.bench.task import Task

AUTO_MODEL = "AutoModelForTokenClassification"
IGNORED = -100
"""The label of tokens that train nothing: special ones and those that continue a word."""


def config(task: Task) -> dict[str, Any]:
    """As many outputs as tags, under their names."""
    return {
        "num_labels": len(task.labels),
        "id2label": dict(enumerate(task.labels)),
        "label2id": {label: number for number, label in enumerate(task.labels)},
    }


def encode(
    task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    """Tokenise words; `labels` holds a tag at the first sub-token of each word."""
    words_column = task.columns[0]
    numbers = {tag: number for number, tag in enumerate(task.labels)}
    if not tokenizer.is_fast:
        raise ValueError(
            f"task {task.name!r} tags words and needs a fast tokenizer, which knows its words; "
            f"{type(tokenizer).__name__} is slow: save the model with a tokenizer.json"
        )
    inputs = []
    for row in rows:
        tokens = tokenizer(
            row[words_column], is_split_into_words=True, truncation=True, max_length=max_length
        )
        words = tokens.word_ids()
        starts = [
            word is not None and word != before for word, before in zip(words, [None, *words], strict=False)
        ]
        tags = [
            numbers[row[task.label][word]] if start else IGNORED
            for word, start in zip(words, starts, strict=True)
        ]
        inputs.append(dict(tokens) | {"labels": tags})
    return inputs


def collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad tokens and labels to the longest input of a batch."""
    from transformers import DataCollatorForTokenClassification

    return DataCollatorForTokenClassification(tokenizer)


def decode(
    task: Task, outputs: Any, features: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[list[str]]:
    """The tag with the highest logit for each word that was not cut off; (rows, tokens, tags) -> lists."""
    best = outputs.argmax(axis=-1)
    return [
        [task.labels[best[i, at]] for at, label in enumerate(one["labels"]) if label != IGNORED]
        for i, one in enumerate(features)
    ]
