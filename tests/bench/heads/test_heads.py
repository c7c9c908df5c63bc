"""Rows become inputs, outputs become predictions: every kind of head, on encoders and decoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_encoder import SPECIAL, WORDS, tokenizer

from dither.bench.heads import HEADS, classification, regression, span, tagging
from dither.bench.models.loading import find_model, load_tokenizer
from dither.bench.scoring.scores import score

NUMBERS = {token: number for number, token in enumerate(SPECIAL + WORDS)}


def one_hot(labels: list[list[int]], width: int) -> np.ndarray:
    """Logits (rows, tokens, labels) with the highest at the given labels."""
    logits = np.zeros((len(labels), max(map(len, labels)), width), dtype=np.float32)
    for row, wanted in enumerate(labels):
        for at, label in enumerate(wanted):
            logits[row, at, label] = 1.0
    return logits


def true_logits(task, features) -> np.ndarray:
    """Logits that say at every token what `labels` says."""
    return one_hot([[max(label, 0) for label in one["labels"]] for one in features], len(task.labels))


def test_every_head_of_a_task_has_its_module():
    from dither.bench.tasks.checks import HEADS as NAMES

    assert set(HEADS) == set(NAMES)


def test_classification_encodes_text_and_decodes_the_highest_logit(small_task):
    task = small_task()
    rows = [{"text": "the film was good", "label": 1}, {"text": "", "label": 0}]
    first, empty = classification.encode(task, rows, tokenizer(), 16)
    assert [first["input_ids"], first["labels"]] == [[2, 5, 6, 7, 8, 3], 1]
    assert empty["input_ids"] == [2, 3]
    logits = np.array([[0.1, 0.2], [3.0, -1.0]])
    assert classification.decode(task, (logits,), [first, empty], rows) == [1, 0]
    assert classification.config(task)["id2label"] == {0: "no", 1: "yes"}


def test_a_pair_is_cut_where_it_is_longer(small_task):
    task = small_task("regression")
    rows = [{"left": "good", "right": "the film was good on the mat", "score": 2.5}]
    (one,) = regression.encode(task, rows, tokenizer(), 7)
    assert one["input_ids"] == [2, NUMBERS["good"], 3, *(NUMBERS[word] for word in ("the", "film", "was")), 3]
    assert one["token_type_ids"] == [0, 0, 0, 1, 1, 1, 1]
    assert one["labels"] == 2.5
    assert regression.decode(task, (np.array([[1.5], [np.nan]]),), [one], rows)[0] == 1.5


def test_tags_stand_at_the_first_token_of_each_word(small_task):
    task = small_task("tagging")
    rows = [{"tokens": ["a", "playing", "cat"], "tags": ["O", "B-X", "I-X"]}, {"tokens": [], "tags": []}]
    one, empty = tagging.encode(task, rows, tokenizer(), 16)
    assert one["labels"] == [-100, 0, 1, -100, 2, -100]
    assert one["row_words"] == [-1, 0, 1, -1, 2, -1]
    assert empty["labels"] == [-100, -100]
    decoded = tagging.decode(task, (true_logits(task, [one, empty]),), [one, empty], rows)
    assert decoded == [["O", "B-X", "I-X"], []]


@pytest.mark.parametrize(
    ("words", "length", "lost"),
    [
        (["the", "cat", "sat", "on"], 16, 0),
        (["the", "cat", "sat", "on"], 5, 1),
        (["the", "playing", "playing", "cat"], 5, 2),  # two tokens of one word, and nothing of the next
        (["the", "playing", "playing", "cat"], 6, 1),  # the first sub-token is there: the word has its tag
        ([], 4, 0),
    ],
)
def test_lost_words_are_wrong_and_reported(small_task, words, length, lost):
    task = small_task("tagging", metrics=["tag_accuracy", "lost_words"], primary=["tag_accuracy"])
    rows = [{"tokens": words, "tags": ["B-X"] * len(words)}, {"tokens": ["cat"], "tags": ["B-X"]}]
    features = tagging.encode(task, rows, tokenizer(), length)
    said = {"validation": tagging.decode(task, (true_logits(task, features),), features, rows)}
    found = score(task, said, {"validation": rows}, train=rows).metrics["validation"]
    share = lost / (len(words) + 1)
    assert found == {"tag_accuracy": 1 - share, "lost_words": share}


def test_words_lost_at_the_end_are_left_out(small_task):
    task = small_task("tagging")
    rows = [{"tokens": ["the", "cat", "sat", "on"], "tags": ["O", "B-X", "I-X", "O"]}]
    left = tokenizer()
    left.truncation_side = "left"
    features = tagging.encode(task, rows, left, 5)
    assert tagging.decode(task, (true_logits(task, features),), features, rows) == [["O", "B-X", "I-X"]]


@pytest.mark.parametrize(("labels", "unseen"), [(["O", "B-X"], "O"), (["N", "V"], "N")])
def test_a_word_without_a_token_moves_no_other(small_task, labels, unseen):
    entity = {} if "O" in labels else {"metrics": ["tag_accuracy"], "primary": ["tag_accuracy"]}
    task = small_task("tagging", labels=labels, **entity)
    rows = [{"tokens": ["the", "\u200b", "", "cat"], "tags": [labels[1], labels[1], labels[1], labels[1]]}]
    made = tokenizer()
    from tokenizers import normalizers

    made.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    features = tagging.encode(task, rows, made, 16)
    decoded = tagging.decode(task, (true_logits(task, features),), features, rows)
    assert decoded == [[labels[1], unseen, unseen, labels[1]]]


@pytest.mark.parametrize(
    ("words", "length", "kept"),
    [
        (["cat", "\u200b", ""], 16, 3),
        (["cat", "\u200b", ""], 3, 3),  # as long as may be, and nothing is cut off
        (["\u200b", ""], 16, 2),
        (["the", "playing", "\u200b", "playing", "\u200b", "cat", "\u200b"], 6, 5),
        (["the", "playing", "\u200b", "cat", "\u200b"], 5, 3),
        (["the", "playing", "\u200b", "cat", "\u200b"], 4, 3),  # half of a word is there
    ],
)
def test_words_without_a_token_are_not_lost_at_the_end(small_task, words, length, kept):
    from tokenizers import normalizers

    task, made = small_task("tagging"), tokenizer()
    made.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    rows = [{"tokens": words, "tags": ["B-X" if word.strip("\u200b") else "O" for word in words]}]
    features = tagging.encode(task, rows, made, length)
    assert tagging.decode(task, (true_logits(task, features),), features, rows) == [rows[0]["tags"][:kept]]


def answer(text: str, start: int) -> dict[str, Any]:
    return {"text": [text], "answer_start": [start]}


def encoded_span(small_task, question: str, context: str, answers: dict[str, Any], length: int = 32):
    """A span task, its one row, and the row's input."""
    rows = [{"question": question, "context": context, "answers": answers}]
    task = small_task("span")
    return task, rows, span.encode(task, rows, tokenizer(), length)


def decoded_span(task, rows, features, start: int, end: int) -> str:
    """The answer when start and end logits are highest at two tokens."""
    logits = np.zeros((2, 1, len(features[0]["input_ids"])))
    logits[0, 0, start] = logits[1, 0, end] = 1.0
    return span.decode(task, tuple(logits), features, rows)[0]


def test_an_answer_is_found_again(small_task):
    task, rows, features = encoded_span(
        small_task, "who sat ?", "the cat sat on the mat", answer("the cat", 0)
    )
    (one,) = features
    assert (one["start_positions"], one["end_positions"]) == (5, 6)
    assert (one["row_starts"][4:7], one["row_ends"][4:7]) == ([-1, 0, 4], [-1, 3, 7])
    assert decoded_span(task, rows, features, 5, 6) == "the cat"


def test_the_first_of_several_answers_trains(small_task):
    several = {"text": ["mat", "the mat"], "answer_start": [19, 15]}
    _, _, (one,) = encoded_span(small_task, "where ?", "the cat sat on the mat", several)
    assert one["start_positions"] == one["end_positions"] == 4 + 5


def test_without_a_context_token_the_answer_is_empty(small_task):
    task, rows, features = encoded_span(small_task, "who ?", "the cat", answer("cat", 4))
    nowhere = [-1] * len(features[0]["input_ids"])
    outside = [features[0] | {"row_starts": nowhere, "row_ends": nowhere}]
    assert decoded_span(task, rows, outside, 3, 4) == ""


def test_answers_lie_in_the_context_run_forward_and_are_short(small_task):
    context = "cat " * 40
    task, rows, features = encoded_span(small_task, "who ?", context, answer("cat", 0), length=64)
    inside = [at for at, start in enumerate(features[0]["row_starts"]) if start >= 0]
    assert decoded_span(task, rows, features, 1, inside[3]) in context  # a start in the question
    assert decoded_span(task, rows, features, inside[9], inside[2])  # an end before the start
    long = decoded_span(task, rows, features, inside[0], inside[-1])
    assert 0 < len(long.split()) <= span.MAX_ANSWER_TOKENS


@pytest.mark.parametrize("head", ["tagging", "span"])
def test_a_slow_tokenizer_is_refused_where_places_count(small_task, head):
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match=r"needs a fast tokenizer, .* Slow is slow: save the model with"):
        HEADS[head].encode(small_task(head), [], Slow(), 16)


@pytest.mark.parametrize("head", sorted(HEADS))
def test_batches_are_padded_at_the_end_where_places_count(small_task, head):
    task, made = small_task(head), tokenizer()
    made.padding_side = "left"
    texts = {"text": "cat", "left": "cat", "right": "cat", "question": "cat", "context": "cat"}
    row = {**texts, "tokens": ["cat"], "tags": ["B-X"], "label": 1, "score": 1.0, "answers": answer("cat", 0)}
    longer = {**row, **dict.fromkeys(texts, "cat cat cat"), "tokens": ["cat"] * 3, "tags": ["O"] * 3}
    batch = HEADS[head].collator(made)([*HEADS[head].encode(task, [row, longer], made, 32)])
    assert not any(key.startswith("row_") for key in batch)
    assert len({len(batch[key]) for key in batch}) == 1
    if head in ("tagging", "span"):
        assert batch["attention_mask"][0, 0] == 1
        assert batch["attention_mask"][0, -1] == 0


def test_a_decoder_tags_words_and_cuts_answers_without_their_space(small_task, stories_dir):
    made = load_tokenizer(find_model(str(stories_dir)))
    task = small_task("tagging")
    rows = [{"tokens": ["Lily", "", "ran", "\u200b"], "tags": ["B-X", "O", "I-X", "O"]}]
    features = tagging.encode(task, rows, made, 32)
    decoded = tagging.decode(task, (true_logits(task, features),), features, rows)
    assert decoded == [["B-X", "O", "I-X", "O"]]
    rows = [{"question": "Who?", "context": "Then Lily ran", "answers": answer("Lily", 5)}]
    features = span.encode(small_task("span"), rows, made, 64)
    start, end = (features[0][f"{name}_positions"] for name in ("start", "end"))
    assert decoded_span(small_task("span"), rows, features, start, end) == "Lily"


def test_a_real_encoder_splits_words_and_finds_answers(small_task, minilm_dir):
    made = load_tokenizer(find_model(str(minilm_dir)))
    task = small_task("tagging")
    rows = [{"tokens": ["Unbelievably", "\u200b", "Zürich"], "tags": ["O", "O", "B-X"]}]
    features = tagging.encode(task, rows, made, 32)
    assert sum(label != -100 for label in features[0]["labels"]) < len(features[0]["labels"]) - 2
    decoded = tagging.decode(task, (true_logits(task, features),), features, rows)
    assert decoded == [["O", "O", "B-X"]]
    context = "In 1802 the city of Zürich was shelled."
    rows = [{"question": "Which city?", "context": context, "answers": answer("Zürich", 20)}]
    features = span.encode(small_task("span"), rows, made, 64)
    start, end = (features[0][f"{name}_positions"] for name in ("start", "end"))
    assert decoded_span(small_task("span"), rows, features, start, end) == "Zürich"
