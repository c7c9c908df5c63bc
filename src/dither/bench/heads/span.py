"""A span of a context that answers a question."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dither.bench.task import Task

AUTO_MODEL = "AutoModelForQuestionAnswering"
OUTPUTS = 2
MAX_ANSWER_TOKENS = 30


def config(task: Task) -> dict[str, Any]:
    """Start and end logits: nothing to set."""
    return {}


def encode(
    task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    """Tokenise question and context; the context's end is cut where the two are too long.

    A question that leaves no room for its context is cut, too. An answer that was cut off trains towards
    the first token. `row_spans` holds, for each token, the characters of the context that it covers, or
    None.
    """
    question, context, answers = task.columns
    if not tokenizer.is_fast:
        raise ValueError(
            f"task {task.name!r} cuts answers out of texts and needs a fast tokenizer, which knows where its "
            f"tokens stand; {type(tokenizer).__name__} is slow: save the model with a tokenizer.json"
        )
    tokenizer.truncation_side = "right"
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    inputs = []
    for row in rows:
        asked = tokenizer(row[question], add_special_tokens=False)["input_ids"]
        tokens = tokenizer(
            row[question],
            row[context],
            truncation="only_second" if len(asked) < room else "longest_first",
            max_length=max_length,
            return_offsets_mapping=True,
        )
        offsets = tokens.pop("offset_mapping")
        spans = [
            span if part == 1 else None for span, part in zip(offsets, tokens.sequence_ids(), strict=True)
        ]
        start, end = _token_span(spans, row[answers])
        inputs.append(dict(tokens) | {"start_positions": start, "end_positions": end, "row_spans": spans})
    return inputs


def _token_span(spans: Sequence[tuple[int, int] | None], answers: dict[str, list[Any]]) -> tuple[int, int]:
    """First and last token of the first answer; (0, 0) where it is not wholly there."""
    if not answers["text"]:
        return 0, 0
    first = answers["answer_start"][0]
    last = first + len(answers["text"][0])
    covered = [at for at, span in enumerate(spans) if span and span[0] < last and span[1] > first]
    whole = covered and spans[covered[0]][0] <= first and spans[covered[-1]][1] >= last  # type: ignore[index]
    return (covered[0], covered[-1]) if whole else (0, 0)


def collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad at the end to the longest input of a batch; what is only for decoding stays out."""
    from transformers import DataCollatorWithPadding

    tokenizer.padding_side = "right"  # some decoders' files say left, which would move every token
    pad = DataCollatorWithPadding(tokenizer)

    def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
        return pad([{key: value for key, value in one.items() if key != "row_spans"} for one in features])

    return collate


def decode(
    task: Task, outputs: Any, features: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[str]:
    """The context's text under the span with the highest sum of start and end logits; two (rows, tokens)."""
    context = task.columns[1]
    starts, ends = outputs
    answers = []
    for i, (one, row) in enumerate(zip(features, rows, strict=True)):
        inside = np.array([span is not None for span in one["row_spans"]])
        if not inside.any():
            answers.append("")
            continue
        scores = _span_scores(starts[i, : len(inside)], ends[i, : len(inside)], inside)
        first, last = np.unravel_index(scores.argmax(), scores.shape)
        # Tokens of some tokenizers cover the space before their word.
        answers.append(row[context][one["row_spans"][first][0] : one["row_spans"][last][1]].strip())
    return answers


def _span_scores(starts: np.ndarray, ends: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(tokens, tokens): start + end where the span lies in the context and is short enough, else −inf."""
    at = np.arange(len(inside))
    length = at[None, :] - at[:, None]
    allowed = inside[:, None] & inside[None, :] & (length >= 0) & (length < MAX_ANSWER_TOKENS)
    return np.where(allowed, starts[:, None] + ends[None, :], -np.inf)
