"""A span of a context that answers a question."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
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
    to half of the input. An answer that is not wholly in an input trains it towards the first token, but for
    spaces, and characters without a token, at its ends.
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
        windows = [_context_spans(tokens, window) for window in range(len(tokens["input_ids"]))]
        places = _token_spans(windows, row[context], row[answers])
        for window, (spans, (first, last)) in enumerate(zip(windows, places, strict=True)):
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


def _token_spans(
    windows: Sequence[Sequence[Span]], context: str, answers: dict[str, list[Any]]
) -> list[tuple[int, int]]:
    """First and last token of the first answer in each input of a row; (0, 0) where it is not whole."""
    if not answers["text"]:
        return [(0, 0)] * len(windows)
    first, last = _bare(answers["answer_start"][0], answers["text"][0])
    found = [_token_span(spans, first, last) for spans in windows]
    if first == last or any(place != (0, 0) for place in found):
        return found
    # Characters at its ends may have no token; those in between do not matter.
    before = _tokens_before(chain.from_iterable(windows), len(context))
    first = int(np.searchsorted(before, before[first], side="right")) - 1
    last = int(np.searchsorted(before, before[last]))
    return [_token_span(spans, first, last) for spans in windows]


def _token_span(spans: Sequence[Span], first: int, last: int) -> tuple[int, int]:
    covered = [at for at, span in enumerate(spans) if span[0] < last and span[1] > first and first < last]
    whole = covered and spans[covered[0]][0] <= first and spans[covered[-1]][1] >= last
    return (covered[0], covered[-1]) if whole else (0, 0)


def _bare(first: int, text: str) -> Span:
    """Where a text that stands at a place stands without the spaces around it."""
    first += len(text) - len(text.lstrip())
    return first, first + len(text.strip())


def _tokens_before(spans: Iterable[Span], length: int) -> np.ndarray:
    """(length + 1,): how many characters before each place of a context have a token.

    Joiners, soft hyphens, variation selectors and combining marks have none in many tokenizers.
    """
    change = np.zeros(length + 1, dtype=np.int64)
    inside = np.array([span for span in spans if span != OUTSIDE], dtype=np.int64).reshape(-1, 2)
    np.add.at(change, inside[:, 0], 1)
    np.add.at(change, inside[:, 1], -1)
    return np.concatenate([[0], np.cumsum(np.cumsum(change[:-1]) > 0)])


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
    token of the context. Characters without a token cannot be said: an answer that differs in such characters
    alone from one of the row's, at its ends, is that one.
    """
    _, context, answers = task.columns
    starts, ends = outputs
    best: list[tuple[float, Span]] = [(-np.inf, OUTSIDE)] * len(rows)
    inputs: list[list[int]] = [[] for _ in rows]
    for i, one in enumerate(features):
        number = one["row_number"]
        inputs[number].append(i)
        for found in _candidates(starts[i], ends[i], _spans(one), rows[number][context])[:1]:
            best[number] = max(best[number], found, key=lambda answer: answer[0])
    return [
        _said(row[context], *place, row[answers], chain.from_iterable(_spans(features[i]) for i in own))
        for row, (_, place), own in zip(rows, best, inputs, strict=True)
    ]


def _spans(one: dict[str, Any]) -> list[Span]:
    return list(zip(one["row_starts"], one["row_ends"], strict=True))


def _said(context: str, first: int, last: int, answers: dict[str, list[Any]], spans: Iterable[Span]) -> str:
    """The text at a place, or the row's own answer whose characters with a token are the same."""
    said = context[first:last].strip() if first >= 0 else ""
    if not said or said in answers["text"]:
        return said
    first, last = _bare(first, context[first:last])
    golden = (
        (text, _bare(at, text)) for text, at in zip(answers["text"], answers["answer_start"], strict=True)
    )
    near = [(text, place) for text, place in golden if place[0] < last and first < place[1]]
    if near:
        before = _tokens_before(spans, len(context))
        for text, (a, b) in near:
            if before[a] == before[first] and before[b] == before[last]:
                return text.strip()
    return said


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
    return [
        (score, context[first:last].strip())
        for score, (first, last) in _candidates(starts, ends, spans, context)
    ]


def _candidates(
    starts: np.ndarray, ends: np.ndarray, spans: Sequence[Span], context: str
) -> list[tuple[float, Span]]:
    """The same with the characters of each answer."""
    inside = np.array([start >= 0 for start, _ in spans])
    scores = _span_scores(starts[: len(inside)], ends[: len(inside)], inside).ravel()
    least = np.partition(scores, -N_BEST)[-N_BEST] if len(scores) > N_BEST else -np.inf
    likely = np.flatnonzero((scores >= least) & (scores > -np.inf))
    best = likely[np.argsort(-scores[likely], kind="stable")][:N_BEST]
    answers = []
    for at in best:
        first, further = divmod(int(at), MAX_ANSWER_TOKENS)
        place = spans[first][0], spans[first + further][1]
        if context[slice(*place)].strip():  # tokens of some tokenizers cover the space before their word
            answers.append((float(scores[at]), place))
    return answers


def _span_scores(starts: np.ndarray, ends: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(tokens, MAX_ANSWER_TOKENS): start + end of the span that ends so many tokens on; −inf outside."""
    beyond = np.full(MAX_ANSWER_TOKENS - 1, -np.inf, dtype=ends.dtype)
    reached = np.concatenate([np.where(inside, ends, -np.inf), beyond])
    windows = np.lib.stride_tricks.sliding_window_view(reached, MAX_ANSWER_TOKENS)
    return np.where(inside, starts, -np.inf)[:, None] + windows
