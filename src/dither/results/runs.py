"""One run: what determines it (`RunSpec`) and what came out (`RunResult`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from dither.results import canonical_json as cj
from dither.results.errors import LedgerError

STATUSES = ("finished", "failed")


@dataclass(frozen=True)
class RunSpec:
    """Everything that determines a run; its hash is the run's identity.

    Versions of libraries and the device are not part of it; they stand beside it, in the result.

    Args:
        task: the task's name, such as ``glue/rte``.
        task_digest: hash of the task's definition.
        data_digest: hash of the task's data files.
        model: the model as the user typed it; for people, not part of the identity.
        model_digest: hash of the model's files.
        method: the method's name, such as ``noisytune``.
        method_settings: its settings, JSON values only. ``1`` and ``1.0`` are two settings.
        train_settings: the settings of the training run, likewise.
        seed: the run's seed, of at least 0.
        threads: CPU threads of the run, of at least 1.
        dtype: the number format the model is held in, such as ``float32``.
        recipe_version: the version of the noise's recipe.
        processes: that made the run together, of at least 1; another number gives other bits.
        training_seed: of order, head and dropout where that is not `seed`, which then only pairs the run
            (plain against plain under other seeds); None where it is.

    Raises:
        LedgerError: a value is of a wrong type, out of range or not finite.

    Example:
        >>> spec = RunSpec("builtin/sentiment", "t1", "d1", model="builtin", model_digest="m1", method="none",
        ...                method_settings={}, train_settings={"epochs": 3}, seed=0, threads=1,
        ...                dtype="float32", recipe_version=1)
        >>> len(spec.id)
        32
        >>> RunSpec.from_json(spec.to_json()) == spec
        True
    """

    task: str
    task_digest: str
    data_digest: str
    model: str = field(kw_only=True)
    model_digest: str = field(kw_only=True)
    method: str = field(kw_only=True)
    method_settings: dict[str, Any] = field(kw_only=True)
    train_settings: dict[str, Any] = field(kw_only=True)
    seed: int = field(kw_only=True)
    threads: int = field(kw_only=True)
    dtype: str = field(kw_only=True)
    recipe_version: int = field(kw_only=True)
    processes: int = field(kw_only=True, default=1)
    training_seed: int | None = field(kw_only=True, default=None)

    def __post_init__(self) -> None:
        for name in ("task", "task_digest", "data_digest", "model", "model_digest", "method", "dtype"):
            _set(self, name, cj.check_text(getattr(self, name), f"RunSpec.{name}"))
        for name, least in (("seed", 0), ("threads", 1), ("recipe_version", 0), ("processes", 1)):
            _set(self, name, cj.check_integer(getattr(self, name), f"RunSpec.{name}", least=least))
        if self.training_seed is not None:
            cj.check_integer(self.training_seed, "RunSpec.training_seed", least=0)
        for name in ("method_settings", "train_settings"):
            _set(self, name, cj.check_object(getattr(self, name), f"RunSpec.{name}", finite=True))

    @property
    def id(self) -> str:
        """The run's identity: the first 32 hex digits of SHA-256 over canonical JSON without ``model``."""
        document = self.document()
        del document["model"]
        return cj.sha256(cj.canonical(document))[:32]

    def document(self) -> dict[str, Any]:
        """Return the spec as a dict of JSON values; what came later only where it says something."""
        document = without_one_process(asdict(self))
        return {key: value for key, value in document.items() if (key, value) != ("training_seed", None)}

    def to_json(self) -> str:
        """Return the spec as a JSON object."""
        return cj.encode(self.document())

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        """Return the spec that `to_json` wrote; `LedgerError` if `text` is none."""
        return cls.from_document(cj.decode(text, "The run's specification"), "The run's specification")

    @classmethod
    def from_document(cls, document: Any, where: str) -> RunSpec:
        """Return the spec of a decoded JSON object; `LedgerError` if it is none."""
        return cls(**cj.keywords(cls, document, where, optional=("processes", "training_seed")))

    def __str__(self) -> str:
        return f"{self.task}, {self.method}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came out of one run, finished or failed.

    NaN and infinities are kept in all that is measured (a diverged run has them), but not in scores.

    Args:
        spec: what determined the run.
        status: ``finished``, or ``failed``: a non-finite loss or a score not above the constant predictor's.
        failure: why it failed; None for a finished run.
        score: points at the last evaluation; None only for a failed run.
        constant_score: points of the constant predictor on the same data.
        metrics: evaluation split -> metric -> value.
        predictions: evaluation split -> one JSON value per example; None where they were not loaded.
        history: the logged losses, a dict per entry.
        record: what was noised, the JSON of a `dither.Record`; None for a method without noise.
        measurements: of the weights (`dither.bench.runs.measurements`): `average` of what PATS kept; `norms`,
            `sensitivity` and `trace` where they were asked for. None where there is nothing.
        training: what the result stands on: `id` of the training, over how many `runs` its time was shared
            out, and the `seconds` that it took. Runs of one training have the same history, record,
            measurements and start. None where it is unknown, as in runs from before.
        environment: versions, device, cpu, ...: what should be equal in all runs. No host name.
        seconds: wall-clock time, of at least 0: of its own evaluation and, in equal parts over the runs that
            a training was made for, of the training, so that a sum over runs counts it once.
        step_seconds: the part of it in training steps, shared out likewise; None if unknown.
        peak_memory_mb: peak memory in MiB; None if unknown.
        started: ISO 8601 in UTC, such as ``2026-01-31T12:00:00+00:00``.

    Raises:
        LedgerError: a value is of a wrong type or out of range, or score and status do not agree.
    """

    spec: RunSpec
    status: str
    failure: str | None = None
    score: float | None
    constant_score: float
    metrics: dict[str, dict[str, Any]]
    predictions: dict[str, list[Any]] | None = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    record: dict[str, Any] | None = None
    measurements: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    environment: dict[str, Any]
    seconds: float
    step_seconds: float | None = None
    peak_memory_mb: float | None = None
    started: str

    def __post_init__(self) -> None:
        if not isinstance(self.spec, RunSpec):
            raise LedgerError(f"RunResult.spec is a {type(self.spec).__name__}; it must be a RunSpec.")
        self._check_status()
        for name in ("metrics", "environment"):
            _set(self, name, cj.check_object(getattr(self, name), f"RunResult.{name}"))
        for name in ("record", "measurements", "training"):
            if (value := getattr(self, name)) is not None:
                _set(self, name, cj.check_object(value, f"RunResult.{name}"))
        self._check_tables()
        if self.training is not None:
            cj.check_text(self.training.get("id"), "RunResult.training.id")
            cj.check_integer(self.training.get("runs"), "RunResult.training.runs", least=1)
            cj.check_number(self.training.get("seconds"), "RunResult.training.seconds", least=0)
        _set(self, "seconds", cj.check_number(self.seconds, "RunResult.seconds", least=0))
        for name in ("step_seconds", "peak_memory_mb"):
            if getattr(self, name) is not None:
                _set(self, name, cj.check_number(getattr(self, name), f"RunResult.{name}", least=0))
        _set(self, "started", check_time(self.started, "RunResult.started"))

    def _check_status(self) -> None:
        if self.status not in STATUSES:
            raise LedgerError(
                f"RunResult.status is {self.status!r}; it must be one of {', '.join(STATUSES)}."
            )
        _set(self, "constant_score", cj.check_number(self.constant_score, "RunResult.constant_score"))
        if self.score is not None:
            _set(self, "score", cj.check_number(self.score, "RunResult.score (None if there is none)"))
        if self.status == "failed":
            cj.check_text(self.failure, "RunResult.failure of a failed run")
        elif self.failure is not None or self.score is None:
            raise LedgerError(
                f"RunResult of a finished run has score {self.score!r} and failure {self.failure!r}; "
                "it needs a score and no failure. Give a run that failed the status 'failed'."
            )

    def _check_tables(self) -> None:
        for split, values in self.metrics.items():
            if not isinstance(values, dict):
                raise LedgerError(f"RunResult.metrics[{split!r}] must map metrics to values, not {values!r}.")
        if not isinstance(self.history, list) or not all(isinstance(item, dict) for item in self.history):
            raise LedgerError("RunResult.history must be a list of dicts, one per logged entry.")
        _set(self, "history", cj.plain(self.history, "RunResult.history"))
        if self.predictions is None:
            return
        predictions = cj.check_object(self.predictions, "RunResult.predictions")
        for split, rows in predictions.items():
            if not isinstance(rows, list):
                raise LedgerError(f"RunResult.predictions[{split!r}] must be a list, one value per example.")
        _set(self, "predictions", predictions)

    @property
    def id(self) -> str:
        """The identity of the run, `RunSpec.id`."""
        return self.spec.id

    def to_json(self) -> str:
        """Return the result as a JSON object, the predictions included."""
        return cj.encode(asdict(self) | {"spec": self.spec.document()})

    @classmethod
    def from_json(cls, text: str, *, where: str = "The run's result") -> RunResult:
        """Return the result that `to_json` wrote; `LedgerError`, beginning with `where`, if it is none."""
        later = ("measurements", "step_seconds", "training")
        document = cj.keywords(cls, cj.decode(text, where), where, optional=later)
        return cls(**{**document, "spec": RunSpec.from_document(document["spec"], where)})

    def without_predictions(self) -> RunResult:
        """Return the same result with ``predictions=None``."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return RunResult(**{**values, "predictions": None})


def count_trainings(results: Iterable[RunResult]) -> int:
    """Return how many trainings some runs stand on; runs that name none have one each."""
    named, others = set(), 0
    for result in results:
        if result.training is None:
            others += 1
        else:  # one that was made again began at another time
            named.add((result.training["id"], result.started))
    return len(named) + others


def without_one_process(document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` without the number of processes where it is one.

    That is how it was before there were runs of several, so the identities of runs stay what they were.
    """
    return {key: value for key, value in document.items() if (key, value) != ("processes", 1)}


def check_time(value: Any, where: str) -> str:
    """Return `value` if it is a time in ISO 8601 with the offset of UTC, else raise `LedgerError`."""
    try:
        is_utc = datetime.fromisoformat(value).utcoffset() == timedelta(0)
    except (TypeError, ValueError):
        is_utc = False
    if not is_utc:
        raise LedgerError(
            f"{where} is {value!r}; it must be like '2026-01-31T12:00:00+00:00' (ISO 8601, UTC)."
        )
    return str(value)


def _set(instance: object, name: str, value: Any) -> None:
    object.__setattr__(instance, name, value)  # a frozen dataclass normalises its own fields this way
