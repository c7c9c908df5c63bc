from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from dither.builtin import LANGUAGES, TASKS, pretraining_sentences, rows
from dither.builtin.tasks import VALIDATION, inputs

DIGESTS = json.loads((Path(__file__).parent / "digests.json").read_text(encoding="utf-8"))
SPLITS = [(task, split, lang) for task in TASKS for split in ("train", "validation") for lang in LANGUAGES]


def digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, ensure_ascii=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("task", "split", "lang"), SPLITS)
def test_every_split_has_its_committed_bytes(task: str, split: str, lang: str) -> None:
    assert digest(rows(task, split, lang)) == DIGESTS[f"{task}/{split}.{lang}"], (
        "the rows changed: results measured on them no longer compare; if that is meant, raise tasks.VERSION"
    )


def test_pretraining_text_has_its_committed_bytes() -> None:
    assert digest(pretraining_sentences(500, seed=0)) == DIGESTS["pretraining"]
    assert pretraining_sentences(20, seed=0) != pretraining_sentences(20, seed=1)
    assert pretraining_sentences(20, seed=3) == pretraining_sentences(60, seed=3)[:20]


@pytest.mark.parametrize("task", TASKS)
def test_no_row_is_shown_twice(task: str) -> None:
    for lang in LANGUAGES:
        shown = [inputs(row) for split in ("train", "validation") for row in rows(task, split, lang)]
        assert len(set(shown)) == len(shown) > VALIDATION


@pytest.mark.parametrize("task", ["acceptability", "sentiment", "entailment"])
def test_labels_are_balanced(task: str) -> None:
    for split in ("train", "validation"):
        counts = Counter(row["label"] for row in rows(task, split))
        assert sorted(counts) == list(range(len(counts)))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_similarity_covers_its_range() -> None:
    labels = [row["label"] for row in rows("similarity", "validation")]
    assert min(labels) == 0.0
    assert max(labels) == 5.0
    for low in range(5):
        assert sum(low <= label <= low + 1 for label in labels) >= 0.1 * len(labels)


def test_tags_are_one_per_token() -> None:
    seen = Counter()
    for row in rows("tagging", "validation"):
        assert len(row["tokens"]) == len(row["tags"])
        seen.update(row["tags"])
    assert set(seen) == {"O", "AGENT", "ACTION", "PATIENT", "PLACE", "TIME", "MANNER"}
    assert min(seen.values()) >= 50


@pytest.mark.parametrize("lang", LANGUAGES)
def test_answers_are_where_they_are_said_to_be(lang: str) -> None:
    for split in ("train", "validation"):
        for row in rows("question_answering", split, lang):
            [answer], [start] = row["answers"]["text"], row["answers"]["answer_start"]
            assert answer
            assert row["context"][start : start + len(answer)] == answer
            assert row["context"][start + len(answer)] in " ."
            assert start == 0 or row["context"][start - 1] == " "


@pytest.mark.parametrize("task", ["acceptability", "sentiment", "entailment", "similarity"])
def test_languages_say_the_same(task: str) -> None:
    english, lumari = (rows(task, "validation", lang) for lang in LANGUAGES)
    assert [row["label"] for row in english] == [row["label"] for row in lumari]
    assert all(inputs(a) != inputs(b) for a, b in zip(english, lumari, strict=True))


def test_rows_handed_out_can_be_changed_safely() -> None:
    rows("question_answering", "train")[0]["answers"]["text"].append("spoilt")
    assert len(rows("question_answering", "train")[0]["answers"]["text"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sentimant", "train"), "no built-in task 'sentimant'; did you mean 'sentiment'?"),
        (("sentiment", "test"), "no built-in split 'test'.* There are: train, validation"),
        (("sentiment", "train", "fr"), "no built-in language 'fr'.* There are: en, xx"),
    ],
)
def test_unknown_names_are_answered(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(KeyError, match=message.replace("?", "[?]")):
        rows(*arguments)


def test_negative_amount_of_text_is_refused() -> None:
    with pytest.raises(ValueError, match="n must be at least 0, got -1"):
        pretraining_sentences(-1, seed=0)
