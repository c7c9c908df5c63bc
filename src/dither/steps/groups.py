"""The scalars of noise during training, under a `dither` key of each parameter group of an optimizer.

    group["dither"] = {"schema": 1, "recipe": hash, "step": t, "lr_max": ...,
                       "std": [...], "mean": [...], "change": [[...], ...]}

The lists follow `group["params"]`; only plain numbers stand in them, so every checkpoint format takes them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from dither.core.noise import Change

KEY = "dither"
SCHEMA = 1


class GroupState:
    """The scalars of one parameter; a view into its group."""

    def __init__(self, group: dict[str, Any], index: int) -> None:
        self._group = group
        self._index = index

    @property
    def lr(self) -> float:
        """The learning rate that the step used."""
        return float(self._group["lr"])

    @property
    def lr_max(self) -> float:
        """The highest learning rate of the run."""
        return self._group[KEY]["lr_max"]

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

    def __init__(self, optimizer: Optimizer, recipe_hash: str) -> None:
        self._optimizer = optimizer
        self._recipe_hash = recipe_hash
        self._indexed: tuple[list[tuple[int, ...]], dict[int, GroupState]] | None = None

    def found(self, *, reset: bool) -> bool:
        """Whether state of this recipe is there to be continued.

        Raises:
            ValueError: state of another recipe or schema, or for other parameters, is there.
        """
        groups = self._optimizer.param_groups
        kept = [group[KEY] for group in groups if "std" in group.get(KEY, {})]
        if reset or not kept:
            return False
        if len(kept) != len(groups):
            raise ValueError(
                f"{len(kept)} of the optimizer's {len(groups)} parameter groups hold state of PATS; groups "
                "were added since: attach with reset=True to start afresh"
            )
        self.check()
        return True

    def check(self) -> None:
        """Refuse what cannot be continued.

        Raises:
            ValueError: the state vanished, because one without it was loaded, or parameters were added; or
                it is of another recipe or schema.
        """
        for number, group in enumerate(self._optimizer.param_groups):
            self._check(group, number)

    def create(self, spreads: dict[int, float], lr_max: float | None) -> None:
        """Start at step 0. What else stands under the key is kept.

        Args:
            spreads: std(W_0) by the id of the parameter.
            lr_max: for all groups, or None for each group's max_lr, else its initial_lr, else its lr.

        Raises:
            ValueError: a group whose highest learning rate cannot be known.
        """
        peaks = [_peak(group, number, lr_max) for number, group in enumerate(self._optimizer.param_groups)]
        for group, peak in zip(self._optimizer.param_groups, peaks, strict=True):
            stds = [spreads.get(id(parameter), 0.0) for parameter in group["params"]]
            fresh = {"schema": SCHEMA, "recipe": self._recipe_hash, "step": 0, "lr_max": peak}
            lists = {
                "std": stds,
                "mean": [0.0] * len(stds),
                "change": [list(astuple(Change())) for _ in stds],
            }
            group[KEY] = group.get(KEY, {}) | fresh | lists

    def forget_constants(self, targets: dict[int, Any]) -> None:
        """Drop the targets whose std(W_0) is 0."""
        for group, index, parameter in self._members():
            if group[KEY]["std"][index] == 0.0:
                targets.pop(id(parameter), None)

    @property
    def step(self) -> int:
        """t, the number of counted optimizer steps."""
        self.check()
        return self._optimizer.param_groups[0][KEY]["step"]

    def held(self) -> list[object]:
        """The objects that hold the state: others as soon as another state was loaded."""
        return [group.get(KEY) for group in self._optimizer.param_groups]

    def write(self, step: int, rows: Iterable[tuple[int, float, list[float]]] = ()) -> None:
        """Note t; and m and the numbers of the change so far, after the id of the parameter."""
        for group in self._optimizer.param_groups:
            group[KEY]["step"] = step
        owners = self.index()
        for key, mean, (elements, changed, energy, requested) in rows:
            owners[key].keep(mean, [int(elements), int(changed), energy, requested])

    def index(self) -> dict[int, GroupState]:
        """The scalars of every parameter, by the id of its tensor; made once for the same groups."""
        groups = self._optimizer.param_groups
        key = [(id(group), *map(id, group["params"])) for group in groups]
        if self._indexed is None or self._indexed[0] != key:
            found = {id(parameter): GroupState(group, i) for group, i, parameter in self._members()}
            self._indexed = key, found
        return self._indexed[1]

    def _members(self) -> Iterator[tuple[dict[str, Any], int, Tensor]]:
        for group in self._optimizer.param_groups:
            for index, parameter in enumerate(group["params"]):
                yield group, index, parameter

    def _check(self, group: dict[str, Any], number: int) -> None:
        state = group.get(KEY, {})
        where = f"parameter group {number} of the optimizer"
        if "std" not in state:
            raise ValueError(
                f"{where} has lost the state of PATS: a state without it was loaded, or the group was added; "
                "load a checkpoint that was written with PATS attached, or attach again with reset=True"
            )
        if state.get("schema") != SCHEMA:
            raise ValueError(
                f"{where} holds state of PATS in schema {state.get('schema')!r}, this version reads "
                f"{SCHEMA}; continue with the version that wrote it, or attach with reset=True"
            )
        if state["recipe"] != self._recipe_hash:
            raise ValueError(
                f"{where} holds state of PATS of recipe {state['recipe']}, now {self._recipe_hash} is "
                "asked for (other settings or another seed); use the same settings, or attach with reset=True"
            )
        if len(state["std"]) != len(group["params"]):
            raise ValueError(
                f"{where} has {len(group['params'])} parameters, its state of PATS is for "
                f"{len(state['std'])}; attach with reset=True"
            )


def _peak(group: dict[str, Any], number: int, lr_max: float | None) -> float:
    values = (lr_max, group.get("max_lr"), group.get("initial_lr"), group.get("lr"))
    peak = next((float(value) for value in values if value is not None), float("nan"))
    if group.get("lr") is None or not 0.0 < peak < float("inf"):
        raise ValueError(
            f"the learning rate of parameter group {number} is {group.get('lr')} where PATS is attached, so "
            "the highest of the run is unknown; attach after the scheduler is made, or pass lr_max="
        )
    return peak
