"""Local files that are not there are told before anything is read, all at once."""

from __future__ import annotations

import re

import pytest

from dither.bench.data.presence import absent_files, check_files
from dither.bench.tasks.files import load_task


@pytest.fixture
def folder(tmp_path):
    for name in ("glue/rte/train.jsonl.gz", "glue/rte/validation.csv", "glue/mnli/train.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_all_missing_tasks_are_named_with_what_can_be_done(folder):
    tasks = [load_task(name) for name in ("glue/rte@epochs=3", "glue/cola", "glue/mnli")]
    with pytest.raises(FileNotFoundError) as caught:
        check_files(tasks, folder)
    first, cola, mnli, way_on = str(caught.value).splitlines()
    assert first == "2 of 3 tasks without local files:"
    assert cola.startswith(
        f"  glue/cola: looked for {folder}/glue/cola/train, {folder}/glue/cola/validation (."
    )
    assert re.search(r"mnli/validation_matched, \S+/validation_mismatched \(", mnli)
    assert "mnli/train" not in mnli
    assert way_on == "put them there, or take the tasks that are there: --tasks glue/rte"


def test_nothing_to_take_offers_nothing(folder):
    with pytest.raises(FileNotFoundError, match=r"put them there$"):
        check_files([load_task("glue/cola")], folder)


def test_borrowed_splits_lie_with_their_lender(folder):
    assert absent_files(load_task("xtreme/xnli"), folder)[0].endswith("xtreme/xnli/test.en")


def test_some_languages_are_enough_to_tell_later(folder):
    (folder / "xtreme/xnli").mkdir(parents=True)
    (folder / "xtreme/xnli/test.de.jsonl").touch()
    assert absent_files(load_task("xtreme/xnli"), folder) == []


def test_other_sources_need_no_folder(folder):
    assert absent_files(load_task("builtin/sentiment"), folder) == []
    assert absent_files(load_task("glue/cola"), None) == []
