"""Long contexts in overlapping inputs, and the best answer over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_encoder import WORDS, tokenizer

from dither.bench.data.loading import load
from dither.bench.heads import span
from dither.bench.models.loading import find_model, load_tokenizer
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

CONTEXT = "the cat sat on the mat where a bad film was good"
LONG = " ".join(WORDS[at % 9] for at in range(200))


def row(question: str = "who ?", context: str = CONTEXT, text: str = "film", **more: Any) -> dict[str, Any]:
    answers = {"text": [text], "answer_start": [context.index(text)]}
    return {"question": question, "context": context, "answers": answers, **more}


def spans_of(one: dict[str, Any]) -> list[tuple[int, int]]:
    """The characters of the context under each token."""
    return list(zip(one["row_starts"], one["row_ends"], strict=True))


def logits(
    features: Sequence[dict[str, Any]], *peaks: tuple[int, int, int, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of all inputs, padded as the Trainer pads; a peak is (input, start, end, height)."""
    width = max(len(one["input_ids"]) for one in features) + 3
    starts, ends = (np.full((len(features), width), -100.0, dtype=np.float32) for _ in range(2))
    for i, one in enumerate(features):
        starts[i, : len(one["input_ids"])] = ends[i, : len(one["input_ids"])] = 0
    for i, start, end, height in peaks:
        starts[i, start] = ends[i, end] = height
    return starts, ends


@pytest.mark.parametrize("length", [10, 12, 16, 64])
def test_every_token_of_the_context_is_in_an_input(length: int, small_task: Callable[..., Task]) -> None:
    features = span.encode(small_task("span"), [row(context=LONG, text="cat")], tokenizer(), length)
    assert all(len(one["input_ids"]) <= length for one in features)
    assert {place for one in features for place in spans_of(one) if place != span.OUTSIDE} == {
        (at, at + len(word)) for at, word in _places(LONG)
    }
    shared = [
        len({*spans_of(before)} & {*spans_of(after)} - {span.OUTSIDE}) for before, after in pairwise(features)
    ]
    room = length - 3 - 2  # beside [CLS], two [SEP] and the question
    assert set(shared) == {min(length // 3, room // 2)}


def _places(text: str) -> list[tuple[int, str]]:
    at, places = 0, []
    for word in text.split(" "):
        places.append((at, word))
        at += len(word) + 1
    return places


def test_an_input_trains_towards_its_answer_or_the_first_token(small_task: Callable[..., Task]) -> None:
    features = span.encode(small_task("span"), [row(text="bad film")], tokenizer(), 11)
    assert len(features) > 2
    whole = [one for one in features if {(31, 34), (35, 39)} <= {*spans_of(one)}]
    assert whole
    for one in features:
        start, end = one["start_positions"], one["end_positions"]
        wanted = ((31, 34), (35, 39)) if one in whole else (span.OUTSIDE, span.OUTSIDE)
        assert (spans_of(one)[start], spans_of(one)[end]) == wanted
        assert one in whole or (start, end) == (0, 0)


def test_the_best_answer_of_all_inputs_wins(small_task: Callable[..., Task]) -> None:
    task, rows = small_task("span"), [row(), row(context="a cat", text="cat"), row()]
    features = span.encode(task, rows, tokenizer(), 11)
    numbers = [one["row_number"] for one in features]
    assert numbers == sorted(numbers)
    first, last = numbers.index(2), len(numbers) - 1
    weak, strong = (first, 5, 5, 1.0), (last, 5, 6, 2.0)
    said = span.decode(task, logits(features, weak, strong), features, rows)
    places = spans_of(features[last])
    assert said[2] == CONTEXT[places[5][0] : places[6][1]]
    assert said[0] == "the"  # of equals the first
    assert span.decode(task, logits(features, weak), features, rows)[2] == "cat"


def test_an_empty_candidate_gives_way_to_the_next(small_task: Callable[..., Task]) -> None:
    starts, ends = np.array([9.0, 5.0, 1.0, 0.0]), np.array([9.0, 5.0, 1.0, 0.0])
    spans = [span.OUTSIDE, (0, 1), (1, 4), (4, 8)]
    found = span.candidates(starts, ends, spans, " cat sat")
    assert found[0] == (6.0, "cat")  # " " alone has 10, the first token 18
    assert all(text for _, text in found)
    assert [score for score, _ in found] == sorted((score for score, _ in found), reverse=True)
    assert span.candidates(starts, ends, [span.OUTSIDE] * 4, " cat sat") == []


def slow_candidates(starts: Any, ends: Any, spans: list[Any], context: str) -> list[tuple[float, str]]:
    """Every span in turn; of equal ones the earlier and the shorter."""
    found = [
        (-float(starts[first] + ends[last]), first, last)
        for first in range(len(spans))
        for last in range(first, min(first + span.MAX_ANSWER_TOKENS, len(spans)))
        if span.OUTSIDE not in (spans[first], spans[last])
    ]
    best = sorted(found)[: span.N_BEST]
    texts = [(-score, context[spans[first][0] : spans[last][1]].strip()) for score, first, last in best]
    return [(score, text) for score, text in texts if text]


@pytest.mark.parametrize("tokens", [1, 3, 29, 30, 31, 90])
def test_candidates_are_those_of_the_slow_loop(tokens: int) -> None:
    draw = np.random.default_rng(tokens)
    for outside in {0, tokens // 3, tokens - 1, tokens}:
        spans = [span.OUTSIDE] * outside + [(at, at + 1) for at in range(tokens - outside)]
        starts, ends = draw.integers(-4, 4, (2, tokens + 2)).astype(np.float32)  # with ties, padded
        found = span.candidates(starts, ends, spans, "ab c" * 30)
        assert found == slow_candidates(starts, ends, spans, "ab c" * 30)


def test_there_are_at_most_n_best_candidates(small_task: Callable[..., Task]) -> None:
    spans = [(at, at + 1) for at in range(50)]
    found = span.candidates(np.zeros(50), np.zeros(50), spans, "x" * 50)
    assert len(found) == span.N_BEST
    assert span.candidates(np.full(50, np.nan), np.zeros(50), spans, "x" * 50) == []


@pytest.mark.parametrize("question", ["who " * 40, "", "catfilm" * 30])
def test_a_long_question_leaves_half_of_the_input(question: str, small_task: Callable[..., Task]) -> None:
    task, rows = small_task("span"), [row(question)]
    features = span.encode(task, rows, tokenizer(), 13)
    assert all(len(one["input_ids"]) <= 13 for one in features)
    assert all(sum(place != span.OUTSIDE for place in spans_of(one)) >= 5 for one in features[:-1])
    assert isinstance(span.decode(task, logits(features), features, rows)[0], str)


@pytest.mark.parametrize("length", [4, 5, 6])
def test_the_shortest_inputs_are_inputs(length: int, small_task: Callable[..., Task]) -> None:
    task, rows = small_task("span"), [row()]
    features = span.encode(task, rows, tokenizer(), length)
    assert all(len(one["input_ids"]) <= length for one in features)
    assert span.decode(task, logits(features), features, rows)[0] in CONTEXT


def test_an_empty_context_has_an_empty_answer(small_task: Callable[..., Task]) -> None:
    rows = [{"question": "who ?", "context": "", "answers": {"text": [], "answer_start": []}}]
    features = span.encode(small_task("span"), rows, tokenizer(), 16)
    assert span.decode(small_task("span"), logits(features), features, rows) == [""]


@pytest.mark.parametrize("language", ["en", "zh", "ar"])
def test_real_answers_are_found_in_their_inputs(language: str, test_data: Path, stories_dir: Path) -> None:
    task = load_task("xtreme/xquad_tydiqa").in_languages([language])
    rows = load(task, test_data / "data").splits[f"test.{language}"][:40]
    features = span.encode(task, rows, load_tokenizer(find_model(str(stories_dir))), 256)
    assert len(features) > len(rows)
    ideal = [(i, one["start_positions"], one["end_positions"], 9.0) for i, one in enumerate(features)]
    said = span.decode(task, logits(features, *ideal), features, rows)
    right = [text in one["answers"]["text"] for text, one in zip(said, rows, strict=True)]
    short = [len(one["answers"]["text"][0]) < 9 for one in rows]
    assert all(good for good, brief in zip(right, short, strict=True) if brief)


OUTER = {
    "space": " ",
    "mark": "\u0301",
    "variation selector": "\ufe0f",
    "joiner": "\u200d",
    "soft hyphen": "\u00ad",
    "right-to-left mark": "\u200f",
}


@pytest.fixture(scope="module")
def uncased() -> Any:
    """A tokenizer that drops what OUTER holds, as those of uncased encoders do."""
    from tokenizers import Regex, normalizers

    made = tokenizer()
    made.backend_tokenizer.normalizer = normalizers.Replace(Regex(r"[\p{Mn}\p{Cf}]"), "")
    return made


@pytest.mark.parametrize("outer", OUTER.values(), ids=OUTER)
@pytest.mark.parametrize("length", [12, 64])
def test_outer_characters_without_a_token_cost_no_answer(
    outer: str, length: int, small_task: Callable[..., Task], uncased: Any
) -> None:
    texts = [f"{outer}bad film", f"bad film{outer}", f"{outer * 2}bad film{outer}"]
    rows = [row(context=f"{LONG} {text} the cat sat on the mat", text=text) for text in texts]
    task = small_task("span")
    features = span.encode(task, rows, uncased, length)
    trained = [i for i, one in enumerate(features) if one["end_positions"]]
    assert {features[i]["row_number"] for i in trained} == {0, 1, 2}
    for i in trained:
        first, last = features[i]["start_positions"], features[i]["end_positions"]
        context = rows[features[i]["row_number"]]["context"]
        assert context[features[i]["row_starts"][first] : features[i]["row_ends"][last]] == "bad film"
    ideal = [(i, features[i]["start_positions"], features[i]["end_positions"], 9.0) for i in trained]
    assert span.decode(task, logits(features, *ideal), features, rows) == [text.strip(" ") for text in texts]


def test_an_answer_is_not_stretched_over_what_is_no_part_of_it(
    small_task: Callable[..., Task], uncased: Any
) -> None:
    rows = [row(context="a\u200f bad\u200f film\u0301 sat", text=text) for text in ("bad", "film\u0301")]
    rows.append(row(context="\u200f\u0301 cat", text="\u200f\u0301"))  # nothing of this answer has a token
    features = span.encode(small_task("span"), rows, uncased, 64)
    wanted = [(one["start_positions"], one["end_positions"]) for one in features]
    assert wanted == [(5, 5), (6, 6), (0, 0)]
    peaks = [(0, 5, 5, 9.0), (1, 4, 6, 9.0), (2, 4, 4, 9.0)]
    said = span.decode(small_task("span"), logits(features, *peaks), features, rows)
    assert said == ["bad", "a\u200f bad\u200f film", "cat"]
