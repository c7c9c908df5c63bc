from __future__ import annotations

from typing import Any

import pytest

from dither.builtin import LANGUAGES, MODEL_DIR, TASKS, pretraining_sentences, rows
from dither.builtin.tokenizer import MAX_LENGTH, SPECIAL, vocabulary


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL_DIR)


def segments(row: dict[str, Any]) -> list[str]:
    if "tokens" in row:
        return [" ".join(row["tokens"])]
    keys = ("sentence", "sentence1", "sentence2", "premise", "hypothesis", "question", "context")
    return [row[key] for key in (*keys, "source", "target") if row.get(key) is not None]


def test_vocabulary_is_that_of_the_grammar(tokenizer: Any) -> None:
    assert tokenizer.get_vocab() == {token: index for index, token in enumerate(vocabulary())}
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("task", TASKS)
def test_every_row_is_known_and_fits(tokenizer: Any, task: str) -> None:
    for lang in LANGUAGES:
        for split in ("train", "validation"):
            for row in rows(task, split, lang):
                ids = tokenizer(*segments(row))["input_ids"]
                assert tokenizer.unk_token_id not in ids, row
                assert len(ids) <= MAX_LENGTH, row


def test_pretraining_text_is_known_and_fits(tokenizer: Any) -> None:
    for text in pretraining_sentences(2000, seed=11):
        ids = tokenizer(*text)["input_ids"]
        assert tokenizer.unk_token_id not in ids, text
        assert len(ids) <= MAX_LENGTH, text


def test_offsets_cut_the_words_out_of_the_text(tokenizer: Any) -> None:
    for row in rows("question_answering", "validation"):
        coded = tokenizer(row["question"], row["context"], return_offsets_mapping=True)
        parts = (row["question"], row["context"])
        for token, kind, (start, end) in zip(
            coded.tokens(), coded["token_type_ids"], coded["offset_mapping"], strict=True
        ):
            if token not in SPECIAL:
                assert parts[kind][start:end].lower() == token


def test_pairs_have_two_types(tokenizer: Any) -> None:
    coded = tokenizer("The dog sleeps.", "It rests?")
    assert coded.tokens()[0] == "[CLS]"
    assert [i for i, token in enumerate(coded.tokens()) if token == "[SEP]"] == [5, 9]
    assert coded["token_type_ids"] == [0] * 6 + [1] * 4


def test_words_survive_a_round_trip(tokenizer: Any) -> None:
    for row in rows("tagging", "validation"):
        coded = tokenizer(row["tokens"], is_split_into_words=True)
        assert coded.tokens()[1:-1] == [token.lower() for token in row["tokens"]]
        assert coded.word_ids()[1:-1] == list(range(len(row["tokens"])))
