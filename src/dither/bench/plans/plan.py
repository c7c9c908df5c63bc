"""The plan of a comparison: every run of it, before the first one starts.

All bad input is found here: unknown names, broken data, models that do not fit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import starmap
from pathlib import Path
from typing import Any

from dither.bench.data.loading import TaskData, load
from dither.bench.group import Group
from dither.bench.models.brought_heads import NEW, new_heads
from dither.bench.models.checks import check_layer, check_model, check_rows
from dither.bench.models.loading import ModelSource, find_model
from dither.bench.plans.settings import STRENGTH, full_settings, is_resolved, method_of
from dither.bench.runs.request import RunRequest
from dither.bench.runs.trainings import together, training_id
from dither.bench.tasks.files import load_task
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import base_of, settings_of
from dither.core.draws import RECIPE_VERSION
from dither.core.schedules import recorded_settings
from dither.methods.registry import SEEDS_BELOW, method_info, other_seed
from dither.results import MULTILINGUAL, Experiment, RunSpec

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Plan:
    """Tasks × methods × seeds on one model.

    Attributes:
        source: the model.
        tasks: as loaded.
        data: of each task, by name.
        methods: the settings of each method that the user changed, by name.
        seeds: all different.
        train_settings: what the user changed of the tasks' recipes.
        threads: of torch, for each run.
        dtype: of the weights.
        data_dir: folder of local data, or None for the Hub.
        processes: that make each run together.
        batches: of train rows on which every run's sensitivities are measured at its end; 0 measures nothing.
        max_seeds: the number of seeds, where runs end once everything is decided; None for all of them.
        doses: task -> arm -> the number that stands for λ, and what is known of the noise
            (`dither.bench.plans.matching.resolve`).
    """

    source: ModelSource
    tasks: tuple[Task, ...]
    data: Mapping[str, TaskData] = field(repr=False)
    methods: Mapping[str, dict[str, Any]]
    seeds: tuple[int, ...]
    train_settings: Mapping[str, Any]
    threads: int = 1
    dtype: str = "float32"
    data_dir: str | None = None
    processes: int = 1
    batches: int = 0
    max_seeds: int | None = None
    doses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def create(
        cls,
        tasks: Sequence[str],
        model: str,
        methods: Mapping[str, dict[str, Any]],
        seeds: Sequence[int],
        *,
        train_settings: Mapping[str, Any] | None = None,
        threads: int = 1,
        dtype: str = "float32",
        data_dir: str | None = None,
        languages: Sequence[str] = (),
    ) -> "Plan":
        """Load and check everything that the runs need, for the processes that were started together.

        Args:
            tasks: names, or paths of TOML files.
            model: a folder, a name on the Hub, or `builtin`.
            methods: changed settings by name (`dither.bench.plans.settings.parse_settings`).
            seeds: of the runs.
            train_settings: changes of the tasks' recipes.
            threads: of torch for each run, >= 1.
            dtype: of the weights.
            data_dir: folder of local data.
            languages: that tasks of several languages are evaluated in; none for all of theirs.

        Raises:
            ValueError, OSError: what cannot be run, named as precisely as it is known.
        """
        if threads < 1:
            raise ValueError(f"--threads is {threads}; it must be at least 1")
        if dtype not in DTYPES:
            raise ValueError(f"--dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")
        _check_seeds(methods, seeds)
        check_data_dir(data_dir)
        changes = dict(train_settings or {})
        loaded = tuple(load_task(name) for name in tasks)
        if len({task.name for task in loaded}) != len(loaded):
            raise ValueError(f"a task stands twice in {', '.join(task.name for task in loaded)}")
        for task in loaded:
            _check_once(task, changes)
        if languages:
            loaded = _in_languages(loaded, languages)
        group = Group.here()
        recipes = [replace(task.recipe, **changes) for task in loaded]
        for task, recipe in zip(loaded, recipes, strict=True):
            _check_recipe(task.name, recipe, group.size, dtype)
        source = find_model(model)
        # One task for each kind and size of head, and for each kind of defaults.
        heads = {
            (task.learned.head, _outputs(task, recipe), bool(task.languages), recipe.head_weights): task
            for task, recipe in zip(loaded, recipes, strict=True)
        }
        how: dict[str, Any] = {
            "dtype": dtype,
            "checkpointing": any(recipe.gradient_checkpointing for recipe in recipes),
        }
        positions = min(
            check_model(
                source, task, starmap(method_of, arms_of(task, methods).items()), head_weights=key[-1], **how
            )
            for key, task in heads.items()
        )
        changes |= new_heads(source, loaded, changes)
        for task in loaded:
            check_layer(source, task)
        data = {task.name: load(task, data_dir) for task in loaded}
        for task in loaded:
            size = replace(task.recipe, **changes).max_length
            check_rows(source, task, data[task.name], max_length=size, positions=positions)
        return cls(source, loaded, data, methods, tuple(seeds), changes, threads, dtype, data_dir, group.size)

    @property
    def precisions(self) -> list[str]:
        """What the runs train in, each once."""
        recipes = (replace(task.recipe, **self.train_settings) for task in self.tasks)
        return list(dict.fromkeys(recipe.precision for recipe in recipes))

    def experiment(self, kind: str, *, margin: float | None = None) -> Experiment:
        """What the output folder is for; the margin of equivalence is declared with it."""
        return Experiment(
            kind=kind,
            model=self.source.name,
            model_digest=self.source.digest,
            tasks={
                task.name: {
                    "task_digest": task.digest,
                    "data_digest": self.data[task.name].digest,
                    "rows": {split: len(rows) for split, rows in self.data[task.name].splits.items()},
                }
                for task in self.tasks
            },
            methods=self._planned_methods(),
            train_settings=dict(self.train_settings),
            threads=self.threads,
            dtype=self.dtype,
            recipe_version=RECIPE_VERSION,
            seeds=self.seeds,
            margin=margin,
            processes=self.processes,
            max_seeds=self.max_seeds,
            doses={task: dict(arms) for task, arms in self.doses.items()},
        )

    def _planned_methods(self) -> dict[str, dict[str, Any]]:
        """The settings of each method; apart from them those that differ where a task has languages."""
        full = {name: full_settings(name, changed) for name, changed in self.methods.items()}
        planned = {name: recorded_settings(settings) for name, settings in full.items()}
        if not any(task.languages for task in self.tasks):
            return planned
        for name in [name for name in planned if method_info(base_of(name)).multilingual]:
            settings = full_settings(name, self.methods[name], multilingual=True)
            own = {key: value for key, value in settings.items() if value != full[name][key]}
            planned[name][MULTILINGUAL] = own
        return planned

    def arms(self, task: Task) -> dict[str, dict[str, Any]]:
        """All settings of each method on a task, with the number for λ where it is known."""
        known = self.doses.get(task.name, {})
        return {
            arm: settings
            if is_resolved(settings) or arm not in known
            else {**settings, STRENGTH: known[arm]["noise_lambda"]}
            for arm, settings in arms_of(task, self.methods).items()
        }

    def provisional(self, doses: Mapping[str, Mapping[str, Any]] | None = None) -> "Plan":
        """The plan with a method's usual λ where its number is not known: to be timed, never to be run.

        Args:
            doses: what is known; None for what the plan knows.
        """
        known = self.doses if doses is None else doses
        usual = {
            task.name: {
                arm: {"noise_lambda": method_info(base_of(arm)).settings[STRENGTH]}
                for arm, settings in arms_of(task, self.methods).items()
                if not is_resolved(settings)
            }
            for task in self.tasks
        }
        return replace(self, doses={name: {**usual[name], **known.get(name, {})} for name in usual})

    def requests(self) -> Iterator[RunRequest]:
        """Every run, seed by seed: what is interrupted leaves whole pairs.

        Raises:
            ValueError: a λ is not a number yet.
        """
        for seed in self.seeds:
            for task in self.tasks:
                for method, settings in self.arms(task).items():
                    yield self.request(task, method, settings, seed)

    def trainings(self) -> list[RunRequest]:
        """Every training, seed by seed, with all runs that stand on it."""
        return together(self.requests())

    def request(self, task: Task, method: str, settings: dict[str, Any], seed: int) -> RunRequest:
        """One run of the plan."""
        if not is_resolved(settings):
            raise ValueError(
                f"noise_lambda of {method} on {task.name} is {settings[STRENGTH]!r} still; a run needs the "
                "number, from dither.bench.plans.matching.resolve"
            )
        spec = RunSpec(
            task=task.name,
            task_digest=task.digest,
            data_digest=self.data[task.name].digest,
            model=self.source.name,
            model_digest=self.source.digest,
            method=method,
            method_settings=recorded_settings(settings),
            train_settings=dict(self.train_settings),
            seed=seed,
            threads=self.threads,
            dtype=self.dtype,
            recipe_version=RECIPE_VERSION,
            processes=self.processes,
            training_seed=other_seed(seed) if method_info(base_of(method)).other_seeds else None,
        )
        training = training_id(spec, task, self.data[task.name].trained)
        known = self.doses.get(task.name, {}).get(method, {})
        return RunRequest(
            spec,
            task,
            self.source,
            self.data_dir,
            batches=self.batches,
            training=training,
            dose=known if "d" in known else None,
        )


def arms_of(task: Task, methods: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every setting of each method on a task; on one with languages, the defaults are those for such tasks.

    Args:
        task: that is trained on.
        methods: changed settings by name.
    """
    return {
        name: full_settings(name, changed, multilingual=bool(task.languages))
        for name, changed in methods.items()
    }


def _outputs(task: Task, recipe: Recipe) -> Any:
    """What a task's outputs stand for: their number, or their names where the head is the file's."""
    return len(task.learned.labels) if recipe.head_weights == NEW else task.learned.labels


def _in_languages(tasks: Sequence[Task], languages: Sequence[str]) -> tuple[Task, ...]:
    """The tasks, those of several languages evaluated in some of them alone."""
    if not any(task.languages for task in tasks):
        names = ", ".join(task.name for task in tasks)
        raise ValueError(f"--languages {','.join(languages)}: no task of {names} has languages; leave it out")
    return tuple(task.in_languages(languages) if task.languages else task for task in tasks)


def check_data_dir(data_dir: str | Path | None) -> None:
    """Refuse a folder of local data that is none.

    Raises:
        ValueError: there is no such folder.
    """
    if data_dir is not None and not Path(data_dir).is_dir():
        raise ValueError(f"--data-dir {data_dir} is no folder")


def _check_seeds(methods: Iterable[str], seeds: Iterable[int]) -> None:
    """Refuse seeds that an arm under other seeds has for its own."""
    others = [name for name in methods if method_info(base_of(name)).other_seeds]
    if others and (beyond := [seed for seed in seeds if seed >= SEEDS_BELOW]):
        raise ValueError(
            f"--seeds has {beyond[0]}: {others[0]} trains under seeds from 2^31 on, so the plan's must lie "
            "below; choose smaller seeds, or leave the arm out"
        )


def _check_once(task: Task, changes: Mapping[str, Any]) -> None:
    """Refuse a setting that stands in a task's name and is set for all tasks as well."""
    for name in changes.keys() & settings_of(task.name).keys():
        raise ValueError(f"--set train.{name} would undo what {task.name!r} says; leave one of them out")


def _check_recipe(task: str, recipe: Recipe, processes: int, dtype: str) -> None:
    """Refuse what settings that are right by themselves cannot be together."""
    if recipe.precision != "float32" and dtype != "float32":
        raise ValueError(
            f"task {task!r}: train.precision = {recipe.precision!r} computes with float32 weights, and "
            f"--dtype is {dtype}; leave one of them out"
        )
    _check_batch(task, recipe.batch_size, processes)
    size, parts = recipe.batch_size // processes, recipe.gradient_accumulation
    if size % parts:
        fitting = [number for number in range(1, size + 1) if size % number == 0]
        each = f" in each of {processes} processes" if processes > 1 else ""
        raise ValueError(
            f"task {task!r} trains in batches of {size}{each}, which train.gradient_accumulation = {parts} "
            f"cannot part equally; it may be {', '.join(map(str, fitting))}"
        )


def _check_batch(task: str, batch_size: int, processes: int) -> None:
    """Refuse a batch that the processes of a run cannot share equally."""
    if batch_size % processes:
        fitting = [number for number in range(1, batch_size + 1) if batch_size % number == 0]
        raise ValueError(
            f"task {task!r} trains in batches of {batch_size}, which {processes} processes cannot share "
            f"equally; start {' or '.join(map(str, fitting))}, or --set train.batch_size="
            f"{batch_size - batch_size % processes or processes}"
        )
