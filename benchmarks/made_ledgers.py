"""Ledgers of runs that nobody made: everything that a run leaves, with seeded numbers.

python -m benchmarks.made_ledgers runs/made --seeds 67
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_runs import MadeTask, examples, failed, made_run
from dither.bench.plans.settings import full_settings
from dither.bench.tasks.variations import settings_of
from dither.results import Experiment, Ledger, RunSpec

Methods = Mapping[str, Mapping[str, Any]]

GLUE = (
    MadeTask("glue/rte", level=67.7, spread=1.9),
    MadeTask("glue/cola", ("matthews",), level=58.1, spread=1.4),
    MadeTask("glue/mrpc", ("accuracy", "f1"), level=87.1, spread=0.8),
    MadeTask("glue/stsb", ("pearson", "spearman"), level=89.4, spread=0.4, answers=(0.5, 2.5, 4.0)),
    MadeTask("glue/sst2", level=93.0, spread=0.4),
    MadeTask("glue/qnli", level=91.5, spread=0.3),
    MadeTask("glue/qqp", ("accuracy", "f1"), level=89.2, spread=0.2),
    MadeTask(
        "glue/mnli", ("accuracy",), ("matched", "mismatched"), level=84.4, spread=0.2, answers=(0, 1, 2)
    ),
    MadeTask("glue/wnli", level=54.4, spread=2.5),
)
PAWSX = MadeTask("xtreme/pawsx", evaluations=("en", "de", "es", "fr", "ja", "ko", "zh"), level=84.0)


def arms(*names: str) -> dict[str, dict[str, Any]]:
    """Methods with all their settings, by names such as `none` and `pats@beta=0.98`."""
    return {name: full_settings(name, settings_of(name)) for name in names}


MATCHED = 0.34
"""λ of made runs that have NoisyTune's dose."""
METHODS = arms("none", "noisytune", "noisytune-global", "pats", "pats-magnitude")


def make_ledger(
    folder: Path,
    *,
    tasks: Sequence[MadeTask] = GLUE,
    methods: Methods = METHODS,
    seeds: int = 3,
    failures: int = 2,
    scoreless: int = 0,
    **more: Any,
) -> int:
    """Write a ledger and return the number of its runs.

    Args:
        folder: where; new.
        tasks: of the runs.
        methods: settings by name; `none` is what the others are compared with.
        seeds: runs of each task and method.
        failures: so many runs of the first task and the last method fail, at the last seeds.
        scoreless: so many of them have no score.
        more: of the `Experiment`, such as its kind, its model and its margin.
    """
    plan = _plan(tasks, methods, seeds, more)
    generator = np.random.default_rng(0)
    with Ledger.create_or_resume(folder, plan) as ledger:
        for count, (task, method, seed, points) in enumerate(_runs(generator, tasks, methods, seeds)):
            result = made_run(generator, _spec(plan, task, method, seed), task, points, count)
            left = seeds - seed if task == tasks[0] and method == list(methods)[-1] else failures + 1
            ledger.add(failed(result, scored=left > scoreless) if left <= failures else result)
    return len(tasks) * len(methods) * seeds


def _plan(tasks: Sequence[MadeTask], methods: Methods, seeds: int, more: Mapping[str, Any]) -> Experiment:
    values: dict[str, Any] = {
        "kind": "compare",
        "model": "made/encoder",
        "model_digest": "made",
        "tasks": {
            task.name: {
                "task_digest": "made",
                "data_digest": "made",
                "rows": {"train": 1000, **dict.fromkeys(task.evaluations, examples(task))},
            }
            for task in tasks
        },
        "methods": {name: dict(settings) for name, settings in methods.items()},
        "train_settings": {"learning_rate": 2e-5},
        "threads": 1,
        "dtype": "float32",
        "recipe_version": 1,
        "seeds": tuple(range(seeds)),
        "doses": {task.name: dict(_doses(methods)) for task in tasks},
    }
    return Experiment(**{**values, **more})


def _doses(methods: Methods) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the noise of each method does; a λ that is asked for in a word is MATCHED."""
    for name, settings in methods.items():
        asked = settings.get("noise_lambda")
        if isinstance(asked, str):
            reference = {"method": "noisytune", "noise_lambda": 0.15, "d": 0.13}
            dose = {"noise_lambda": MATCHED, "d": 0.131, "draws": [0.128, 0.134], "reference": reference}
            yield name, {"asked": asked, **dose, "energy": 0.004}
        elif isinstance(asked, float):
            d = 0.9 * asked
            yield name, {"asked": asked, "noise_lambda": asked, "d": d, "draws": [d, d], "energy": 0.003}


def _runs(
    generator: np.random.Generator, tasks: Sequence[MadeTask], methods: Methods, seeds: int
) -> Iterator[tuple[MadeTask, str, int, float]]:
    """Seed by seed, with points: a seed's luck is common to all methods, a method's effect to all seeds."""
    common = generator.normal(size=(len(tasks), seeds))
    effects = generator.normal(0.3, 0.4, size=(len(tasks), len(methods)))
    for seed in range(seeds):
        for at, task in enumerate(tasks):
            for number, method in enumerate(methods):
                own = generator.normal()
                effect = effects[at, number] if method != "none" else 0.0
                points = task.level + task.spread * (0.8 * common[at, seed] + 0.6 * own + effect)
                yield task, method, seed, min(points, 99.0)


def _spec(plan: Experiment, task: MadeTask, method: str, seed: int) -> RunSpec:
    dose = plan.doses[task.name].get(method, {})
    strength = {"noise_lambda": dose["noise_lambda"]} if dose else {}
    return RunSpec(
        task.name,
        **{key: plan.tasks[task.name][key] for key in ("task_digest", "data_digest")},
        model=plan.model,
        model_digest=plan.model_digest,
        method=method,
        method_settings={**plan.methods[method], **strength},
        train_settings=plan.train_settings,
        seed=seed,
        threads=plan.threads,
        dtype=plan.dtype,
        recipe_version=plan.recipe_version,
    )


def main() -> None:
    """Write nine tasks, five methods and some seeds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.made_ledgers", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print(f"{make_ledger(args.folder, seeds=args.seeds)} runs in {args.folder}")


if __name__ == "__main__":
    main()
