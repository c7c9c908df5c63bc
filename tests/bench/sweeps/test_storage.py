"""The database of a search: what cannot be reached is told, and no secret of its URL."""

from __future__ import annotations

import traceback

import pytest

from dither.bench.sweeps import storage
from dither.bench.sweeps.rules import check_search, search_tasks
from dither.bench.sweeps.storage import StorageError, opened_storage
from dither.bench.tasks.files import load_task

URLS = {
    "sqlite:////nonexistent/x.db": r"--storage sqlite:////nonexistent/x\.db cannot be used: unable to open",
    "nosuch://me:hidden@host/db": "--storage nosuch://host/db cannot be used: Can't load plugin: .*nosuch",
    "sqlite+nosuch:///x.db?key=hidden": "cannot be used: Can't load plugin: .*nosuch",
    "trials.db": "--storage is no URL of a database; write one such as sqlite:////folder/study.db",
    "hidden": "--storage is no URL of a database",
    "postgresql+pg8000://me:hidden@127.0.0.1:1/db?password=hidden": "No module named 'pg8000'",
    "sqlite:///{hidden}.db": "cannot be used",
}


@pytest.mark.parametrize("url", list(URLS))
def test_a_storage_that_cannot_be_used(tmp_path, url):
    with pytest.raises(StorageError, match=URLS[url]) as caught, opened_storage(tmp_path, url):
        pass
    told = "".join(traceback.format_exception(caught.value))
    assert "me:" not in told
    if "{" not in url:
        assert "hidden" not in told


def test_a_database_says_why_without_the_secrets(tmp_path, monkeypatch):
    import optuna

    def refuse(url):
        raise RuntimeError("no entry for user=me password=s3cret%21 or s3cret! at all")

    monkeypatch.setattr(optuna.storages, "RDBStorage", refuse)
    url = "postgresql://me:s3cret%21@host/db"
    with pytest.raises(StorageError, match="no entry for user=") as caught, opened_storage(tmp_path, url):
        pass
    assert "s3cret" not in str(caught.value)


def test_a_database_that_goes_away_is_told(tmp_path):
    from sqlalchemy.exc import OperationalError

    with (
        pytest.raises(StorageError, match=r"study\.sqlite failed: gone\. Finished runs are kept"),
        opened_storage(tmp_path, None),
    ):
        raise OperationalError("select 1", {}, Exception("gone"))


def test_optuna_missing_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "find_spec", lambda name: None)
    with (
        pytest.raises(ImportError, match=r"--search needs Optuna: pip install 'dither\[sweep\]'"),
        opened_storage(tmp_path, None),
    ):
        pass


@pytest.mark.parametrize(
    ("trials", "seeds", "message"),
    [
        (0, (0, 1), "--search is 0; it must be at least 1 trial"),
        (-1, (0, 1), "--search is -1"),
        (
            3,
            (0, 101, 100),
            "--search-seeds and --seeds share 100, 101: what was chosen with a seed is flattered",
        ),
    ],
)
def test_searches_that_are_none(trials, seeds, message):
    with pytest.raises(ValueError, match=message):
        check_search("pats", (), trials, seeds=seeds, search_seeds=(100, 101))


@pytest.mark.parametrize(
    ("name", "share", "message"),
    [
        ("glue/rte", 0.0, r"--held-out is 0; it must lie in \(0, 1\)"),
        ("glue/rte", 1.0, r"--held-out is 1; it must lie in \(0, 1\)"),
        ("glue/rte@held_out=0.1", 0.2, "is reported on a part of train, which the search would see"),
        ("glue/rte@train_fraction=0.1", 0.2, "the search would select on rows that it leaves out"),
    ],
)
def test_tasks_that_cannot_be_searched_on(name, share, message):
    with pytest.raises(ValueError, match=message):
        search_tasks([name], [load_task(name)], share)
