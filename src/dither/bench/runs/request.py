"""A run to be made, before anything of it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dither.bench.models.loading import ModelSource
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.task import Task
from dither.results import RunSpec


@dataclass(frozen=True)
class RunRequest:
    """A run to be made: what determines it, and where its parts lie.

    Attributes:
        spec: its identity.
        task: as loaded from its TOML; the spec's train settings change its recipe.
        source: the model.
        data_dir: folder of local data, or None.
        output_dir: where checkpoints and the final model go; None keeps neither.
        tensorboard: folder for TensorBoard's curves, or None.
        progress: show the Trainer's progress bar.
        batches: of train rows on which sensitivity is measured at the end; 0 measures nothing.
        encoded: folder of the task's data, tokenised already (`dither.bench.runs.shared_data`), or None.
        pulses: folder in which the run tells how far it is (`dither.bench.runs.pulse`), or None.
        training: identity of the training that the run stands on (`dither.bench.runs.trainings`); "" where
            it is not known, and the run has a training of its own.
        also: runs of other tasks that stand on the same training and are made with it.
        dose: the functional dose of the run's noise, for its record; None where it was not measured.
    """

    spec: RunSpec
    task: Task
    source: ModelSource
    data_dir: str | None = None
    output_dir: str | None = None
    tensorboard: str | None = None
    progress: bool = False
    batches: int = 0
    encoded: str | None = None
    pulses: str | None = None
    training: str = ""
    also: tuple["RunRequest", ...] = ()
    dose: Mapping[str, Any] | None = None

    @property
    def runs(self) -> tuple["RunRequest", ...]:
        """This run and those that are made with it, each alone."""
        return (replace(self, also=()), *self.also)

    @property
    def name(self) -> str:
        """Of the run, or of all that are made with it: their tasks, the method, the seed."""
        tasks = " + ".join(each.spec.task for each in self.runs)
        return f"{tasks}, {self.spec.method}, seed {self.spec.seed}"

    def each(self, **changes: Any) -> "RunRequest":
        """Return the request, and those that are made with it, with some changes in all of them."""
        return replace(self, **changes, also=tuple(replace(one, **changes) for one in self.also))

    @property
    def seed(self) -> int:
        """That of order, head, dropout and noise."""
        own = self.spec.training_seed
        return self.spec.seed if own is None else own

    @property
    def recipe(self) -> Recipe:
        """The task's recipe with the run's changes."""
        return replace(self.task.recipe, **self.spec.train_settings)
