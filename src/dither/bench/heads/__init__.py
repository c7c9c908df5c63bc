"""What a task puts on top of a backbone: how rows become inputs and outputs become predictions.

One module a kind of head, each with the functions of `Head`; a task names its kind.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dither.bench.heads import classification, regression, retrieval, span, tagging
from dither.bench.runs.features import Features
from dither.bench.tasks.task import Task

Row = dict[str, Any]
Inputs = Sequence[dict[str, Any]]


class Head(Protocol):
    """What every kind of head can do."""

    AUTO_MODEL: str
    OUTPUTS: int

    def config(self, task: Task) -> dict[str, Any]:
        """Settings of the model's config: number of labels and the like."""

    def encode(self, task: Task, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Features:
        """One input or more for each row, in order; columns that start with `row_` are not for the model."""

    def collator(self, tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
        """Makes a batch of some inputs."""

    def decode(self, task: Task, outputs: Any, features: Inputs, rows: Sequence[Row]) -> list[Any]:
        """One prediction for each row, as JSON values, from the model's first OUTPUTS outputs (numpy)."""


HEADS: dict[str, Head] = {
    "classification": classification,
    "regression": regression,
    "tagging": tagging,
    "span": span,
    "retrieval": retrieval,
}
"""By the name that tasks give as `head`."""
