"""The scalars of noise during training, under a `dither` key of each parameter group of an optimizer.

    group["dither"] = {"schema": 1, "recipe": hash, "step": t, "lr_max": ...,
                       "std": [...], "mean": [...], "change": [[...], ...],
                       "total_steps": T, "factor": f, "given": Σ c²}

The lists follow `group["params"]`; only plain numbers stand in them, so every checkpoint format takes them.
The last line is missing where a step's dose does not follow from the run's learning rates
(`schedule="linear"`, `per_step=True`, and all states of before there was a choice): loaders of distributed
checkpoints demand every key that they find.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from torch.optim import Optimizer

from dither.core.noise import Change
from dither.core.schedules import TOLERANCE
from dither.steps.rates import RatePlan

KEY = "dither"
SCHEMA = 1
_NORMALISED = ("total_steps", "factor", "given")


class GroupState:
    """The scalars of one parameter; a view into its group."""

    def __init__(self, group: dict[str, Any], index: int, number: int) -> None:
        self._group = group
        self._index = index
        self.number = number
        """Of the group."""

    @property
    def std(self) -> float:
        """std(W_0); 0 for a parameter that gets no noise."""
        return self._group[KEY]["std"][self._index]

    @property
    def mean(self) -> float:
        """m, the mean sensitivity over the active elements of the step before; 0 where there was none."""
        return self._group[KEY]["mean"][self._index]

    @property
    def change(self) -> Change:
        """What the noise of all steps so far did to the parameter."""
        return Change(*self._group[KEY]["change"][self._index])

    def keep(self, mean: float, change: list[float]) -> None:
        """Note m and the numbers of the change so far."""
        held = self._group[KEY]
        held["mean"][self._index], held["change"][self._index] = mean, change


class GroupStates:
    """All groups of one optimizer. Always read from the optimizer, so that a loaded state counts at once."""

    def __init__(self, optimizer: Optimizer, recipe_hash: str, earlier_hash: str | None = None) -> None:
        self._optimizer = optimizer
        self._recipe_hash = recipe_hash
        self._earlier_hash = earlier_hash  # of the same settings under the rule of before: continued under it
        self._indexed: tuple[list[tuple[int, ...]], dict[int, GroupState]] | None = None

    def found(self, *, reset: bool) -> bool:
        """Whether state of this recipe is there to be continued: not where no step was counted so far.

        Raises:
            ValueError: state of another recipe or schema, or for other parameters, is there.
        """
        groups = self._optimizer.param_groups
        if reset or not any(group[KEY]["step"] for group in groups if _has_state(group)):
            return False
        for number in range(self.first_added):
            self._check(groups[number], number)
        return True

    @property
    def first_added(self) -> int:
        """The number of the first group that was added since, as are all behind it; else how many there are.

        Raises:
            ValueError: a group without state stands before one that has it.
        """
        groups = self._optimizer.param_groups
        first = next((number for number, group in enumerate(groups) if not _has_state(group)), len(groups))
        if any(_has_state(group) for group in groups[first:]):
            self._check(groups[first], first)
        return first

    def check(self) -> None:
        """Refuse what cannot be continued.

        Raises:
            ValueError: the state vanished, because one without it was loaded, or parameters were added; or
                it is of another recipe or schema.
        """
        for number, group in enumerate(self._optimizer.param_groups):
            self._check(group, number)

    def create(
        self,
        spreads: dict[int, float],
        lr_max: float | None,
        plan: RatePlan | None,
        *,
        first: int = 0,
    ) -> None:
        """Start at step 0, or where the others are with groups that were added. What else is there is kept.

        Args:
            spreads: std(W_0) by the id of the parameter.
            lr_max: for all groups, or None for the highest planned, or each group's max_lr, else its
                initial_lr, else its lr.
            plan: of the run's learning rates; None where the doses do not follow from them.
            first: the number of the first group that is meant, and all behind it.

        Raises:
            ValueError: a group whose highest learning rate cannot be known, or is planned to be exceeded.
        """
        groups = list(enumerate(self._optimizer.param_groups))[first:]
        step, recipe = 0, self._recipe_hash
        if first:
            step, recipe = (self._optimizer.param_groups[0][KEY][key] for key in ("step", "recipe"))
        peaks = [_peak(group, i, lr_max, plan.highest(i) if plan else 0.0) for i, group in groups]
        for (number, group), peak in zip(groups, peaks, strict=True):
            stds = [spreads.get(id(parameter), 0.0) for parameter in group["params"]]
            fresh: dict[str, Any] = {"schema": SCHEMA, "recipe": recipe, "step": step, "lr_max": peak}
            lists = {
                "std": stds,
                "mean": [0.0] * len(stds),
                "change": [list(astuple(Change())) for _ in stds],
            }
            if plan is not None:
                factor = plan.factor(number, peak)
                lists |= {"total_steps": plan.total_steps, "factor": factor, "given": 0.0}
            others = {key: value for key, value in group.get(KEY, {}).items() if key not in _NORMALISED}
            group[KEY] = others | fresh | lists

    def constants(self) -> set[int]:
        """The ids of the parameters whose std(W_0) is 0 by the state that is there now."""
        return {
            id(parameter)
            for group in self._optimizer.param_groups
            for parameter, std in zip(group["params"], group.get(KEY, {}).get("std", ()), strict=False)
            if std == 0.0
        }

    @property
    def step(self) -> int:
        """t, the number of counted optimizer steps."""
        self.check()
        return self._optimizer.param_groups[0][KEY]["step"]

    @property
    def is_there(self) -> bool:
        """Whether each group has state."""
        return all(_has_state(group) for group in self._optimizer.param_groups)

    @property
    def is_fresh(self) -> bool:
        """Whether state is there and no step was counted by it."""
        return self.is_there and not any(group[KEY]["step"] for group in self._optimizer.param_groups)

    @property
    def made(self) -> int:
        """t by the first group; the others may have been added since."""
        return self._optimizer.param_groups[0][KEY]["step"]

    @property
    def is_earlier(self) -> bool:
        """Whether the state is of a run that was begun under the rule of before."""
        return self._optimizer.param_groups[0][KEY]["recipe"] == self._earlier_hash != self._recipe_hash

    @property
    def planned_steps(self) -> int | None:
        """T of the run that the state is of; None where the state does not say it."""
        return self._optimizer.param_groups[0][KEY].get("total_steps")

    @property
    def factors(self) -> list[float | None]:
        """f of each group; None where its doses do not follow from the run's learning rates."""
        return [group[KEY].get("factor") for group in self._optimizer.param_groups]

    def lr_max(self, number: int) -> float:
        """The highest learning rate of a group's run."""
        return self._optimizer.param_groups[number][KEY]["lr_max"]

    def given(self) -> list[float]:
        """Σ c² of each group so far; 0 where it is not counted."""
        return [group[KEY].get("given", 0.0) for group in self._optimizer.param_groups]

    def noised(self) -> list[tuple[int, dict[str, Any]]]:
        """The groups of which any parameter gets noise, with their numbers."""
        groups = enumerate(self._optimizer.param_groups)
        return [(number, group) for number, group in groups if any(group[KEY]["std"])]

    def held(self) -> list[object]:
        """The objects that hold the state: others as soon as another state was loaded."""
        return [group.get(KEY) for group in self._optimizer.param_groups]

    def write(
        self,
        step: int,
        rows: Iterable[tuple[int, float, list[float]]] = (),
        *,
        given: Sequence[float] | None = None,
    ) -> None:
        """Note t, and Σ c² of each group; and m and the numbers of the change, after the parameter's id."""
        for number, group in enumerate(self._optimizer.param_groups):
            if not _has_state(group):  # added since: it is refused, or taken up, before the next step counts
                continue
            group[KEY]["step"] = step
            if given is not None and "given" in group[KEY]:
                group[KEY]["given"] = given[number]
        owners = self.index()
        for key, mean, (elements, changed, energy, requested) in rows:
            owners[key].keep(mean, [int(elements), int(changed), energy, requested])

    def index(self) -> dict[int, GroupState]:
        """The scalars of every parameter, by the id of its tensor; made once for the same groups."""
        groups = self._optimizer.param_groups
        key = [(id(group), *map(id, group["params"])) for group in groups]
        if self._indexed is None or self._indexed[0] != key:
            found = {
                id(parameter): GroupState(group, i, number)
                for number, group in enumerate(groups)
                for i, parameter in enumerate(group["params"])
            }
            self._indexed = key, found
        return self._indexed[1]

    def _check(self, group: dict[str, Any], number: int) -> None:
        state = group.get(KEY, {})
        where = f"parameter group {number} of the optimizer"
        if "std" not in state:
            if number and _has_state(self._optimizer.param_groups[0]):
                raise ValueError(
                    f"{where} was added after PATS was attached; call dither.attach again with the same "
                    "settings: it takes the group up and goes on with the averages of the others"
                )
            raise ValueError(
                f"{where} has lost the state of PATS: a state without it was loaded; load a checkpoint that "
                "was written with PATS attached, or attach again with reset=True"
            )
        if state.get("schema") != SCHEMA:
            raise ValueError(
                f"{where} holds state of PATS in schema {state.get('schema')!r}, this version reads "
                f"{SCHEMA}; continue with the version that wrote it, or attach with reset=True"
            )
        if state["recipe"] not in (self._recipe_hash, self._earlier_hash):
            raise ValueError(
                f"{where} holds state of PATS of recipe {state['recipe']}, now {self._recipe_hash} is "
                "asked for (other settings or another seed); use the same settings, or attach with reset=True"
            )
        if len(state["std"]) != len(group["params"]):
            raise ValueError(
                f"{where} has {len(group['params'])} parameters, its state of PATS is for "
                f"{len(state['std'])}; add parameters as a group of their own, by add_param_group, and "
                "attach again, or attach with reset=True to start afresh"
            )


def _has_state(group: dict[str, Any]) -> bool:
    return "std" in group.get(KEY, {})


def _peak(group: dict[str, Any], number: int, lr_max: float | None, planned: float) -> float:
    """The highest learning rate of a group; `planned` is that of its schedule, 0 where it is not known."""
    if lr_max is not None and planned > lr_max * (1.0 + TOLERANCE):
        raise ValueError(
            f"the schedule takes the learning rate of parameter group {number} to {planned:g}, above "
            f"PATS(lr_max={lr_max:g}), which is to be the highest of the run; leave lr_max out, or raise it"
        )
    values = (lr_max, group.get("max_lr"), group.get("initial_lr"), group.get("lr"))
    peak = next((float(value) for value in values if value is not None), float("nan"))
    peak = peak if lr_max is not None or peak > planned else planned or peak
    if group.get("lr") is None:
        raise ValueError(
            f"parameter group {number} of the optimizer has no learning rate, with which the noise fades; "
            "where the optimizer needs none, give a constant one: "
            f"optimizer.param_groups[{number}]['lr'] = 1.0"
        )
    if not 0.0 < peak < float("inf"):
        raise ValueError(
            f"the learning rate of parameter group {number} is {group.get('lr')} where PATS is attached, so "
            "the highest of the run is unknown; attach after the scheduler is made, or PATS(lr_max=...)"
        )
    return peak
