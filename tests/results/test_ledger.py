import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import version

import pytest
from results_samples import TASK, closed_ledger, experiment, failed, files, result, spec, sql

from dither.results import STATISTICS, Ledger, LedgerError, Look
from dither.results.journal import Journal

ONE_FILE = ["ledger.sqlite"]


def filled(folder, runs=3):
    with Ledger.create_or_resume(folder, experiment()) as ledger:
        for seed in range(runs):
            ledger.add(result(spec(seed)))
    return folder


def test_runs_come_back_as_they_were(tmp_path):
    runs = [result(spec(0)), failed(spec(1)), result(spec(2, "noisytune"), predictions={}, record={"n": [1]})]
    with Ledger.create_or_resume(tmp_path / "new" / "out", experiment()) as ledger:
        for run in runs:
            ledger.add(run)
        assert list(ledger.results(predictions=True)) == runs
    ledger = Ledger.read(tmp_path / "new" / "out")
    assert list(ledger.results(predictions=True)) == runs
    assert list(ledger.results()) == [run.without_predictions() for run in runs]
    assert ledger.finished_ids() == [run.id for run in runs]
    assert [ledger.get(run.id) for run in runs] == runs
    assert ledger.predictions(runs[0].id) == runs[0].predictions
    assert (len(ledger), runs[1].id in ledger, "x" in ledger, bool(ledger)) == (3, True, False, True)


def test_many_runs_are_read_in_batches(tmp_path):
    plan = experiment(seeds=tuple(range(100)))
    with Ledger.create_or_resume(tmp_path, plan) as ledger:
        assert list(ledger.results()) == []
        for seed in range(100):
            ledger.add(result(spec(seed), rows=1))
    assert [run.spec.seed for run in Ledger.read(tmp_path).results()] == list(range(100))


def test_closed_ledger_is_one_file_that_other_tools_read(tmp_path):
    filled(tmp_path)
    assert files(tmp_path) == ONE_FILE
    rows = sql(tmp_path / "ledger.sqlite", "SELECT task, method, seed, status, score FROM runs ORDER BY seed")
    assert rows == [(TASK, "none", seed, "finished", 80.0 + seed / 7) for seed in range(3)]
    assert sql(tmp_path / "ledger.sqlite", "PRAGMA journal_mode") == [("delete",)]


def test_resume_goes_on_where_it_was(tmp_path):
    filled(tmp_path)
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        assert [spec(seed).id for seed in range(3)] == ledger.finished_ids()
        assert sql(ledger.path, "PRAGMA journal_mode") == [("wal",)]
        ledger.add(result(spec(3)))
    with Ledger.resume(tmp_path) as ledger:
        assert len(ledger) == 4
        assert ledger.experiment == experiment()
    assert files(tmp_path) == ONE_FILE


def test_the_same_run_twice_is_an_error_and_changes_nothing(tmp_path):
    filled(tmp_path)
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        other_name = replace(spec(1), model="./copy/of/builtin")
        with pytest.raises(LedgerError, match=rf"{spec(1).id} \({TASK}, none, seed 1\) is recorded in"):
            ledger.add(result(other_name, score=1.0))
        assert ledger.get(spec(1).id) == result(spec(1))
        assert len(ledger) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "other"}, rf"task outside the plan; it has {TASK}"),
        ({"seed": 99}, r"seed outside the plan; it has 0, 1, 2"),
        ({"model_digest": "m2"}, r"has model_digest 'm2', but the plan of this folder says 'm1'"),
        ({"data_digest": "d2"}, r"has data_digest 'd2'"),
        ({"threads": 2}, r"has threads 2"),
        ({"recipe_version": 2}, r"has recipe_version 2"),
    ],
)
def test_runs_of_another_experiment_are_refused(tmp_path, change, message):
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        with pytest.raises(LedgerError, match=message):
            ledger.add(result(replace(spec(), **change)))
        ledger.add(result(spec()))


def test_only_whole_results_are_recorded(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        with pytest.raises(LedgerError, match=r"seed 0\) has no predictions; give \{\} if there are none"):
            ledger.add(result().without_predictions())
        with pytest.raises(LedgerError, match="records a RunResult, not a dict"):
            ledger.add({"score": 1})
        assert len(ledger) == 0


def test_unknown_runs_are_refused(tmp_path):
    ledger = Ledger.read(filled(tmp_path))
    for read in (ledger.get, ledger.predictions):
        with pytest.raises(LedgerError, match=r"no run 'abc' among the 3 of .*finished_ids\(\) lists all"):
            read("abc")


def test_a_reader_does_not_write(tmp_path):
    ledger = Ledger.read(filled(tmp_path))
    for write in (lambda: ledger.add(result(spec(5))), ledger.record_look, lambda: ledger.record_start("x")):
        with pytest.raises(LedgerError, match="is open for reading"):
            write()
    assert files(tmp_path) == ONE_FILE


def test_a_closed_writer_says_so(tmp_path):
    ledger = Ledger.create_or_resume(tmp_path, experiment())
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match=r"is closed\. Open it again"):
        ledger.add(result())


def test_looks_are_counted_with_the_plan_of_their_time(tmp_path):
    when = "2026-01-31T12:00:00+00:00"
    with Ledger.create_or_resume(tmp_path, experiment(seeds=(0, 1))) as ledger:
        assert ledger.record_look(when=when) == Look(when, 2, runs=0, statistics=STATISTICS)
        ledger.add(result())
    with Ledger.create_or_resume(tmp_path, experiment(seeds=(0, 1, 2))) as ledger:
        ledger.record_look()
        with pytest.raises(LedgerError, match="when is 'today'"):
            ledger.record_look(when="today")
    looks = Ledger.read(tmp_path).looks
    assert [(look.planned, look.runs) for look in looks] == [(2, 0), (3, 1)]


def test_a_peek_says_that_it_is_one(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment(seeds=(0, 1))) as ledger:
        assert ledger.record_look(peek=True, complete=1).complete == 1
        ledger.record_look()
        ledger.record_look(complete=8, most=24)
    assert [(one.peek, one.complete, one.most) for one in Ledger.read(tmp_path).looks] == [
        (True, 1, None),
        (False, None, None),
        (False, 8, 24),
    ]
    bodies = sql(tmp_path / "ledger.sqlite", "SELECT body FROM journal WHERE kind = 'look' ORDER BY n")
    assert [len(json.loads(body)) for (body,) in bodies] == [6, 4, 6]


def test_a_look_says_by_which_rules_verdicts_were_made(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment(seeds=(0, 1))) as ledger:
        ledger.record_look()
        with ledger._writing() as journal:
            journal.append("look", "2", '{"when":"2026-01-31T12:00:00+00:00","planned":2,"runs":0}')
    assert [one.statistics for one in Ledger.read(tmp_path).looks] == [STATISTICS, 1]


def test_starts_are_kept_with_what_was_typed(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        assert ledger.starts == []
        start = ledger.record_start("dither compare 'my task.toml' --out runs")
        ledger.record_start("dither compare again")
        with pytest.raises(LedgerError, match=r"command is ''; it must be a non-empty string"):
            ledger.record_start("")
    first, second = Ledger.read(tmp_path).starts
    assert first == start
    assert (first.command, second.command) == (start.command, "dither compare again")
    assert start.command == "dither compare 'my task.toml' --out runs"
    assert start.version == version("dither")
    assert datetime.fromisoformat(start.when).utcoffset() == timedelta(0)


def test_entries_of_a_kind_that_is_not_known_are_passed_over(tmp_path):
    path = closed_ledger(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        Journal(connection, path).append("of a newer dither", "1", '{"what": "ever"}')
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        ledger.add(result(spec(7)))
        ledger.record_look()
    ledger = Ledger.read(tmp_path)
    assert (len(ledger), len(ledger.looks), ledger.starts, ledger.extensions) == (3, 1, [], [])


def test_mixed_versions_are_told_and_counted(tmp_path):
    usual = result().environment
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        ledger.add(result(spec(0)))
        assert ledger.mixed_versions() == []
        ledger.add(result(spec(1)))
        changed = {**usual, "torch": "2.12.1", "cuda": {"driver": 12}}
        ledger.add(result(spec(1, "noisytune"), environment=changed))
        assert ledger.environments() == [(usual, 2), (changed, 1)]
        mixed = "; in 1 of 2 pairings (same task and seed) the methods are not run alike."
        assert ledger.mixed_versions() == [
            f"The runs differ in cuda.driver: unknown (2 runs), 12 (1 run){mixed}",
            f"The runs differ in torch: 2.13.0 (2 runs), 2.12.1 (1 run){mixed}",
        ]


def test_import_needs_no_torch():
    code = "import sys, dither.results; sys.exit(bool({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_whether_there_is_one_is_known_before_it_is_read(tmp_path):
    assert not Ledger.exists(tmp_path / "new")
    with Ledger.create_or_resume(tmp_path / "new", experiment()):
        assert Ledger.exists(tmp_path / "new")
    assert not Ledger.exists(tmp_path)
