"""Everything that is needed to repeat an experiment, and to judge it."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dither.methods.registry import available_methods
from dither.report.content import Column, Section, Table
from dither.report.findings import family_size
from dither.results import STATISTICS, Experiment, Extension, Look, RunResult, Start
from dither.results.environments import leaves
from dither.stats import Analysis
from dither.stats.formats import seed_ranges

_KEYS = (Column("what", "what"), Column("value", "value"))
_TASKS = (
    Column("task", "task"),
    Column("task_digest", "definition (digest)"),
    Column("data_digest", "data (digest)"),
    Column("rows", "rows"),
)
_METHODS = (Column("method", "method"), Column("settings", "settings"))
_RECIPES = (Column("task", "task"), Column("settings", "training"))
_ENVIRONMENTS = (Column("what", "what"), Column("value", "value"), Column("runs", "runs", "d"))
_HISTORY = (Column("when", "when (UTC)"), Column("what", "what"))


@dataclass(frozen=True)
class Provenance:
    """What a ledger knows beside the runs.

    Args:
        experiment: the plan.
        starts: of commands that made runs, oldest first; empty where none was recorded.
        looks: at the results.
        extensions: of the plan.
        recipes: task -> all settings of its training, where they are known.
        tuned: how settings were chosen, in sentences; empty where nothing was.
    """

    experiment: Experiment
    starts: Sequence[Start] = ()
    looks: Sequence[Look] = ()
    extensions: Sequence[Extension] = ()
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tuned: Sequence[str] = ()

    @property
    def command(self) -> str:
        """The last command that made runs, else one that asks for the same."""
        return self.starts[-1].command if self.starts else _asked(self.experiment)


def repeat(provenance: Provenance, results: Sequence[RunResult], analysis: Analysis | None) -> Section:
    """The plan, the recipe, the data, the machines and what happened to the folder.

    Args:
        provenance: of the folder.
        results: of the runs.
        analysis: of all runs; None where nothing is compared.
    """
    experiment = provenance.experiment
    text = (
        "The command, as it was typed in the folder where it ran:"
        if provenance.starts
        else "This folder recorded no command. The one below would make the same kind of runs (local data "
        "need --data-dir; settings that names do not show stand below):"
    )
    tables = (
        Table("plan", "The plan", _KEYS, tuple(_plan(provenance, analysis))),
        Table("tasks", "Tasks and data", _TASKS, tuple(_tasks(experiment))),
        Table("methods", "Methods", _METHODS, tuple(_methods(experiment))),
        Table(
            "recipes", "Training, the same for all methods", _RECIPES, tuple(_recipes(provenance, results))
        ),
        Table("machines", "Versions and machines", _ENVIRONMENTS, tuple(_environments(results))),
        Table("history", "What happened to this folder", _HISTORY, tuple(_history(provenance))),
    )
    notes = provenance.tuned or ("Nothing was tuned by dither: the settings are those of the plan.",)
    return Section(
        "repeat", "Repeat it", (text,), tables=tuple(t for t in tables if t.rows), notes=tuple(notes)
    )


def _plan(provenance: Provenance, analysis: Analysis | None) -> Iterable[Mapping[str, Any]]:
    plan = provenance.experiment
    pairs = {
        "kind": plan.kind,
        "model": plan.model,
        "model's files (digest)": plan.model_digest,
        "seeds": seed_ranges(plan.seeds),
        **({"declared maximum of seeds": str(plan.max_seeds)} if plan.max_seeds else {}),
        "planned pairs for each task and method": str(len(plan.seeds)),
        "threads of a run": str(plan.threads),
        "processes of a run": str(plan.processes),
        "number format of the weights": plan.dtype,
        "version of the noise's recipe": str(plan.recipe_version),
        "training settings asked for": _settings(plan.train_settings) or "none: each task's own recipe",
    }
    if analysis is not None:
        rule = analysis.rule
        tests, macro = (
            family_size(rows) for rows in (analysis.all_runs.comparisons, analysis.all_runs.macros)
        )
        pairs |= {
            "corrected for": f"Holm over {macro} averages (primary) and over {tests} tasks × methods; "
            f"looks: {rule.count}",
            "level of this look": f"{rule.level:.4g}",
            "margin of equivalence": "none declared" if rule.margin is None else f"±{rule.margin:g} points",
        }
    return [{"what": what, "value": value} for what, value in pairs.items()]


def _tasks(experiment: Experiment) -> Iterable[Mapping[str, Any]]:
    for name, row in experiment.tasks.items():
        rows = ", ".join(f"{split} {count}" for split, count in row.get("rows", {}).items())
        yield {"task": name, **{key: row[key] for key in ("task_digest", "data_digest")}, "rows": rows}


def _methods(experiment: Experiment) -> Iterable[Mapping[str, Any]]:
    for name, settings in experiment.methods.items():
        yield {"method": name, "settings": _settings(settings) or "no noise" + _trained_under(name)}


def _trained_under(name: str) -> str:
    row = available_methods().get(name)
    return "; run seed s trains under seed 2^31 + s" if row is not None and row.other_seeds else ""


def _recipes(provenance: Provenance, results: Sequence[RunResult]) -> Iterable[Mapping[str, Any]]:
    """Whole recipes; of tasks whose definition is not at hand what the runs changed of them."""
    changed = {result.spec.task: result.spec.train_settings for result in results}
    for task, settings in changed.items():
        known = provenance.recipes.get(task)
        words = _settings(known or settings)
        yield {"task": task, "settings": words if known else f"the task's own; changed: {words or 'nothing'}"}


def _environments(results: Sequence[RunResult]) -> Iterable[Mapping[str, Any]]:
    """Each item with each of its values: more than one value is a difference between runs."""
    found: dict[tuple[str, str], int] = {}
    for result in results:
        for item in leaves(result.environment):
            found[item] = found.get(item, 0) + 1
    yield from ({"what": w, "value": v, "runs": runs} for (w, v), runs in sorted(found.items()))


def _history(provenance: Provenance) -> Iterable[Mapping[str, Any]]:
    rows = [(each.when, f"started with dither {each.version}: {each.command}") for each in provenance.starts]
    rows += [
        (
            each.when,
            f"{'peeked' if each.peek else 'looked'} at {_seen(each)}"
            + (" (verdicts by older rules)" if each.statistics < STATISTICS else ""),
        )
        for each in provenance.looks
    ]
    for each in provenance.extensions:
        added = {"tasks": each.tasks, "methods": each.methods, "seeds": each.seeds}
        words = "; ".join(f"{name} {', '.join(map(str, items))}" for name, items in added.items() if items)
        rows.append((each.when, f"the plan grew by {words} (looks until then: {each.looks})"))
    yield from ({"when": when, "what": what} for when, what in sorted(rows))


def _seen(look: Look) -> str:
    """What a look saw."""
    if look.complete is None:
        return f"{look.runs} runs of {look.planned} seeds"
    at_most = f"at most {look.most}" if look.most else f"{look.planned}"
    return f"the runs of {look.complete} complete seeds, of {at_most}"


def _asked(plan: Experiment) -> str:
    """A command that asks for the runs of a plan."""
    kind = plan.kind.partition(" ")[0]
    verb = kind if kind in ("sensitivity", "finetune") else "compare"
    several = "" if verb == "finetune" else "s"
    words = ["dither", verb, *plan.tasks, "--model", plan.model]
    words += [f"--method{several}", ",".join(plan.methods)]
    if plan.until_resolved and plan.max_seeds is not None:
        words += ["--seeds-until", "resolved", "--max-seeds", str(plan.max_seeds)]
    else:
        words += [f"--seed{several}", seed_ranges(plan.seeds).replace(" ", "")]
    for name, value in plan.train_settings.items():
        words += ["--set", f"train.{name}={value if isinstance(value, str) else json.dumps(value)}"]
    words += ["--threads", str(plan.threads)] if plan.threads != 1 else []
    words += ["--dtype", plan.dtype] if plan.dtype != "float32" else []
    words += ["--margin", f"{plan.margin:g}"] if plan.margin is not None and verb == "compare" else []
    together = ["torchrun", "--nproc-per-node", str(plan.processes), "-m"] if plan.processes != 1 else []
    return shlex.join([*together, *words, "--out", "OUT"])


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
