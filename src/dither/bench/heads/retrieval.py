"""Which sentence of one language translates one of another, by the states of a model trained otherwise.

Nothing is put on the backbone: the model has the head of the task that it was trained on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dither.bench.runs.features import Features
from dither.bench.scoring.margin import best_targets, mined_pairs, unit_rows
from dither.bench.tasks.task import Task

AUTO_MODEL = "AutoModel"
OUTPUTS = 1


def config(task: Task) -> dict[str, Any]:
    """Nothing to set."""
    return {}


def encode(task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int) -> Features:
    """Tokenise every sentence once, whichever rows and sides it stands in."""
    texts = sentences(task, rows)
    if not texts:
        return Features.of([])
    tokens = tokenizer(
        texts,
        truncation=True,
        max_length=max_length,
        return_attention_mask=True,
        return_special_tokens_mask=True,
    )
    return Features.of(
        dict(zip(tokens.keys(), values, strict=True)) for values in zip(*tokens.values(), strict=True)
    )


def sentences(task: Task, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The different sentences of some rows, in order.

    Example:
        >>> from dither.bench.tasks.files import load_task
        >>> rows = [{"source": "a", "target": "b"}, {"source": "a", "target": None}]
        >>> sentences(load_task("builtin/mining"), rows)
        ['a', 'b']
    """
    found = dict.fromkeys(row[column] for row in rows for column in task.columns)
    return [text for text in found if text is not None]


def collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad at the end to the longest input of a batch."""
    from transformers import DataCollatorWithPadding

    tokenizer.padding_side = "right"  # some decoders' files say left, which would move every token
    return DataCollatorWithPadding(tokenizer)


def decode(
    task: Task, outputs: Any, features: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[Any]:
    """For each row the number of the row whose target fits its source best; (sentences, width).

    Of rows with the same target the first stands for all. None where there is no source. Where pairs are
    mined, the score of the pair stands beside the number, and None where nothing is left for a source.
    """
    (states,) = outputs
    assert task.retrieval is not None
    units = dict(zip(sentences(task, rows), unit_rows(states), strict=True))
    source, target = task.columns
    asked = [text for text in dict.fromkeys(row[source] for row in rows) if text is not None]
    first: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row[target] is not None:
            first.setdefault(row[target], number)
    if not asked or not first:
        return [None] * len(rows)
    sides = np.stack([units[text] for text in asked]), np.stack([units[text] for text in first])
    numbers = list(first.values())
    answers: dict[str | None, Any]
    if task.retrieval.threshold_split:
        mined = mined_pairs(*sides, task.retrieval)
        answers = {
            text: pair and (numbers[pair[0]], pair[1]) for text, pair in zip(asked, mined, strict=True)
        }
    else:
        found = best_targets(*sides, task.retrieval)
        answers = {text: numbers[at] for text, at in zip(asked, found, strict=True)}
    return [answers.get(row[source]) for row in rows]
