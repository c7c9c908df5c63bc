"""Small experiments, runs and folders for the tests of the ledger."""

import os
import sqlite3
import traceback
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dither.results import Experiment, Ledger, LedgerError, RunResult, RunSpec

TASK = "builtin/sentiment"
NOBODY = 65534


def experiment(**changes: Any) -> Experiment:
    values: dict[str, Any] = {
        "kind": "compare",
        "model": "builtin",
        "model_digest": "m1",
        "tasks": {TASK: {"task_digest": "t1", "data_digest": "d1"}},
        "methods": {"none": {}, "noisytune": {"noise_lambda": 0.15}},
        "train_settings": {"learning_rate": 3e-5},
        "threads": 1,
        "dtype": "float32",
        "recipe_version": 1,
        "seeds": tuple(range(9)),
    }
    return Experiment(**{**values, **changes})


def spec(seed: int = 0, method: str = "none", **changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "task": TASK,
        "task_digest": "t1",
        "data_digest": "d1",
        "model": "builtin",
        "model_digest": "m1",
        "method": method,
        "method_settings": {} if method == "none" else {"noise_lambda": 0.15},
        "train_settings": {"learning_rate": 3e-5, "epochs": 3},
        "seed": seed,
        "threads": 1,
        "dtype": "float32",
        "recipe_version": 1,
    }
    return RunSpec(**{**values, **changes})


def result(of: RunSpec | None = None, *, rows: int = 40, **changes: Any) -> RunResult:
    of = of or spec()
    values: dict[str, Any] = {
        "spec": of,
        "status": "finished",
        "score": 80.0 + of.seed / 7,
        "constant_score": 50.0,
        "metrics": {"validation": {"accuracy": 0.8 + of.seed / 700}},
        "predictions": {"validation": [(i * 7919 + of.seed) % 1009 / 1009 for i in range(rows)]},
        "history": [{"step": i, "loss": 1 / (i + 1)} for i in range(20)],
        "record": None,
        "environment": {
            "dither": "0.1",
            "torch": "2.13.0",
            "transformers": "5.23",
            "device": "cpu",
            "cpu": "x",
        },
        "seconds": 1.5,
        "peak_memory_mb": 300.0,
        "started": "2026-01-31T12:00:00+00:00",
    }
    return RunResult(**{**values, **changes})


def failed(of: RunSpec, **changes: Any) -> RunResult:
    values = {"status": "failed", "failure": "the loss is nan at step 3", "score": None, **changes}
    return replace(result(of), **values)


def closed_ledger(folder: Path, runs: int = 2) -> Path:
    with Ledger.create_or_resume(folder, experiment()) as ledger:
        for seed in range(runs):
            ledger.add(result(spec(seed)))
    return folder / "ledger.sqlite"


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def sql(path: Path, *statements: str) -> list[Any]:
    """Run statements in the database with plain sqlite3; return the rows of the last one."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        connection.commit()
    return rows


def fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 dislikes forks beside threads
        return os.fork()


def in_child(work: Callable[[], str], *, user: int | None = None) -> str:
    """Run `work` in a forked child, as `user` if we are root, and return what it returned.

    A LedgerError comes back as "LedgerError: message"; any other exception fails the test.
    """
    reading, writing = os.pipe()
    child = fork()
    if child == 0:
        code = 1
        try:
            if user is not None and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            try:
                text, code = work(), 0
            except LedgerError as error:
                text, code = f"LedgerError: {error}", 0
            except BaseException:
                text = traceback.format_exc()
            os.write(writing, text.encode()[:60_000])
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, text
    return text
