"""Sensitivities counted while a run trains: at a few steps of each phase, into histograms, never kept."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from transformers import TrainerCallback

from dither.bench.runs.parameter_groups import Group, groups_of, in_order, untied
from dither.core.histogram import COLUMNS, LogCounts
from dither.core.measured_sensitivity import count_sensitivity
from dither.core.names import NamedParameter
from dither.core.parameter_types import layer_of
from dither.core.phases import Phase, phases_of
from dither.core.sharding import Ranks, aligned, is_sharded, local
from dither.steps.optimizers import base_optimizer, is_dummy_step, skipped_flag


class Trace(TrainerCallback):
    """Count |W ⊙ G| after some optimizer steps of each phase of a run: what PATS sees there, in every method.

    W is the weight after the optimizer's step and before PATS's noise, so the callback goes before
    `NoiseCallback`; G the gradient that the step used. A step that was skipped is not counted.

    Attributes:
        found: a row for each phase so far, JSON values: `first` and `last` step, the `steps` that were
            counted; `types`: for each type of parameter, vectors and matrices apart, `count`, `zeros`,
            `nonfinite`, `mean` and the `histogram` as [place, count] (`LogCounts.sparse`); `layers`: `count`,
            `zeros` and `mean` of each layer and type. A resumed run has what it counted itself.
    """

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._hook: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Listen to the optimizer's steps."""
        self.found, optimizer, model = [], base_optimizer(kwargs["optimizer"]), kwargs["model"]
        rows = [row for row in untied(model) if row.parameter.requires_grad]
        ranks = Ranks([row.parameter for row in rows])
        self._counts = PhaseCounts(rows, groups_of(model), ranks)
        self._phases = list(phases_of(state.max_steps))
        # Replicas hold equal weights and gradients: the first one's counts are all there is to know.
        if state.is_world_process_zero or ranks:
            self._hook = optimizer.register_step_post_hook(lambda *_: self._step(optimizer, state))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop listening; what was found stays."""
        if self._hook is not None:
            self._hook.remove()
        self._hook = None
        self._end_phase()  # the last one, or that in which training was stopped

    def _step(self, optimizer: Optimizer, state: Any) -> None:
        step = state.global_step + 1  # the Trainer counts the step after it
        while self._phases and self._phases[0].last < step:
            self._end_phase()
        if self._phases and step in self._phases[0].samples:
            self._counts.add(optimizer, step)

    def _end_phase(self) -> None:
        if self._phases:
            phase = self._phases.pop(0)
            if self._counts.steps:
                self.found.append(self._counts.told(phase))


class PhaseCounts:
    """The counts of one phase: a row of numbers for each parameter.

    Args:
        rows: the parameters.
        groups: of each, by canonical name.
        ranks: that hold parts of them.
    """

    def __init__(self, rows: list[NamedParameter], groups: Mapping[str, Group], ranks: Ranks) -> None:
        self.steps: list[int] = []
        self._rows, self._groups, self._ranks = rows, groups, ranks
        self._numbers = torch.zeros(len(rows), COLUMNS, dtype=torch.float64)

    def add(self, optimizer: Optimizer, step: int) -> None:
        """Count a step, if it was one; a parameter without a gradient took no part in it."""
        work = [(at, row.parameter) for at, row in enumerate(self._rows) if row.parameter.grad is not None]
        skipped = skipped_flag(optimizer)
        if (skipped is not None and bool(skipped)) or is_dummy_step(optimizer, _gradients(work)):
            return
        for at, parameter in work:
            weight, gradient = _local(parameter)
            self._numbers[at] += count_sensitivity(weight, gradient).cpu()
        self.steps.append(step)

    def told(self, phase: Phase) -> dict[str, Any]:
        """The phase's row, counted by all processes together; the counts start over."""
        rows = self._ranks.add_up(self._numbers.clone()).numpy()
        types: dict[Group, LogCounts] = {}
        layers: dict[tuple[int | None, str], LogCounts] = {}
        for named, row in zip(self._rows, rows, strict=True):
            if not row.any():  # no step reached it
                continue
            group = self._groups[named.name]
            place = layer_of(named.name), group[0]
            types[group] = types.get(group, LogCounts.empty()) + LogCounts(row)
            layers[place] = layers.get(place, LogCounts.empty()) + LogCounts(row)
        steps, self.steps = self.steps, []
        self._numbers.zero_()
        return {
            "first": phase.first,
            "last": phase.last,
            "steps": steps,
            "types": [
                {
                    "type": kind,
                    "shape": shape,
                    **_numbers(found),
                    "nonfinite": int(found.nonfinite),
                    "histogram": found.sparse(),
                }
                for (kind, shape), found in in_order(types)
            ],
            "layers": [
                {"layer": layer, "type": kind, **_numbers(found)} for (layer, kind), found in layers.items()
            ],
        }


def _numbers(found: LogCounts) -> dict[str, Any]:
    return {"count": int(found.count), "zeros": int(found.zeros), "mean": found.mean}


def _gradients(work: "Iterable[tuple[int, Any]]") -> list[tuple[Tensor, Tensor]]:
    return [(parameter, parameter.grad) for _, parameter in work]


def _local(parameter: Any) -> tuple[Tensor, Tensor]:
    """What lies in this process of a weight and of its gradient."""
    weight, gradient = parameter.detach(), parameter.grad
    if is_sharded(weight):
        return local(weight), local(aligned(gradient, weight))
    return weight, gradient
