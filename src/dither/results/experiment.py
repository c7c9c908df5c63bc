"""What an output folder is for (`Experiment`), how it grew (`Extension`) and who looked (`Look`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dither.core.schedules import EARLIER_SCHEDULE
from dither.results import canonical_json as cj
from dither.results.errors import LedgerError
from dither.results.runs import RunResult, RunSpec, without_one_process

_HEAD = "head_weights"
_FIXED = ("kind", "model_digest", "threads", "processes", "dtype", "recipe_version")
MULTILINGUAL = "multilingual"
"""Under this name stand a method's settings that differ on tasks of several languages, if there are such."""
STATISTICS = 2
"""Version of the rules of verdicts: since 2 the seed is the unit of the average over tasks as well."""
_TASK_KEYS = ("task_digest", "data_digest")
_ROWS, _LAMBDA = "rows", "noise_lambda"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The plan that all runs of one output folder belong to.

    Tasks, methods and seeds may be added to it later; everything else stays.

    Args:
        kind: what made it: ``compare``, ``finetune``, ``sweep``, ...
        model: the model as the user typed it; for people, never compared.
        model_digest: hash of the model's files.
        tasks: task -> ``{"task_digest": ..., "data_digest": ..., "rows": {split: number, ...}}``; the rows
            may be missing.
        methods: method, with what its name sets (``pats@beta=0.98``) -> its settings; under `MULTILINGUAL`
            those that differ on tasks of several languages, once the plan has such a task.
        train_settings: what the user set of the training run, for all tasks.
        threads: CPU threads of a run, of at least 1.
        dtype: the number format the model is held in.
        recipe_version: the version of the noise's recipe.
        seeds: the planned seeds, all different; their number is the planned n.
        margin: of the equivalence test, points, > 0; declared before the first run, or None for no test.
        processes: that make each run together, of at least 1.
        max_seeds: how many seeds there may be at most where runs end once everything is decided; declared
            before the first run, when it is their number. None for a plan of fixed seeds.
        doses: task -> method -> what the noise of its runs does, where it is known: `asked` (λ as it was
            asked for, or a word), `noise_lambda` (the number that all its runs have), `d` and `energy`
            (`dither.FunctionalDose`) and how they were found. Once here, no number is found again.

    Raises:
        LedgerError: a value is of a wrong type or out of range.
    """

    kind: str
    model: str
    model_digest: str
    tasks: dict[str, dict[str, Any]]
    methods: dict[str, dict[str, Any]]
    train_settings: dict[str, Any]
    threads: int
    dtype: str
    recipe_version: int
    seeds: tuple[int, ...]
    margin: float | None = None
    processes: int = 1
    max_seeds: int | None = None
    doses: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("kind", "model", "model_digest", "dtype"):
            cj.check_text(getattr(self, name), f"Experiment.{name}")
        for name in ("threads", "processes"):
            cj.check_integer(getattr(self, name), f"Experiment.{name}", least=1)
        cj.check_integer(self.recipe_version, "Experiment.recipe_version", least=0)
        for name in ("tasks", "methods", "train_settings", "doses"):
            copy = cj.check_object(getattr(self, name), f"Experiment.{name}", finite=True)
            object.__setattr__(self, name, copy)
        for name, settings in self.methods.items():
            cj.check_object(settings, f"Experiment.methods[{name!r}]")
        for task, arms in self.doses.items():
            for name, dose in arms.items():
                if not isinstance(dose, dict) or "noise_lambda" not in dose:
                    raise LedgerError(
                        f"Experiment.doses[{task!r}][{name!r}] is {dose!r}; it must have a noise_lambda."
                    )
        for name, digests in self.tasks.items():
            if not isinstance(digests, dict) or digests.keys() - {_ROWS} != set(_TASK_KEYS):
                raise LedgerError(
                    f"Experiment.tasks[{name!r}] is {digests!r}; it must be a dict with the keys "
                    "task_digest and data_digest."
                )
        seeds = tuple(cj.check_integer(seed, "Experiment.seeds", least=0) for seed in self.seeds)
        if not seeds or len(set(seeds)) != len(seeds):
            raise LedgerError(
                f"Experiment.seeds is {list(seeds)}; it must be one or more seeds, all different."
            )
        object.__setattr__(self, "seeds", seeds)
        if self.margin is not None:
            cj.check_number(self.margin, "Experiment.margin", least=0)
        if self.max_seeds is not None:
            cj.check_integer(self.max_seeds, "Experiment.max_seeds", least=1)

    @property
    def until_resolved(self) -> bool:
        """Whether runs end once everything is decided; no longer so when seeds were added to the declared."""
        return self.max_seeds == len(self.seeds)

    def document(self) -> dict[str, Any]:
        """Return the experiment as a dict of JSON values; no maximum and no doses where there are none."""
        document = without_one_process(asdict(self))
        absent = [key for key, value in (("max_seeds", None), ("doses", {})) if document[key] == value]
        return {key: value for key, value in document.items() if key not in absent}

    def in_order(self, results: Iterable[RunResult]) -> tuple[RunResult, ...]:
        """Return runs by task, method and seed in the order of the plan, whichever was finished first."""
        tasks, methods, seeds = (
            {name: place for place, name in enumerate(names)}
            for names in (self.tasks, self.methods, self.seeds)
        )

        def place(result: RunResult) -> tuple[int, int, int]:
            spec = result.spec
            return tasks[spec.task], methods[spec.method], seeds[spec.seed]

        return tuple(sorted(results, key=place))

    def to_json(self) -> str:
        """Return the experiment as a JSON object."""
        return cj.encode(self.document())

    @classmethod
    def from_document(cls, document: Any, where: str) -> Experiment:
        """Return the experiment of a decoded JSON object; `LedgerError` if it is none."""
        return cls(**cj.keywords(cls, document, where, optional=("processes", "max_seeds", "doses")))

    def differences(self, new: Experiment) -> list[str]:
        """Return what forbids `new` to go on with this experiment, a line per setting; empty if nothing.

        Added tasks, methods and seeds are no differences; missing ones are.
        """
        lines = [
            _changed(name, getattr(self, name), getattr(new, name))
            for name in (*_FIXED, "margin")
            if getattr(self, name) != getattr(new, name)
        ]
        if self.model_digest != new.model_digest:
            lines.append(f"(the model was typed as {self.model!r} there, {new.model!r} now)")
        lines += _leaf_differences("train_settings", self.train_settings, new.train_settings)
        if _HEAD in new.train_settings and _HEAD not in self.train_settings:
            lines.append(
                "(where the model's file brings a head that fits, the folder's runs took it; each run draws "
                "its own now: take another --out)"
            )
        for group in ("tasks", "methods"):
            old_items, new_items = getattr(self, group), getattr(new, group)
            for name, value in old_items.items():
                if name not in new_items:
                    lines.append(f"{group}: {name} belongs to the folder's plan and is missing now")
                else:
                    later = {MULTILINGUAL, _ROWS} & new_items[name].keys()
                    known = {key: new_items[name][key] for key in later}
                    old, now = _with_schedule(known | value, new_items[name])
                    lines += _leaf_differences(f"{group}[{name}]", old, now)
                    if old.get("schedule") == EARLIER_SCHEDULE != now["schedule"]:
                        lines.append(
                            "(the folder's noise takes every schedule for a linear one; "
                            f"--set {name.partition('@')[0]}.schedule={EARLIER_SCHEDULE} goes on with it)"
                        )
                    if isinstance(old.get(_LAMBDA), float) and isinstance(now.get(_LAMBDA), str):
                        goes_on = f"--set {name.partition('@')[0]}.{_LAMBDA}={old[_LAMBDA]:g}"
                        lines.append(f"(λ is matched by functional dose now; {goes_on} goes on as before)")
        for task, arms in self.doses.items():
            for name in arms.keys() & new.doses.get(task, {}).keys():
                old, now = (each.doses[task][name][_LAMBDA] for each in (self, new))
                lines += _leaf_differences(f"doses[{task}][{name}].{_LAMBDA}", old, now)
        missing = [seed for seed in self.seeds if seed not in new.seeds]
        if missing:
            lines.append(f"seeds: {_listed(self.seeds)} there, of which this leaves out {_listed(missing)}")
        return lines + self._other_maximum(new)

    def _other_maximum(self, new: Experiment) -> list[str]:
        """A maximum that was not declared before the first run; all seeds, or more, by name are fine."""
        if new.max_seeds == self.max_seeds or (new.max_seeds is None and {*self.seeds} <= {*new.seeds}):
            return []
        more = f"--seeds 0-{max(max(self.seeds) + 1, (new.max_seeds or 0) - 1)}"
        if self.max_seeds is None:
            return [
                f"max_seeds: none there, {new.max_seeds} now; it must be declared before the first run. To "
                f"add seeds to this folder, name them: {more}"
            ]
        now = f"{new.max_seeds} now" if new.max_seeds is not None else "seeds without a maximum now"
        return [
            f"max_seeds: {self.max_seeds} there, {now}; what was declared before the first run stays. Go on "
            f"with --seeds-until resolved --max-seeds {self.max_seeds}, or name all seeds and more: {more}"
        ]

    def extended(self, new: Experiment) -> Experiment:
        """Return this experiment with what `new` adds, in the order in which it was added."""
        return replace(
            self,
            tasks={**self.tasks, **new.tasks},
            methods={**self.methods, **new.methods},
            seeds=self.seeds + tuple(seed for seed in new.seeds if seed not in self.seeds),
            doses={
                task: new.doses.get(task, {}) | self.doses.get(task, {}) for task in self.doses | new.doses
            },
        )

    def check_run(self, spec: RunSpec) -> None:
        """Raise `LedgerError` if the run of `spec` is no part of the experiment, naming what does not fit."""
        if spec.task not in self.tasks:
            raise LedgerError(
                f"The run ({spec}) is of a task outside the plan; it has {_listed(self.tasks)}."
            )
        if spec.seed not in self.seeds:
            raise LedgerError(f"The run ({spec}) has a seed outside the plan; it has {_listed(self.seeds)}.")
        planned = {name: getattr(self, name) for name in _FIXED if name != "kind"}
        digests = {name: self.tasks[spec.task][name] for name in _TASK_KEYS}
        for name, value in {**planned, **digests}.items():
            if getattr(spec, name) != value:
                raise LedgerError(
                    f"The run ({spec}) has {name} {getattr(spec, name)!r}, but the plan of this folder says "
                    f"{value!r}. Record it in another folder."
                )


@dataclass(frozen=True)
class Look:
    """One look at the results.

    Args:
        when: ISO 8601 in UTC.
        planned: the planned number of seeds at that time.
        runs: how many runs there were.
        peek: whether the plan was not complete at that time.
        complete: how many seeds were seen, of which all runs were there; None for all planned ones, and for a
            peek of a dither that did not store it.
        most: the declared maximum of seeds, where runs end once everything is decided; else None.
        statistics: version of the rules by which the verdicts were made that were seen; see `STATISTICS`.
    """

    when: str
    planned: int
    runs: int
    peek: bool = False
    complete: int | None = None
    most: int | None = None
    statistics: int = 1

    def document(self) -> dict[str, Any]:
        """Return the look as a dict of JSON values, without what goes without saying.

        Looks that an older dither would not count, or at verdicts that it would make by other rules, are an
        error there.
        """
        usual = {"peek": False, "complete": None, "most": None, "statistics": 1}
        return {key: value for key, value in asdict(self).items() if key not in usual or value != usual[key]}

    @classmethod
    def from_document(cls, document: Any, where: str) -> Look:
        """Return the look of a decoded JSON object; `LedgerError` if it is none."""
        return cls(**cj.keywords(cls, document, where, optional=("peek", "complete", "most", "statistics")))


@dataclass(frozen=True)
class Extension:
    """One extension of the plan.

    Args:
        when: ISO 8601 in UTC.
        tasks: the tasks added.
        methods: the methods added.
        seeds: the seeds added.
        looks: how many looks there had been by then.
    """

    when: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    looks: int


def _with_schedule(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of a method in which a schedule that is not said is said, where either says one."""
    if "schedule" not in old and "schedule" not in new:
        return old, new
    return {"schedule": EARLIER_SCHEDULE} | old, {"schedule": EARLIER_SCHEDULE} | new


def _leaf_differences(where: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in [*old, *(key for key in new if key not in old)]:
            path = f"{where}.{key}"
            if key not in new:
                lines.append(f"{path}: {old[key]!r} there, not set now")
            elif key not in old:
                lines.append(f"{path}: not set there, {new[key]!r} now")
            else:
                lines += _leaf_differences(path, old[key], new[key])
        return lines
    # By canonical text, as in a run's identity: 1, 1.0 and True are three settings.
    return [] if cj.canonical(old) == cj.canonical(new) else [_changed(where, old, new)]


def _changed(name: str, old: Any, new: Any) -> str:
    return f"{name}: {old!r} there, {new!r} now"


def _listed(items: Iterable[object]) -> str:
    texts = [str(item) for item in items]
    return ", ".join(texts[:20]) + (f", ... ({len(texts)} in all)" if len(texts) > 20 else "")
