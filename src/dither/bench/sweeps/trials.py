"""What a search tried and chose, as plain rows: kept in `trials.json`, read without Optuna."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dither.stats.formats import seed_ranges

FILE = "trials.json"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial.

    Args:
        number: from 0, in the order in which they were made.
        arm: the method with the settings tried.
        settings: of the search's space.
        state: "complete", or "pruned": given up after some of the seeds.
        seeds: how many of the search's seeds it was trained with.
        score: points, the mean over tasks and seeds; None for a pruned trial, which has no such mean.
        failed_runs: runs of it that failed; one without a score counts with the constant predictor's.
    """

    number: int
    arm: str
    settings: dict[str, Any]
    state: Literal["complete", "pruned"]
    seeds: int
    score: float | None
    failed_runs: int = 0


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A search that is done, or as far as it is.

    Args:
        method: what was searched.
        space: the parameters, as users type them.
        tasks: as they were trained: on a part of train, evaluated on the rest of it.
        seeds: of the trials.
        held_out: share of the train split that was evaluated on.
        planned: how many trials were asked for.
        trials: so far.
    """

    method: str
    space: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    held_out: float
    planned: int
    trials: tuple[Trial, ...]

    @property
    def chosen(self) -> Trial:
        """The completed trial with the highest score, the first of equals.

        Raises:
            ValueError: no trial is complete.
        """
        complete = [trial for trial in self.trials if trial.score is not None]
        if not complete:
            raise ValueError("no trial is complete, so nothing can be chosen")
        return max(complete, key=lambda trial: (trial.score, -trial.number))

    @property
    def sentence(self) -> str:
        """How the choice was made, to stand beside what is reported of it.

        Example:
            >>> trial = Trial(number=0, arm="pats@beta=0.9", settings={"beta": 0.9}, state="complete",
            ...               seeds=3, score=80.0)
            >>> Selection(method="pats", space=("beta=0.5..0.99",), tasks=("glue/rte@held_out=0.2",),
            ...           seeds=(100, 101, 102), held_out=0.2, planned=1, trials=(trial,)).sentence
            'selected on a held-out slice of train with seeds 100-102 (1 trial, 0 pruned); the reported split
            was not looked at'
        """
        pruned = sum(trial.state == "pruned" for trial in self.trials)
        return (
            f"selected on a held-out slice of train with seed{'s' * (len(self.seeds) != 1)} "
            f"{seed_ranges(self.seeds)} ({len(self.trials)} "
            f"trial{'s' * (len(self.trials) != 1)}, {pruned} pruned); the reported split was not looked at"
        )

    def to_json(self) -> dict[str, Any]:
        """The selection as JSON values, with the chosen arm where there is one."""
        done = any(trial.score is not None for trial in self.trials)
        return {
            **asdict(self),
            "objective": OBJECTIVE,
            "chosen": self.chosen.arm if done else None,
            "sentence": self.sentence,
        }

    def write(self, folder: Path) -> None:
        """Write `trials.json`, whole or not at all."""
        path, new = folder / FILE, folder / f".{FILE}.new"
        new.write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        os.replace(new, path)


OBJECTIVE = (
    "mean score over tasks and search seeds; plain fine-tuning with these seeds is one constant, so the mean "
    "paired difference to it gives the same order"
)


def read_selection(folder: str | Path) -> Selection:
    """The selection that a search left in its folder.

    Args:
        folder: `OUT/search`.

    Raises:
        ValueError: there is none, or it is no such file.
    """
    path = Path(folder) / FILE
    try:
        found = json.loads(path.read_text())
        for derived in ("objective", "chosen", "sentence"):
            del found[derived]
        rows = tuple(Trial(**row) for row in found.pop("trials"))
        lists = {key: tuple(value) for key, value in found.items() if isinstance(value, list)}
        return Selection(**{**found, **lists}, trials=rows)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no trials of a search ({error})") from error
