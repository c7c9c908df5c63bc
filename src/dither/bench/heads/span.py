"""A span of a context that answers a question."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dither.bench.runs.features import Features
from dither.bench.tasks.task import Task

AUTO_MODEL = "AutoModelForQuestionAnswering"
OUTPUTS = 2
MAX_ANSWER_TOKENS = 30
N_BEST = 20
"""Answers of each input that are candidates; the best of them that is not empty is the prediction."""

Span = tuple[int, int]
OUTSIDE: Span = (-1, -1)
"""Where a token stands that is not of the context."""

_FOR_DECODING = ("offset_mapping", "overflow_to_sample_mapping")


def config(task: Task) -> dict[str, Any]:
    """Start and end logits: nothing to set."""
    return {}


def encode(task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int) -> Features:
    """Tokenise question and context; a context that is too long becomes several inputs that overlap.

    Neighbours share a third of `max_length`, at most half of the room beside the question. A question is cut
    to half of the input. An answer that is not wholly in an input trains it towards the first token.
    `row_number` holds the number of the row; `row_starts` and `row_ends`, for each token, which characters of
    the context it covers, or -1.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"task {task.name!r} cuts answers out of texts and needs a fast tokenizer, which knows where its "
            f"tokens stand; {type(tokenizer).__name__} is slow: save the model with a tokenizer.json"
        )
    tokenizer.truncation_side = "right"
    return Features.of(_inputs(task, rows, tokenizer, max_length))


def _inputs(
    task: Task, rows: Sequence[dict[str, Any]], tokenizer: Any, max_length: int
) -> Iterator[dict[str, Any]]:
    question, context, answers = task.columns
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    for number, row in enumerate(rows):
        asked, taken = _shortened(row[question], tokenizer, room // 2)
        tokens = tokenizer(
            asked,
            row[context],
            truncation="only_second",
            max_length=max_length,
            stride=min(max_length // 3, (room - taken) // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for window in range(len(tokens["input_ids"])):
            spans = _context_spans(tokens, window)
            first, last = _token_span(spans, row[answers])
            starts, ends = ([span[side] for span in spans] for side in (0, 1))
            yield {key: tokens[key][window] for key in tokens if key not in _FOR_DECODING} | {
                "start_positions": first,
                "end_positions": last,
                "row_starts": starts,
                "row_ends": ends,
                "row_number": number,
            }


def _shortened(text: str, tokenizer: Any, most: int) -> tuple[str, int]:
    """The beginning of a text that has no more tokens than `most`, and how many it has."""
    while True:
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        if len(offsets) <= most:
            return text, len(offsets)
        # What is left may be tokenised otherwise, so it is looked at again; it is shorter each time.
        text = text[: min(offsets[most][0], len(text) - 1)]


def _context_spans(tokens: Any, window: int) -> list[Span]:
    """The characters of the context under each token of one input; OUTSIDE for what is not the context."""
    offsets, parts = tokens["offset_mapping"][window], tokens.sequence_ids(window)
    return [span if part == 1 else OUTSIDE for span, part in zip(offsets, parts, strict=True)]


def _token_span(spans: Sequence[Span], answers: dict[str, list[Any]]) -> tuple[int, int]:
    """First and last token of the first answer; (0, 0) where it is not wholly there."""
    if not answers["text"]:
        return 0, 0
    first = answers["answer_start"][0]
    last = first + len(answers["text"][0])
    covered = [at for at, span in enumerate(spans) if span[0] < last and span[1] > first]
    whole = covered and spans[covered[0]][0] <= first and spans[covered[-1]][1] >= last
    return (covered[0], covered[-1]) if whole else (0, 0)


def collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Pad at the end to the longest input of a batch; what is only for decoding stays out."""
    from transformers import DataCollatorWithPadding

    tokenizer.padding_side = "right"  # some decoders' files say left, which would move every token
    pad = DataCollatorWithPadding(tokenizer)

    def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
        return pad(
            [{key: value for key, value in one.items() if not key.startswith("row_")} for one in features]
        )

    return collate


def decode(
    task: Task, outputs: Any, features: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]
) -> list[str]:
    """The best answer in any of a row's inputs, by the sum of its start and end logits; two (inputs, tokens).

    Inputs compete by these sums, without a softmax, as in the official scripts. "" where no input holds a
    token of the context.
    """
    context = task.columns[1]
    starts, ends = outputs
    found: list[list[tuple[float, str]]] = [[] for _ in rows]
    for i, one in enumerate(features):
        row = one["row_number"]
        spans = list(zip(one["row_starts"], one["row_ends"], strict=True))
        found[row] += candidates(starts[i], ends[i], spans, rows[row][context])
    return [max(answers, key=lambda answer: answer[0], default=(0.0, ""))[1] for answers in found]


def candidates(
    starts: np.ndarray, ends: np.ndarray, spans: Sequence[Span], context: str
) -> list[tuple[float, str]]:
    """The best answers of one input, at most `N_BEST`, with their scores; the best first, none empty.

    Args:
        starts: logits of the first token; padding at the end does not count.
        ends: of the last one.
        spans: characters of the context under each token, or OUTSIDE.
        context: of the row.

    Example:
        >>> scores = np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 0.0])
        >>> candidates(*scores, [OUTSIDE, (0, 2), (2, 5)], "a cat")
        [(3.0, 'cat'), (2.0, 'a'), (1.0, 'a cat')]
    """
    inside = np.array([start >= 0 for start, _ in spans])
    scores = _span_scores(starts[: len(inside)], ends[: len(inside)], inside).ravel()
    least = np.partition(scores, -N_BEST)[-N_BEST] if len(scores) > N_BEST else -np.inf
    likely = np.flatnonzero((scores >= least) & (scores > -np.inf))
    best = likely[np.argsort(-scores[likely], kind="stable")][:N_BEST]
    answers = []
    for at in best:
        first, further = divmod(int(at), MAX_ANSWER_TOKENS)
        # Tokens of some tokenizers cover the space before their word.
        text = context[spans[first][0] : spans[first + further][1]].strip()
        answers.append((float(scores[at]), text))
    return [(score, text) for score, text in answers if text]


def _span_scores(starts: np.ndarray, ends: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(tokens, MAX_ANSWER_TOKENS): start + end of the span that ends so many tokens on; −inf outside."""
    beyond = np.full(MAX_ANSWER_TOKENS - 1, -np.inf, dtype=ends.dtype)
    reached = np.concatenate([np.where(inside, ends, -np.inf), beyond])
    windows = np.lib.stride_tricks.sliding_window_view(reached, MAX_ANSWER_TOKENS)
    return np.where(inside, starts, -np.inf)[:, None] + windows
