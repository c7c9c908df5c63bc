"""The trials of a search as Optuna keeps them, so that a killed search goes on.

What a trial suggests depends on the trials before it and on seeds of its own, never on what a process
remembers. So a search that was killed tries, once it went on, what it would have tried in one go.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dither.bench.sweeps.parameters import Choices, Parameter
from dither.bench.sweeps.storage import StorageError

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

STARTUP = 5
"""Trials that are completed before any is pruned."""
_BELONGS = "dither"
_DIGITS = 4  # of a suggested value: it stands in the name of its arm


class StoredTrial:
    """One trial: its settings, and how far it came.

    Args:
        study: Optuna's.
        frozen: the trial as it lies in the storage.
        settings: by name.
    """

    def __init__(
        self, study: "optuna.Study", frozen: "optuna.trial.FrozenTrial", settings: dict[str, Any]
    ) -> None:
        self._study, self._frozen, self.settings = study, frozen, settings

    @property
    def number(self) -> int:
        """From 0, in the order of the trials."""
        return self._frozen.number

    @property
    def steps(self) -> int:
        """How many seeds it was reported for."""
        return len(self._frozen.intermediate_values)

    @property
    def finished(self) -> bool:
        """Whether it was completed or pruned."""
        return bool(self._frozen.state.is_finished())

    @property
    def score(self) -> float | None:
        """Of a completed trial; None for one that was pruned."""
        return self._frozen.value if self._frozen.state.name == "COMPLETE" else None

    def report(self, step: int, mean: float) -> bool:
        """Say what the mean over the seeds so far is; return whether the trial is hopeless.

        Args:
            step: of the last of these seeds, from 0. One that was reported before a kill is not again.
            mean: of the scores, points.
        """
        import optuna

        trial = optuna.trial.Trial(self._study, self._frozen._trial_id)
        if step not in self._frozen.intermediate_values:
            trial.report(mean, step)
            self._refresh()
        return self._frozen.last_step == step and trial.should_prune()

    def complete(self, mean: float) -> None:
        """End the trial with the mean over all seeds."""
        self._study.tell(self.number, mean)
        self._refresh()

    def prune(self) -> None:
        """End the trial without a score."""
        import optuna

        self._study.tell(self.number, state=optuna.trial.TrialState.PRUNED)
        self._refresh()

    def _refresh(self) -> None:
        self._frozen = self._study.get_trials()[self.number]


class Study:
    """The trials of one search, in their order; a storage may hold many studies.

    Args:
        storage: that is open.
        name: of the study.
        belongs: what the search is, as JSON values; a study of another one is refused.
        space: what is searched.
        seed: of the suggestions.

    Raises:
        StorageError: the study of this name is of another search, or of another program.
    """

    def __init__(
        self,
        storage: "RDBStorage",
        name: str,
        *,
        belongs: Mapping[str, Any],
        space: Sequence[Parameter],
        seed: int,
    ) -> None:
        import optuna

        self._space, self._seed = space, seed
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
        )
        self._claim(name, dict(belongs))

    def _claim(self, name: str, belongs: dict[str, Any]) -> None:
        """Write into a new study what it is of; refuse one that is of something else."""
        digest = hashlib.sha256(json.dumps(belongs, sort_keys=True).encode()).hexdigest()
        held = self._study.user_attrs.get(_BELONGS)
        if held is None and not self._study.get_trials(deepcopy=False):
            self._study.set_user_attr(_BELONGS, {"digest": digest, "search": belongs})
            return
        if held is None:
            raise StorageError(
                f"the study {name!r} in the storage was not made by dither; choose another --out"
            )
        if held["digest"] != digest:
            lines = "\n  ".join(differences(held["search"], belongs))
            raise StorageError(
                f"the study {name!r} in the storage is of another search:\n  {lines}\nChoose another --out "
                "for this one, or use the settings of that search."
            )

    def trial(self, number: int) -> StoredTrial:
        """The trial of a number: finished, as a process that died left it, or a new one.

        Raises:
            StorageError: somebody else ended the trial, or made it.
        """
        import optuna

        stored = self._study.get_trials(deepcopy=False)
        if number == len(stored):
            self._study.ask()
            stored = self._study.get_trials(deepcopy=False)
        frozen = stored[number]
        if frozen.state.name not in ("RUNNING", "COMPLETE", "PRUNED"):
            raise StorageError(
                f"trial {number} of the study is {frozen.state.name}, which a search of dither makes none; "
                "choose another --out"
            )
        if frozen.state.is_finished():
            trial: Any = optuna.trial.FixedTrial(frozen.params, number)
        else:
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
        settings = {one.setting: self._suggested(trial, one, number) for one in self._space}
        return StoredTrial(self._study, self._study.get_trials()[number], settings)

    def _suggested(self, trial: Any, one: Parameter, number: int) -> Any:
        """The value that a trial has, or gets now, for one parameter."""
        import optuna

        text = f"{self._seed} {number} {one.setting}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        self._study.sampler = optuna.samplers.TPESampler(seed=seed)
        if isinstance(one, Choices):
            return trial.suggest_categorical(one.setting, list(one.values))
        if one.whole:
            return trial.suggest_int(one.setting, int(one.low), int(one.high), log=one.log)
        value = trial.suggest_float(one.setting, one.low, one.high, log=one.log)
        return min(max(float(f"{value:.{_DIGITS}g}"), one.low), one.high)


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """What differs between two values of JSON, a line for each leaf.

    Example:
        >>> differences({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [2]}})
        ['b.c: [1] there, [2] now']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in {**old, **new}
            for line in differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if old == new else [f"{where}: {old!r} there, {new!r} now"]
