"""Whether training in bf16 scores as float32 does: paired runs of plain fine-tuning, an equivalence test.

Run seed s sets order, head and dropout in both. The margin is declared here, before any run: one point, half
of what seeds scatter by on the built-in tasks. It takes some minutes, so it runs only when asked for:
python -m benchmarks --only precision
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.fine_tuning import HALF, WHOLE, places
from benchmarks.timing import significant
from dither.bench.executors.processes import run_in_processes
from dither.bench.plans.plan import Plan
from dither.bench.plans.settings import parse_settings
from dither.results import RunResult
from dither.stats import Score, analyse
from dither.stats.effect import Effect

MARGIN = 1.0
TASKS = ("builtin/entailment", "builtin/similarity")
SEEDS = range(6)
REAL = "glue/stsb"
_SHORT = ("train.max_steps=80", "train.batch_size=16", "train.max_length=128", "train.learning_rate=5e-5")
BOTH = "over both tasks"


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """The built-in tasks, then a short training of a real encoder on one of GLUE, where its files are."""
    if device != "cpu":
        return
    seeds = range(2) if quick else SEEDS
    settings = ("train.max_steps=3",) if quick else ()
    yield compared(TASKS, "builtin", "built-in encoder", seeds, settings)
    if quick:
        return
    model, data = places()
    if isinstance(data, str):
        yield {"model": f"{REAL}, MiniLM", "candidates": {REAL: {"omitted": data}}}
    else:
        yield compared((REAL,), model, "MiniLM, 80 steps", seeds, _SHORT, data_dir=str(data))


def compared(
    tasks: Sequence[str],
    model: str,
    name: str,
    seeds: Sequence[int],
    settings: Sequence[str],
    *,
    data_dir: str | None = None,
) -> dict[str, Any]:
    """Paired runs in both precisions, and what their differences tell."""
    load, scores = os.getloadavg()[0], list[Score]()
    for arm, more in ((WHOLE, ()), (HALF, ("train.precision=bf16",))):
        methods, train = parse_settings([*settings, *more], ["none"])
        plan = Plan.create(tasks, model, methods, seeds, train_settings=train, data_dir=data_dir)
        scores += [_score(arm, result) for result in run_in_processes(plan.requests(), _jobs())]
    table = analyse(scores, baseline=WHOLE, planned_seeds=seeds, margin=MARGIN).all_runs
    rows = {row.task: row for row in table.comparisons}
    found = {
        task: _row(row) | {"means": [significant(row.baseline_mean), significant(row.method_mean)]}
        for task, row in rows.items()
    }
    if len(tasks) > 1:
        found[BOTH] = _row(table.macro(HALF))
    points = f"{MARGIN:g} point{'s' * (MARGIN != 1)}"
    what = f"bf16 less float32, {len(seeds)} seeds, margin {points}, declared before"
    note = f"load of the machine {load:.1f} to {os.getloadavg()[0]:.1f}"
    return {"model": name, "what": what, "note": note, "candidates": found}


def _jobs() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _row(effect: Effect) -> dict[str, Any]:
    """The numbers of one difference, in points."""
    low, high = effect.interval
    return {
        "difference": significant(effect.difference),
        "interval": [significant(low), significant(high)],
        "p": significant(effect.p),
        "p_equivalence": significant(effect.p_equivalence_holm),
        "verdict": effect.verdict.text,
    }


def _score(arm: str, result: RunResult) -> Score:
    assert result.score is not None, result.failure
    return Score(arm, result.spec.task, result.spec.seed, result.score, failed=result.status == "failed")
