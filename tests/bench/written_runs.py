"""A folder of runs whose predictions are given, as if they had been made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from dither.bench.data.loading import load
from dither.bench.tasks.files import load_task
from dither.results import Experiment, Ledger, RunResult, RunSpec

Predictions = Mapping[str, list[Any]]
SAME = {"model": "builtin", "model_digest": "m", "threads": 1, "dtype": "float32", "recipe_version": 1}
UNKNOWN = {"task_digest": "t", "data_digest": "d"}


def digests_of(task: str, data_dir: Path | None = None) -> dict[str, str]:
    """What a plan has of a task of the package."""
    loaded = load_task(task)
    return {"task_digest": loaded.digest, "data_digest": load(loaded, data_dir).digest}


def write_runs(
    folder: Path,
    runs: Mapping[tuple[str, int], Predictions],
    *,
    task: str = "mine/films",
    further: Sequence[str] = (),
    digests: Mapping[str, str] = UNKNOWN,
    failed: Collection[tuple[str, int]] = (),
) -> Path:
    """Record runs by method and seed, of one task or the same of several; the plan is all of them."""
    tasks = {name: dict(digests) for name in (task, *further)}
    methods = {method: {} for method, _ in runs}
    seeds = tuple(dict.fromkeys(seed for _, seed in runs))
    plan = Experiment(kind="compare", tasks=tasks, methods=methods, train_settings={}, seeds=seeds, **SAME)
    with Ledger.create_or_resume(folder, plan) as ledger:
        for name, ((method, seed), predictions) in product(tasks, runs.items()):
            broken = (method, seed) in failed
            spec = RunSpec(
                task=name, method=method, method_settings={}, train_settings={}, seed=seed, **digests, **SAME
            )
            result = RunResult(
                spec=spec,
                status="failed" if broken else "finished",
                failure="it diverged" if broken else None,
                score=None if broken else 50.0,
                constant_score=40.0,
                metrics={name: {} for name in predictions},
                predictions=dict(predictions),
                environment={},
                seconds=1.0,
                started="2026-01-31T12:00:00+00:00",
            )
            ledger.add(result)
    return folder
