"""The ledger of runs: what was planned, what was run, with what result, and who looked when.

One SQLite file, ``ledger.sqlite``, in the output folder. A `RunSpec` says what determines a run and gives it
its identity; a `RunResult` is what came out; an `Experiment` is what a folder is for; a `Ledger` keeps all.

Example:
    >>> import tempfile
    >>> from dither.results import Experiment, Ledger, RunResult, RunSpec
    >>> plan = Experiment(
    ...     kind="compare", model="builtin", model_digest="m1", threads=1, dtype="float32", recipe_version=1,
    ...     tasks={"builtin/sentiment": {"task_digest": "t1", "data_digest": "d1"}},
    ...     methods={"none": {}}, train_settings={}, seeds=(0, 1),
    ... )
    >>> spec = RunSpec(
    ...     task="builtin/sentiment", task_digest="t1", data_digest="d1", model="builtin", model_digest="m1",
    ...     method="none", method_settings={}, train_settings={"epochs": 3}, seed=0, threads=1,
    ...     dtype="float32", recipe_version=1,
    ... )
    >>> result = RunResult(
    ...     spec=spec, status="finished", score=81.5, constant_score=50.0,
    ...     metrics={"validation": {"accuracy": 0.815}}, predictions={"validation": [1, 0, 1]},
    ...     environment={"torch": "2.13.0", "device": "cpu"}, seconds=2.5,
    ...     started="2026-01-31T12:00:00+00:00",
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Ledger.create_or_resume(folder, plan) as ledger:
    ...         if spec.id not in ledger:
    ...             ledger.add(result)
    ...     Ledger.read(folder).get(spec.id).score
    81.5
"""

from dither.results.doses import dose_rows
from dither.results.errors import LedgerBusyError, LedgerDiskError, LedgerError
from dither.results.experiment import MULTILINGUAL, STATISTICS, Experiment, Extension, Look
from dither.results.ledger import Ledger
from dither.results.runs import RunResult, RunSpec, count_trainings
from dither.results.starts import Start
from dither.results.storage import make_folder

__all__ = [
    "MULTILINGUAL",
    "STATISTICS",
    "Experiment",
    "Extension",
    "Ledger",
    "LedgerBusyError",
    "LedgerDiskError",
    "LedgerError",
    "Look",
    "RunResult",
    "RunSpec",
    "Start",
    "count_trainings",
    "dose_rows",
    "make_folder",
]
