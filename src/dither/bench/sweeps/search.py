"""The search: settings of a method chosen on a held-out slice of train, with seeds of its own.

The slice and the seeds are not those of the report, so what is reported of the choice is no best of many.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dither.bench.executors import Executor
from dither.bench.executors.processes import process_executor
from dither.bench.plans.matching import Say, resolve
from dither.bench.plans.names import spelled_arm
from dither.bench.plans.plan import Plan
from dither.bench.recording import Progress, record_runs
from dither.bench.runs.precision import check_precisions
from dither.bench.runs.request import RunRequest
from dither.bench.runs.trainings import together
from dither.bench.sweeps.parameters import Parameter
from dither.bench.sweeps.storage import opened_storage
from dither.bench.sweeps.study import STARTUP, StoredTrial, Study
from dither.bench.sweeps.trials import Selection, Trial
from dither.bench.tasks.variations import base_of, settings_of, spelled
from dither.results import Experiment, Ledger, RunResult, make_folder

KIND = "search"
"""The kind of experiment that a grid is, and the report of a search."""
FOLDER = "search"
"""In the output folder, and the kind of experiment that the search itself is."""


@dataclass(frozen=True)
class Search:
    """A search, before or after its trials.

    Attributes:
        plan: of its runs: the tasks of `search_tasks`, the seeds of the search, and the method alone, with
            what holds for all trials.
        space: what is searched.
        trials: how many.
        held_out: share of the train split that is evaluated on.

    Raises:
        ValueError: what is searched is set for all trials, too.
    """

    plan: Plan
    space: tuple[Parameter, ...]
    trials: int
    held_out: float

    def __post_init__(self) -> None:
        for one in self.space:
            if one.setting in self.plan.methods[self.method]:
                raise ValueError(
                    f"--param {one.text} would undo --set {base_of(self.method)}.{one.setting}; leave one of "
                    "them out"
                )

    @property
    def method(self) -> str:
        """What is searched, with the settings in its name."""
        (name,) = self.plan.methods
        return name

    @property
    def experiment(self) -> Experiment:
        """What the folder of the search is for."""
        return self.plan.experiment(FOLDER)

    def belongs(self) -> dict[str, Any]:
        """All that determines the trials, as JSON values: a study of anything else is refused."""
        planned = self.experiment.document()
        return {
            **{key: value for key, value in planned.items() if key not in ("model", "margin")},
            "seeds": list(self.plan.seeds),
            "space": [one.text for one in self.space],
            "trials": self.trials,
        }

    def arm(self, settings: dict[str, Any]) -> str:
        """The name of the method under the settings of a trial."""
        return spelled_arm(spelled(base_of(self.method), {**settings_of(self.method), **settings}))

    def plan_of(self, arm: str) -> Plan:
        """The plan of one arm."""
        return replace(self.plan, methods={arm: {**self.plan.methods[self.method], **settings_of(arm)}})


def run_search(
    search: Search,
    out: str | Path,
    *,
    storage: str | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: Progress = lambda result, done, total: None,
    say: Say = lambda text: None,
) -> Selection:
    """Make the trials that are missing, one after the other, and return what they tell.

    The runs are in the ledger of `out/search`, the trials in the storage, and a readable copy of them in
    `out/search/trials.json`. A search that was killed goes on where it was, with the trials that it would
    have made.

    Args:
        search: what to search.
        out: the output folder of the report.
        storage: URL of a database for the trials; None for a file in `out/search`.
        jobs: runs at a time: of a trial's tasks, and of its seeds where none can be given up yet.
        executor: makes the runs elsewhere, all seeds of a trial at once; None for processes of this machine.
        progress: called with each result, the number of runs done and the most that there will be.
        say: called with a sentence before something else than runs takes its time.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: this machine does not compute in the plan's precision.
        StorageError: the storage cannot be used, or its study is of another search.
        LedgerError: the folder is of another search, has a writer, or cannot be written.
        RunError: a run ended by an error.
    """
    if executor is None:
        check_precisions(search.plan.precisions)
    folder = Path(out) / FOLDER
    name = FOLDER if storage is None else str(Path(out).resolve())
    seed = search.plan.seeds[0]
    with process_executor(jobs) as here, ExitStack() as stack:
        if storage is None:
            make_folder(folder)
        opened = stack.enter_context(opened_storage(folder, storage))
        study = Study(opened, name, belongs=search.belongs(), space=search.space, seed=seed)
        with Ledger.create_or_resume(folder, search.experiment) as ledger:
            # Where runs are made elsewhere, all seeds of a trial are asked for at once.
            width = jobs if executor is None else len(search.plan.seeds) * len(search.plan.tasks)
            runs = _Runs(search, ledger, executor or here, width, progress=progress, say=say)
            done: list[Trial] = []
            for number in range(search.trials):
                done.append(_made(study.trial(number), search, runs, completed=_completed(done)))
                selection = _selection(search, done)
                selection.write(folder)
    return selection


def check_out(out: str | Path, plan: Plan) -> None:
    """Refuse a folder that cannot take the report of a search, before the search is made.

    Args:
        out: the output folder; it need not be there.
        plan: of the report; its arms are not looked at.

    Raises:
        LedgerError: the folder is of another experiment; each difference is named.
    """
    if Ledger.exists(out):
        with Ledger.read(out) as ledger:
            ledger.require(replace(plan.experiment(KIND), methods=ledger.experiment.methods))


class _Runs:
    """The runs of the search's ledger, made when they are asked for."""

    def __init__(
        self, search: Search, ledger: Ledger, executor: Executor, width: int, *, progress: Progress, say: Say
    ) -> None:
        self._search, self._ledger, self._executor = search, ledger, executor
        self.width, self._progress, self._say = width, progress, say
        self._plans: dict[str, Plan] = {}
        self._known = {result.id: result for result in ledger.results()}
        self._most = search.trials * len(search.plan.seeds) * len(search.plan.tasks)
        progress(None, len(self._known), self._most)

    def make(self, arm: str, seeds: Sequence[int]) -> None:
        """Make what is missing of an arm's runs."""
        wanted = [request for seed in seeds for request in self._requests(arm, seed)]
        if all(request.spec.id in self._known for request in wanted):
            return
        record_runs(
            self._ledger, wanted, data=self._search.plan.data, executor=self._executor, progress=self._seen
        )

    def _seen(self, result: RunResult | None, done: int, total: int) -> None:
        if result is not None:
            self._known[result.id] = result.without_predictions()
            self._progress(result, len(self._known), self._most)

    def of(self, arm: str, seed: int) -> list[RunResult]:
        """The finished runs of an arm and seed."""
        return [self._known[request.spec.id] for request in self._requests(arm, seed)]

    def trainings(self, arm: str, seed: int) -> int:
        """How many trainings the runs of an arm and seed stand on."""
        return len(together(self._requests(arm, seed)))

    def _requests(self, arm: str, seed: int) -> list[RunRequest]:
        """The runs of one arm and seed, one for each task; what its λ is, is found when it is first asked."""
        if arm not in self._plans:
            plan = self._search.plan_of(arm)
            self._plans[arm] = resolve(plan, self._ledger, jobs=self.width, say=self._say)
        return list(replace(self._plans[arm], seeds=(seed,)).requests())


def _made(stored: StoredTrial, search: Search, runs: _Runs, *, completed: int) -> Trial:
    """Bring a trial to its end, seed by seed; what is decided does not depend on how many run at a time."""
    arm, seeds = search.arm(stored.settings), search.plan.seeds
    at_once = max(1, runs.width // runs.trainings(arm, seeds[0]))
    if completed < STARTUP:  # no trial is given up yet
        at_once = len(seeds)
    points: list[float] = []
    while not stored.finished:
        step = len(points)
        if step % at_once == 0:
            runs.make(arm, seeds[step : step + at_once])
        rows = runs.of(arm, seeds[step])
        points.append(sum(map(_score, rows)) / len(rows))
        mean = sum(points) / len(points)
        hopeless = stored.report(step, mean)
        if step + 1 == len(seeds):
            stored.complete(mean)
        elif hopeless:
            stored.prune()
    runs.make(arm, seeds[: stored.steps])  # of a trial that was finished into another folder's ledger
    failed = [row for seed in seeds[: stored.steps] for row in runs.of(arm, seed) if row.status == "failed"]
    return Trial(
        number=stored.number,
        arm=arm,
        settings=stored.settings,
        state="pruned" if stored.score is None else "complete",
        seeds=stored.steps,
        score=stored.score,
        failed_runs=len(failed),
    )


def _score(result: RunResult) -> float:
    """The points of a run; one that has none is worth what the constant predictor is."""
    return result.constant_score if result.score is None else result.score


def _completed(trials: Sequence[Trial]) -> int:
    return sum(trial.score is not None for trial in trials)


def _selection(search: Search, trials: Sequence[Trial]) -> Selection:
    return Selection(
        method=search.method,
        space=tuple(one.text for one in search.space),
        tasks=tuple(task.name for task in search.plan.tasks),
        seeds=search.plan.seeds,
        held_out=search.held_out,
        planned=search.trials,
        trials=tuple(trials),
    )
