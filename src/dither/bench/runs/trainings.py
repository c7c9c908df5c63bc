"""Runs that share a training: it is made once for each seed and arm, and each of their tasks is evaluated."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import MISSING, asdict, fields, replace

from dither.bench.runs.request import RunRequest
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.task import Task
from dither.results import RunSpec


def training_id(spec: RunSpec, task: Task, rows: str) -> str:
    """The identity of the training that a run stands on: equal for runs whose trained weights are equal.

    It covers all that determines the weights, and nothing of what they are evaluated on: rows of the train
    splits, head and labels that are learned, the recipe with the run's changes, the model's files, method and
    its settings (whose defaults differ on tasks of several languages), seeds, threads, processes, number
    format, version of the noise. Measuring changes no weight, so it is no part.

    Args:
        spec: of the run.
        task: of the run.
        rows: digest of the rows that are trained on, in order (`TaskData.trained`).

    Returns:
        32 hex digits.

    Example:
        >>> from dither.bench.tasks.files import load_task
        >>> spec = RunSpec("t", "t1", "d1", model="builtin", model_digest="m1", method="none", seed=0,
        ...                method_settings={}, train_settings={}, threads=1, dtype="float32",
        ...                recipe_version=1)
        >>> one, other = (load_task(f"builtin/{name}") for name in ("entailment", "mining"))
        >>> training_id(spec, one, "r") == training_id(spec, other, "r")
        True
    """
    learned, recipe = task.learned, replace(task.recipe, **spec.train_settings)
    own = ("model_digest", "method", "method_settings", "seed", "training_seed", "threads", "processes")
    document = {
        "rows": rows,
        "learned": {key: getattr(learned, key) for key in ("head", "columns", "label", "labels", "range")},
        "recipe": _changed(recipe),
        "run": {key: getattr(spec, key) for key in (*own, "dtype", "recipe_version")},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def _changed(recipe: Recipe) -> dict[str, object]:
    """What differs from the defaults, so that settings which come later leave identities as they are."""
    defaults = {each.name: each.default for each in fields(recipe) if each.default is not MISSING}
    return {
        key: value for key, value in asdict(recipe).items() if key not in defaults or value != defaults[key]
    }


def together(requests: Iterable[RunRequest]) -> list[RunRequest]:
    """One request for each training, in the order of their first runs, with the others in its `also`.

    Args:
        requests: of runs, each alone.
    """
    found: dict[object, list[RunRequest]] = {}
    for number, request in enumerate(requests):
        found.setdefault(request.training or number, []).append(request)
    return [replace(first, also=tuple(others)) for first, *others in found.values()]
