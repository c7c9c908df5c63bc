"""Examples are loaded again only where they are those of the runs, and their texts are kept as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from written_runs import digests_of, write_runs

from dither.bench.data.examples import CUT, find_examples
from dither.bench.flips import find_flips
from dither.bench.tasks.files import load_task

NASTY = [
    "<script>alert('x')</script>",
    '</td><img src=x onerror="alert(1)"> & \' "',
    "שלום \u202eevil\u202c مرحبا",
    "w" * 10_000,
    "a\x00b\x07c\x1b[31md\r\n\te",
    "{{ 7 * 7 }} ${x} `tick` \\u003c",
]


@pytest.fixture
def rte(tmp_path) -> Path:
    """A folder of local data with a few rows of RTE, whose texts are what no page should trust."""
    folder = tmp_path / "data" / "glue" / "rte"
    folder.mkdir(parents=True)
    rows = [{"sentence1": text, "sentence2": f"{text}?", "label": at % 2} for at, text in enumerate(NASTY)]
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "data"


def runs_of(folder: Path, **options) -> Path:
    zeros, ones = [0] * len(NASTY), [1] * len(NASTY)
    runs = {("none", 0): {"validation": zeros}, ("pats", 0): {"validation": ones}}
    return write_runs(folder, runs, **options)


def test_texts_are_data_and_long_ones_are_cut(rte, tmp_path):
    out = runs_of(tmp_path / "out", task="glue/rte", digests=digests_of("glue/rte", rte))
    found = find_flips(out, data_dir=rte)
    assert found.reasons == ()
    texts = [one.texts["sentence1"] for one in found.examples]
    assert texts == [*NASTY[:3], "w" * CUT + "…", *NASTY[4:]]
    assert [one.gold for one in found.examples] == ["entailment", "not_entailment"] * 3
    assert {(one.plain, one.said) for one in found.examples} == {("entailment", "not_entailment")}
    assert [one.mended for one in found.examples] == [0, 1] * 3
    assert json.loads(json.dumps(found.to_json())) == found.to_json()


def test_without_a_folder_or_the_hub_there_are_no_texts(rte, tmp_path):
    out = runs_of(tmp_path / "out", task="glue/rte", digests=digests_of("glue/rte", rte))
    found = find_flips(out)
    assert found.reasons == ("glue/rte: no data at hand: --data-dir DIR or --hub shows the texts",)
    one = found.examples[0]
    assert (one.gold, one.mended, one.texts) == (None, None, {})
    assert (one.plain, one.said) == ("entailment", "not_entailment")  # the definition has the names


def test_other_data_are_not_shown(rte, tmp_path):
    digests = digests_of("glue/rte", rte)
    path = rte / "glue" / "rte" / "validation.jsonl"
    path.write_text(path.read_text().replace("tick", "tock"))
    found = find_flips(runs_of(tmp_path / "out", task="glue/rte", digests=digests), data_dir=rte)
    (reason,) = found.reasons
    assert reason.startswith(f"glue/rte: the data in {rte} are not those of the runs (digest ")
    assert f"digest {digests['data_digest'][:12]} there, " in reason
    assert {(one.gold, tuple(one.texts)) for one in found.examples} == {(None, ())}


def test_another_definition_is_not_trusted(rte, tmp_path):
    digests = digests_of("glue/rte", rte) | {"task_digest": "0" * 64}
    found = find_flips(runs_of(tmp_path / "out", task="glue/rte", digests=digests), data_dir=rte)
    assert found.reasons[0].startswith(
        "glue/rte: its definition is not that of the runs (digest 000000000000"
    )
    assert (found.examples[0].plain, found.examples[0].texts) == ("0", {})


def test_missing_and_broken_files_are_reasons(rte, tmp_path):
    digests = digests_of("glue/rte", rte)
    path = rte / "glue" / "rte" / "validation.jsonl"
    path.write_text("{\n")
    assert (
        "validation.jsonl:1: broken JSON"
        in find_examples("glue/rte", digests, ["validation"], data_dir=rte).reason
    )
    path.unlink()
    reason = find_examples("glue/rte", digests, ["validation"], data_dir=rte).reason
    assert reason.startswith("looked in ")
    assert "\n" not in reason


def test_the_hub_is_asked_only_when_it_shall_be(rte, monkeypatch):
    asked = []

    def from_hub(task, split):
        asked.append(split)
        raise OSError("out of reach")

    monkeypatch.setattr("dither.bench.data.loading.from_hub", from_hub)
    digests = digests_of("glue/rte", rte)
    assert "no data at hand" in find_examples("glue/rte", digests, ["validation"]).reason
    assert asked == []
    assert find_examples("glue/rte", digests, ["validation"], hub=True).reason == "out of reach"
    assert asked == ["train"]


@pytest.mark.parametrize("name", ["mine/films", "mine/task.toml", "glue/rte@x.toml", "glue/rte@epochs"])
def test_no_path_is_read_from_a_ledger(task_file, monkeypatch, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "glue").mkdir()
    for place in ("mine/task.toml", "glue/rte@x.toml"):
        (tmp_path / place).write_text(task_file().read_text())
    monkeypatch.chdir(tmp_path)
    found = find_examples(name, {"task_digest": "t", "data_digest": "d"}, ["validation"])
    assert found.task is None
    assert found.reason
    unknown = "not a task of this package, and files of tasks are not looked for"
    assert (unknown if name.startswith("mine") else "is not like setting=value") in found.reason


def test_what_is_missing_for_several_tasks_is_said_once(tmp_path):
    found = find_flips(runs_of(tmp_path, task="mine/one", further=["mine/two"]))
    assert found.reasons == (
        "mine/one, mine/two: not a task of this package, and files of tasks are not looked for: no texts",
    )


@pytest.mark.parametrize("name", ["builtin/sentiment@train_fraction=0.1", "builtin/entailment@held_out=0.2"])
def test_a_variation_has_its_own_evaluation(name):
    found = find_examples(name, digests_of(name), ["validation"])
    assert (found.reason, found.task) == ("", load_task(name))
    (evaluation,) = found.rows
    assert len(found.rows[evaluation]) == (480 if "fraction" in name else 80)


def test_the_languages_of_the_runs_are_found_again():
    task = load_task("builtin/transfer/tagging").in_languages(["xx"])
    planned = {"task_digest": task.digest, "data_digest": "d"}
    found = find_examples("builtin/transfer/tagging", planned, ["xx"])
    assert found.task == task
    assert found.reason.startswith("the data of this package are not those of the runs (digest d there, ")
    wrong = find_examples("builtin/transfer/tagging", planned, ["en"])
    assert wrong.reason.startswith("its definition is not that of the runs")


def test_every_head_has_texts_and_labels_in_words():
    shown = {}
    for name in ("tagging", "question_answering", "retrieval", "similarity", "mining"):
        found = find_examples(f"builtin/{name}", digests_of(f"builtin/{name}"), [])
        (evaluation,) = found.rows
        shown[name] = (found, evaluation, found.rows[evaluation][0])
    found, at, row = shown["tagging"]
    assert found.texts(at, 0) == {"tokens": " ".join(row["tokens"])}
    assert found.in_words(at, row["tags"]) == " ".join(row["tags"])
    found, at, row = shown["question_answering"]
    assert found.texts(at, 0) == {key: row[key] for key in ("question", "context")}
    assert found.in_words(at, ["a cat", "a dog", "a cat"]) == "a cat | a dog"
    found, at, row = shown["retrieval"]
    assert found.texts(at, 0) == row
    assert found.in_words(at, 0) == row["target"]
    assert shown["similarity"][0].in_words("validation", 1.5) == 1.5
    assert shown["mining"][0].in_words("xx", None) is None
