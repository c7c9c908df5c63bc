"""What is told of examples that flip, as plain rows: `dither.bench.flips` counts them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Flip:
    """One evaluation example that is predicted differently by a method and by plain fine-tuning.

    Attributes:
        task: as in the ledger.
        method: the arm beside plain.
        evaluation: of the task, the key of the run's predictions.
        row: its place there, from 0.
        pairs: of seeds, whose predictions could be compared.
        flips: pairs whose predictions differ; None in regression, where they have a distance alone.
        mended: of these, plain was wrong and the method right; None where the gold label is not at hand.
        broken: likewise the reverse.
        distance: mean over the pairs: of regression the absolute difference, in the label's unit; of tagging
            the number of words that differ; else None.
        gold: the gold label in words; None where it is not at hand.
        plain: plain's most frequent prediction, in regression the mean one.
        said: the method's.
        texts: the input by name; empty where it is not at hand.
    """

    task: str
    method: str
    evaluation: str
    row: int
    pairs: int
    flips: int | None
    mended: int | None
    broken: int | None
    distance: float | None
    gold: str | float | None
    plain: str | float | None
    said: str | float | None
    texts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class FlipSummary:
    """How often all examples of a task flip, and how often they do between two seeds of plain fine-tuning.

    Attributes:
        task: as in the ledger.
        method: the arm beside plain.
        pairs: of seeds that both arms have predictions of.
        planned: seeds.
        failed: pairs with a failed run; they count.
        examples: of all evaluations.
        compared: examples × pairs; less, where predictions of a run are left out or not finite.
        share: of these, those that flip, in [0, 1]; None in regression.
        mended: of these, those in which plain was wrong and the method right; None where gold labels are not
            at hand.
        broken: likewise the reverse.
        distance: the mean over these of `Flip.distance`.
        seed_pairs: neighbours in the plan's order of seeds that plain has predictions of.
        seed_share: like `share`, of these; None where there are none.
        seed_distance: like `distance`, of these.
    """

    task: str
    method: str
    pairs: int
    planned: int
    failed: int
    examples: int
    compared: int
    share: float | None
    mended: int | None
    broken: int | None
    distance: float | None
    seed_pairs: int
    seed_share: float | None
    seed_distance: float | None


@dataclass(frozen=True)
class Flips:
    """What flips in a folder of runs.

    Attributes:
        examples: the first of each task and method, most flips (in regression the greatest distance) first.
        summaries: a row for each task and method.
        reasons: a sentence for each thing that is missing.
    """

    examples: tuple[Flip, ...]
    summaries: tuple[FlipSummary, ...]
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, list[Any]]:
        """The same as JSON values."""
        rows = {name: [asdict(row) for row in getattr(self, name)] for name in ("examples", "summaries")}
        return {**rows, "reasons": list(self.reasons)}
