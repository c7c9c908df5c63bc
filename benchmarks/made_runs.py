"""A run that nobody made, with everything that a run leaves."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from dither import Record
from dither.bench.tasks.variations import base_of
from dither.record import TensorRecord
from dither.results import RunResult, RunSpec

ENTRIES = 50
"""Of a run's history."""
EXAMPLES = 200
"""Of a run's predictions, over all evaluations."""

_WIDTH, _LAYERS = 96, 2
_START = datetime(2026, 1, 31, 12, tzinfo=UTC)
_ENVIRONMENT = {"dither": "0.1", "torch": "2.13.0", "transformers": "5.23.0", "device": "cpu", "cpu": "made"}


@dataclass(frozen=True)
class MadeTask:
    """A task to make up runs of.

    Args:
        name: any text.
        metrics: all of them primary: their mean over the evaluations is the score.
        evaluations: names of the evaluation splits.
        level: the score of plain fine-tuning, in points, about.
        spread: the standard deviation over seeds, in points.
        answers: what a model may predict.
    """

    name: str
    metrics: tuple[str, ...] = ("accuracy",)
    evaluations: tuple[str, ...] = ("validation",)
    level: float = 75.0
    spread: float = 1.0
    answers: tuple[Any, ...] = (0, 1)


def made_run(
    generator: np.random.Generator, spec: RunSpec, task: MadeTask, points: float, count: int
) -> RunResult:
    """A run that ended well.

    Args:
        generator: of all numbers.
        spec: of the run.
        task: what it was trained on.
        points: the score to come close to.
        count: of the runs before it.
    """
    spreads = generator.normal(0, 0.01, size=(len(task.evaluations), len(task.metrics)))
    values = points / 100 + spreads - spreads.mean()
    metrics = {
        name: {metric: float(value) for metric, value in zip(task.metrics, row, strict=True)}
        for name, row in zip(task.evaluations, values, strict=True)
    }
    picks = generator.integers(len(task.answers), size=(len(task.evaluations), examples(task)))
    seconds = float(generator.normal(60, 3))
    return RunResult(
        spec=spec,
        status="finished",
        score=100 * float(values.mean()),
        constant_score=task.level - 15,
        metrics=metrics,
        predictions={
            name: [task.answers[pick] for pick in row]
            for name, row in zip(task.evaluations, picks, strict=True)
        },
        history=_history(generator),
        record=_record(generator, spec),
        environment=dict(_ENVIRONMENT),
        seconds=seconds,
        step_seconds=0.8 * seconds,
        peak_memory_mb=float(generator.normal(800, 10)),
        started=(_START + timedelta(minutes=count)).isoformat(timespec="seconds"),
    )


def failed(result: RunResult, *, scored: bool) -> RunResult:
    """The same run as one that broke down: with the constant predictor's score, or with none."""
    history = [
        row | {"loss": math.nan} if row["step"] > 200 and "loss" in row else row for row in result.history
    ]
    failure = "the training loss is not finite at step 210"
    score = result.constant_score if scored else None
    return replace(result, status="failed", failure=failure, score=score, history=history)


def examples(task: MadeTask) -> int:
    """How many predictions a run makes in each evaluation."""
    return EXAMPLES // len(task.evaluations)


def _history(generator: np.random.Generator) -> list[dict[str, Any]]:
    """A falling loss, every ten steps, and the Trainer's last line."""
    steps = range(10, 10 * ENTRIES, 10)
    noise = generator.normal(0, 0.03, size=len(steps))
    losses = [0.2 + 0.5 * math.exp(-step / 150) + float(at) for step, at in zip(steps, noise, strict=True)]
    rates = [2e-5 * (1 - step / (10 * ENTRIES)) for step in steps]
    rows: list[dict[str, Any]] = [
        {"loss": loss, "grad_norm": 1.0, "learning_rate": rate, "epoch": step / 100, "step": step}
        for loss, rate, step in zip(losses, rates, steps, strict=True)
    ]
    return [*rows, {"train_loss": sum(losses) / len(losses), "train_runtime": 50.0, "step": 10 * ENTRIES}]


def _record(generator: np.random.Generator, spec: RunSpec) -> dict[str, Any] | None:
    """What a method noised, by its family; None for plain fine-tuning."""
    strength = spec.method_settings.get("noise_lambda")
    if strength is None:
        return None
    family = base_of(spec.method).split("-")[0]
    stds = generator.uniform(0.02, 0.2, size=len(_SHAPES))
    rows = [
        _row(name, shape, float(std), float(strength))
        for (name, shape), std in zip(_SHAPES.items(), stds, strict=True)
    ]
    recipe = {"version": 1, "method": family, **spec.method_settings, "seed": spec.seed}
    steps = 10 * ENTRIES if family == "pats" else 0
    return {
        family: Record(recipe, "0123456789abcdef", "native (made)", 1, tuple(rows), steps=steps).to_json()
    }


def _row(name: str, shape: tuple[int, ...], std: float, strength: float) -> TensorRecord:
    path = name.removeprefix("head:") if name.startswith("head:") else f"bert.{name}"
    if name.endswith("LayerNorm.weight"):
        return TensorRecord(name, path, shape, "float32", reason="constant")
    noise = strength * std / math.sqrt(12)
    return TensorRecord(name, path, shape, "float32", None, std, strength, noise, noise * 1.0001, 0.01)


def _shapes() -> dict[str, tuple[int, ...]]:
    """The 40 tensors of a small BERT, by canonical name."""
    norm = {"LayerNorm.weight": (_WIDTH,), "LayerNorm.bias": (_WIDTH,)}
    linear = {
        "attention.self.query": (_WIDTH, _WIDTH),
        "attention.self.key": (_WIDTH, _WIDTH),
        "attention.self.value": (_WIDTH, _WIDTH),
        "attention.output.dense": (_WIDTH, _WIDTH),
        "intermediate.dense": (4 * _WIDTH, _WIDTH),
        "output.dense": (_WIDTH, 4 * _WIDTH),
    }
    layer = {f"{name}.weight": shape for name, shape in linear.items()}
    layer |= {f"{name}.bias": shape[:1] for name, shape in linear.items()}
    layer |= {
        f"{part}.{name}": shape for part in ("attention.output", "output") for name, shape in norm.items()
    }
    sizes = {"word": 1000, "position": 64, "token_type": 2}
    return {
        **{f"embeddings.{name}_embeddings.weight": (size, _WIDTH) for name, size in sizes.items()},
        **{f"embeddings.{name}": shape for name, shape in norm.items()},
        **{f"encoder.layer.{n}.{name}": shape for n in range(_LAYERS) for name, shape in layer.items()},
        "pooler.dense.weight": (_WIDTH, _WIDTH),
        "pooler.dense.bias": (_WIDTH,),
        "head:classifier.weight": (2, _WIDTH),
    }


_SHAPES = _shapes()
