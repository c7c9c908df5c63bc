"""One tag for each word: the first sub-token speaks for its word."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dither.bench.runs.features import Features
from dither.bench.tasks.task import Task

AUTO_MODEL = "AutoModelForTokenClassification"
OUTPUTS = 1
IGNORED = -100
"""The label of tokens that train nothing: special ones and those that continue a word."""


def config(task: Task) -> dict[str, Any]:
    """As many outputs as tags, under their names."""
    return {
        "num_labels": len(task.labels),
        "id2label": dict(enumerate(task.labels)),
        "label2id": {label: number for number, label in enumerate(task.labels)},
    }


def encode(task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int) -> Features:
    """Tokenise words; `labels` holds a tag at the first sub-token of each word.

    `row_words` holds, at the same tokens, the number of the word, and -1 elsewhere; `row_whole` how many
    words of the row were not cut off at its end.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"task {task.name!r} tags words and needs a fast tokenizer, which knows its words; "
            f"{type(tokenizer).__name__} is slow: save the model with a tokenizer.json"
        )
    tokenizer.truncation_side = "right"  # decode takes what is missing for the end of the row
    return Features.of(_inputs(task, rows, tokenizer, max_length))


def _inputs(
    task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int
) -> Iterator[dict[str, Any]]:
    words_column = task.columns[0]
    numbers = {tag: number for number, tag in enumerate(task.labels)}
    for row in rows:
        given = {"is_split_into_words": True, "truncation": True, "max_length": max_length}
        tokens = tokenizer(row[words_column], **given)
        words = tokens.word_ids()
        starts = [
            -1 if word in (None, before) else word
            for word, before in zip(words, [None, *words[:-1]], strict=True)
        ]
        tags = [IGNORED if word < 0 else numbers[row[task.label][word]] for word in starts]
        whole = len(row[words_column])
        if len(words) >= max_length:  # it may be cut off: before the next word that has a token
            parts = tokenizer(row[words_column], return_overflowing_tokens=True, **given)
            lost = [word for part in parts.encodings[1:] for word in part.word_ids if word is not None]
            whole = min((word for word in lost if word > max(starts)), default=whole)
        yield dict(tokens) | {"labels": tags, "row_words": starts, "row_whole": whole}


def collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad tokens and labels at their end to the longest input of a batch."""
    from transformers import DataCollatorForTokenClassification

    tokenizer.padding_side = "right"  # some decoders' files say left, which would move every token
    pad = DataCollatorForTokenClassification(tokenizer)

    def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
        return dict(pad([{key: one[key] for key in one if not key.startswith("row_")} for one in features]))

    return collate


def decode(
    task: Task, outputs: Any, features: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[list[str]]:
    """The tag with the highest logit for each word; (rows, tokens, tags) -> lists.

    Words cut off at the end are left out. A word without a token, such as one of invisible characters
    alone, gets O, or the task's first tag, wherever it stands.
    """
    (logits,) = outputs
    best = logits.argmax(axis=-1)
    unseen = "O" if "O" in task.labels else task.labels[0]
    tagged = []
    for i, one in enumerate(features):
        tags = {word: task.labels[best[i, at]] for at, word in enumerate(one["row_words"]) if word >= 0}
        tagged.append([tags.get(word, unseen) for word in range(one["row_whole"])])
    return tagged
