"""What a plan knows of its doses, as rows for tables: one for each task and method."""

from __future__ import annotations

from typing import Any

from dither.results.experiment import Experiment

NUMBERS = ("asked", "noise_lambda", "d", "energy")


def dose_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """A row for each task and method of a plan, in its order; none where no dose is known.

    Returns:
        Rows with `task`, `method`; `asked`, the λ or the word that it was asked for by; `noise_lambda`, the
        number that its runs have; `d`, with the least and the greatest of its draws (`d_low`, `d_high`);
        `energy`; and `reference`, what a word refers to, with its λ. None where a method has no dose, as
        plain fine-tuning, or where it was not measured.

    Example:
        >>> dose = {"asked": "matched", "noise_lambda": 0.3, "d": 0.1, "draws": [0.09, 0.11], "energy": 0.005}
        >>> plan = Experiment(
        ...     kind="compare", model="m", model_digest="m1", threads=1, dtype="float32", recipe_version=1,
        ...     tasks={"glue/rte": {"task_digest": "t", "data_digest": "d"}}, train_settings={}, seeds=(0,),
        ...     methods={"none": {}, "pats": {}}, doses={"glue/rte": {"pats": dose}},
        ... )
        >>> [(row["method"], row["noise_lambda"], row["d_high"]) for row in dose_rows(plan)]
        [('none', None, None), ('pats', 0.3, 0.11)]
    """
    if not any(experiment.doses.values()):
        return []
    return [
        _row(task, method, experiment.doses.get(task, {}).get(method, {}))
        for task in experiment.tasks
        for method in experiment.methods
    ]


def _row(task: str, method: str, dose: dict[str, Any]) -> dict[str, Any]:
    draws, to = dose.get("draws", []), dose.get("reference")
    return {
        "task": task,
        "method": method,
        **{name: dose.get(name) for name in NUMBERS},
        "d_low": min(draws, default=None),
        "d_high": max(draws, default=None),
        "reference": None if to is None else f"{to['method']}, λ {to['noise_lambda']}",
    }
