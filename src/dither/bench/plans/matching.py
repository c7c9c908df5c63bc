"""λ in words becomes a number: for each task, variation and model once, before the first run.

"matched" is the λ at which a method moves the outputs as far as NoisyTune does at its own λ on the same task
and model: equal functional dose d (`dither.dose`). "energy" is the λ at which the noise has the energy of
PATS. What was found stands in the ledger's plan and is never found again: all seeds have the same λ, whenever
and wherever their runs are made.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from dither.bench.data.rows import Row
from dither.bench.executors.processes import in_processes
from dither.bench.executors.worker import sendable
from dither.bench.group import Group
from dither.bench.models.brought_heads import NEW
from dither.bench.plans.plan import Plan, arms_of
from dither.bench.plans.settings import STRENGTH, is_resolved
from dither.bench.runs.calibration import BATCHES, Calibration, calibrate, number_instead
from dither.bench.runs.request import RunRequest
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.subset import strata, stratified
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import base_of
from dither.methods.registry import ENERGY, MATCHED, method_info
from dither.results import Ledger, dose_rows

STATES = 128
"""Rows of a train split on which outputs are read; of a small split it is half of the rows."""
FEWEST = 8
"""Rows of a train split on which doses can be measured."""
_ORDER = 2**33  # seed of the order of rows, which no run and no subset has
_SMALL = 2e7  # bytes of a model's files, below which measuring takes less than starting a process

_DOSES, _LONG = "doses", timedelta(days=1)  # whoever measures that long is alive: else the launcher ends all

Say = Callable[[str], None]
Doses = dict[str, dict[str, Any]]
"""Task -> arm -> what `dither.results.Experiment.doses` holds."""


def resolve(plan: Plan, ledger: Ledger, *, jobs: int = 1, say: Say = lambda text: None) -> Plan:
    """The plan with a number for every λ: from the ledger where it is there, else found and recorded now.

    Arms whose λ is a number already are measured before their first run, too, so that the doses of all arms
    stand beside each other. Where that cannot be, `say` tells why.

    Args:
        plan: of the ledger's experiment.
        ledger: open for writing.
        jobs: processes that may measure at a time, each a task.
        say: called with a sentence before something takes its time.

    Raises:
        ValueError: a λ cannot be found, or was matched to something else in this ledger; the message says
            what to do.
    """
    plan = replace(plan, doses=ledger.experiment.doses)
    _check_references(plan, ledger)
    finished = set(ledger.finished_ids())
    wanted = {task.name: _missing(plan, task, finished) for task in plan.tasks}
    if any(wanted.values()):
        ledger.record_doses(measure(plan, wanted, jobs=jobs, say=say))
    return replace(plan, doses=ledger.experiment.doses)


def with_stored(plan: Plan, out: str | Path | None) -> Plan:
    """The plan with what a folder holds of its doses; as it is where there is no ledger."""
    if out is None or not Ledger.exists(out):
        return plan
    with Ledger.read(out) as ledger:
        return replace(plan, doses=ledger.experiment.doses)


def unresolved(plan: Plan) -> list[str]:
    """The arms whose λ is a word still, on one task at least."""
    arms = (plan.arms(task).items() for task in plan.tasks)
    return list(dict.fromkeys(arm for own in arms for arm, settings in own if not is_resolved(settings)))


def estimated_seconds(plan: Plan, step_seconds: Mapping[str, float]) -> float:
    """How long it takes about to measure the doses that are missing.

    A pass without gradients takes a third of a step. A dose takes two of them over the states, one for each
    draw; one that is to be found takes four; sensitivities take a step for each batch.

    Args:
        plan: with the doses that are known.
        step_seconds: task -> of a step of plain training.
    """
    seconds = {}
    for task in plan.tasks:
        arms = {arm: plan.arms(task)[arm] for arm in _missing(plan, task, set())}
        if arms:
            one = _Training.of(plan, task)
            passes = 3 + sum(2 if is_resolved(settings) else 4 for settings in arms.values())
            learning = sum(method_info(base_of(arm)).needs_gradients for arm in arms)
            steps = BATCHES * learning + len(one.states) * passes / one.recipe.batch_size / 3
            seconds[one.basis] = step_seconds[task.name] * steps
    return math.fsum(seconds.values())


def tell_doses(plan: Plan, group: Group) -> None:
    """Let the processes that were started with this one know what every λ is."""
    if group.size > 1:
        group.tell(_DOSES, plan.doses)


def requests_told(plan: Plan, group: Group) -> Iterator[RunRequest]:
    """The runs of a plan, once the first process has told what every λ is; for the others."""
    yield from replace(plan, doses=group.told(_DOSES, wait=_LONG)).requests()


def measure(
    plan: Plan, wanted: Mapping[str, Sequence[str]], *, jobs: int = 1, say: Say = lambda text: None
) -> Doses:
    """Measure arms of a plan, and find λ where it is a word.

    Tasks that train alike, under the same head on the same rows, are measured once.

    Args:
        plan: what stands in its `doses` is taken from there.
        wanted: task -> names of arms that have a λ.
        jobs: as in `resolve`.
        say: likewise.

    Raises:
        ValueError: a λ in words cannot be found.
    """
    trainings = _trainings(plan, wanted)
    known = _found(plan, trainings, wanted, jobs=jobs, say=say)
    doses = {name: _entries(one, wanted[name], known, say) for name, one in trainings.items()}
    return {name: found for name, found in doses.items() if found}


def doses_of(plan: Plan, *, jobs: int = 1, say: Say = lambda text: None) -> list[dict[str, Any]]:
    """The functional dose of every arm of a plan on every task, and the λ at which it has NoisyTune's.

    Nothing is written, and nothing is trained.

    Args:
        plan: its seeds do not matter.
        jobs: as in `resolve`.
        say: likewise.

    Returns:
        Rows as those of `dither.results.dose_rows`, with `matched`, the λ that "matched" stands for, and
        `why` a number is missing; None where there is nothing to say.

    Raises:
        ValueError: of no arm anything could be measured.
    """
    wanted = {
        task.name: [arm for arm, own in plan.arms(task).items() if STRENGTH in own] for task in plan.tasks
    }
    trainings = _trainings(plan, wanted)
    known = _found(plan, trainings, wanted, jobs=jobs, say=say, matches=True)
    errors = [dose["error"] for dose in known.values() if "error" in dose]
    if errors and len(errors) == len(known):
        raise ValueError(errors[0])
    doses: Doses = {}
    for name, one in trainings.items():
        for arm in wanted[name]:
            doses.setdefault(name, {})[arm] = {"asked": one.arms[arm][STRENGTH], "noise_lambda": None}
            doses[name][arm] |= known[one.basis, arm]
    rows = dose_rows(replace(plan, doses=doses).experiment("dose"))
    for row in rows:
        dose = doses.get(row["task"], {}).get(row["method"], {})
        row |= {"matched": dose.get("matched"), "why": dose.get("error", dose.get("why"))}
    return rows


def _trainings(plan: Plan, wanted: Mapping[str, Sequence[str]]) -> dict[str, "_Training"]:
    return {task.name: _Training.of(plan, task) for task in plan.tasks if wanted.get(task.name)}


def _found(
    plan: Plan,
    trainings: Mapping[str, "_Training"],
    wanted: Mapping[str, Sequence[str]],
    *,
    jobs: int,
    say: Say,
    matches: bool = False,
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Training and arm -> what `calibrate` gives, or the plan has already; each training is measured once."""
    known = {(dose["basis"], arm): dose for arms in plan.doses.values() for arm, dose in arms.items()}
    todo: dict[str, Calibration] = {}
    for name, one in trainings.items():
        arms = {arm: one.arms[arm] for arm in wanted[name] if (one.basis, arm) not in known}
        zeros = [arm for arm, settings in arms.items() if settings[STRENGTH] == 0 and not matches]
        known |= {(one.basis, arm): _NOTHING for arm in zeros}
        arms = {arm: settings for arm, settings in arms.items() if arm not in zeros}
        if len(one.rows) < FEWEST:
            known |= {(one.basis, arm): {"error": one.too_small(arm)} for arm in arms}
        elif arms:
            before = todo[one.basis].arms if one.basis in todo else {}
            todo[one.basis] = one.calibration(plan, {**before, **arms}, matches=matches)
    if todo:
        say(f"measuring the functional dose on {', '.join(one.task.name for one in todo.values())}")
    for basis, doses in zip(todo, _calibrated(plan, list(todo.values()), jobs), strict=True):
        known |= {(basis, arm): dose for arm, dose in doses.items()}
    return known


_NOTHING: Mapping[str, Any] = {"noise_lambda": 0.0, "d": 0.0, "draws": [], "energy": 0.0, "rows": 0}


def _entries(
    training: "_Training", arms: Sequence[str], known: Mapping[tuple[str, str], Mapping[str, Any]], say: Say
) -> dict[str, Any]:
    """What the plan holds of a task's arms; without those that have a number and cannot be measured."""
    found = {}
    for arm in arms:
        dose = known[training.basis, arm]
        if "error" not in dose:
            asked = {"asked": training.arms[arm][STRENGTH], "basis": training.basis}
            found[arm] = {**dose, **asked}
        elif is_resolved(training.arms[arm]):
            say(f"no functional dose: {dose['error']}")
        else:
            raise ValueError(f"{dose['error']}; or give λ a number: {number_instead(arm)}")
    return found


@dataclass(frozen=True)
class _Training:
    """What a task trains on, as far as doses depend on it.

    Attributes:
        task: that is trained.
        arms: with all their settings, λ as it was asked for.
        rows: of its train splits, in their order.
        states: those on which outputs are read.
        labelled: others, for sensitivities.
        recipe: of its runs.
        steps: of a run, were each row one input.
        basis: a digest of all that; with equal ones, arms have equal doses.
    """

    task: Task
    arms: Mapping[str, dict[str, Any]]
    rows: Sequence[Row]
    states: Sequence[Row]
    labelled: Sequence[Row]
    recipe: Recipe
    steps: int
    basis: str

    @classmethod
    def of(cls, plan: Plan, task: Task) -> "_Training":
        """The training of a task in a plan; no row of another split is looked at."""
        learned, recipe = task.learned, replace(task.recipe, **plan.train_settings)
        rows = [row for split in task.train_splits for row in plan.data[task.name].splits[split]]
        order = stratified(strata([row[learned.label] for row in rows]), _ORDER)
        read = min(STATES, len(rows) // 2)
        states = [rows[at] for at in order[:read]]
        labelled = [rows[at] for at in order[read:][: BATCHES * recipe.batch_size]]
        steps = recipe.max_steps or math.ceil(recipe.epochs * math.ceil(len(rows) / recipe.batch_size))
        decisive = [plan.source.digest, plan.dtype, learned.head, learned.labels, bool(task.languages)]
        decisive += [recipe.batch_size, recipe.max_length, states, labelled]
        decisive += [recipe.head_weights] if recipe.head_weights != NEW else []
        basis = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]
        arms = arms_of(task, plan.methods)
        return cls(task, arms, rows, states, labelled, recipe, steps, basis)

    def calibration(self, plan: Plan, arms: Mapping[str, dict[str, Any]], *, matches: bool) -> Calibration:
        """The request to measure arms on it."""
        return Calibration(
            task=self.task,
            source=plan.source,
            states=self.states,
            labelled=self.labelled,
            batch_size=self.recipe.batch_size,
            parts=self.recipe.gradient_accumulation * plan.processes,
            head_weights=self.recipe.head_weights,
            max_length=self.recipe.max_length,
            steps=self.steps,
            arms=arms,
            references=references(plan, self.task),
            threads=plan.threads,
            dtype=plan.dtype,
            matches=matches,
        )

    def too_small(self, arm: str) -> str:
        """Why nothing can be measured on it."""
        return (
            f"task {self.task.name!r} trains on {len(self.rows)} rows, and the functional dose of {arm!r} is "
            f"measured on {FEWEST} at least; take more rows"
        )


def references(plan: Plan, task: Task) -> dict[str, tuple[str, dict[str, Any]]]:
    """What the words refer to on a task: a method as the plan sets it, by default as the registry does.

    Args:
        plan: its arms `noisytune` and `pats` count; variations of them under other names do not.
        task: of it.

    Raises:
        ValueError: the reference of "matched" has no number for λ itself.
    """
    found = {}
    for word, name in ((MATCHED, "noisytune"), (ENERGY, "pats")):
        settings = arms_of(task, {name: plan.methods.get(name, {})})[name]
        found[word] = (name, settings)
    if not is_resolved(found[MATCHED][1]):
        raise ValueError(
            "noisytune is what other methods are matched to, so its λ is a number: leave out --set "
            f"noisytune.{STRENGTH}, or give it one; noisytune@{STRENGTH}={MATCHED} is an arm beside it"
        )
    if found[ENERGY][1][STRENGTH] == ENERGY:
        raise ValueError(f"pats has the energy that {ENERGY!r} refers to; give pats.{STRENGTH} a number")
    return found


def _check_references(plan: Plan, ledger: Ledger) -> None:
    """Refuse words that refer to something else than they did when they became numbers in this folder."""
    for task in plan.tasks:
        for arm in plan.doses.get(task.name, {}).keys() & plan.methods.keys():
            dose = plan.doses[task.name][arm]
            if "reference" not in dose:
                continue
            name, now = references(plan, task)[dose["asked"]]
            before = dose["reference"]["settings"]
            if changed := [key for key in before.keys() & now.keys() if before[key] != now[key]]:
                there = {key: before[key] for key in changed}
                raise ValueError(
                    f"in {ledger.path.parent} the λ of {arm} on {task.name} was matched to {name} with "
                    f"{_listed(there)}, and now {name} has {_listed({key: now[key] for key in changed})}: "
                    f"leave {name} as it was, or choose another --out"
                )


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in settings.items())


def _missing(plan: Plan, task: Task, finished: set[str]) -> list[str]:
    """The arms of a task whose dose is not there, and is needed for a λ or for runs that are to be made."""
    there = plan.doses.get(task.name, {})
    found = []
    for arm, settings in plan.arms(task).items():
        if STRENGTH in settings and arm not in there:
            runs = (plan.request(task, arm, settings, seed).spec.id for seed in plan.seeds)
            if not is_resolved(settings) or not finished.issuperset(runs):
                found.append(arm)
    return found


def _calibrated(plan: Plan, requests: Sequence[Calibration], jobs: int) -> Iterator[dict[str, Any]]:
    """What each request gives, in their order.

    Small models are measured here; larger ones, and all where there is a GPU, in processes, which take their
    memory with them. Of processes that were started together the first measures in itself.
    """
    import torch

    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be at least 1")
    has_gpu = torch.cuda.is_available()
    size = sum(path.stat().st_size for path in plan.source.folder.glob("*.safetensors"))
    if not requests or Group.here().size > 1 or (size < _SMALL and not has_gpu):
        return map(calibrate, requests)
    found = dict(in_processes(calibrate_for_sending, requests, min(jobs, len(requests))))
    return (found[request.task.name] for request in requests)


def calibrate_for_sending(request: Calibration) -> tuple[str, dict[str, Any]]:
    """`calibrate`, under the name of its task."""
    return request.task.name, sendable(calibrate, request)
