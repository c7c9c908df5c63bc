"""How a task of retrieval reads a model and scores pairs, as its TOML file says it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dither.bench.tasks.keys import require

if TYPE_CHECKING:
    from dither.bench.tasks.task import Task

MARGINS = ("none", "ratio", "distance")


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Which states stand for a sentence, and what makes two of them a pair.

    A sentence is the mean of its tokens' states. XTREME's scripts leave special tokens in the mean, take the
    cosine alone for Tatoeba and the ratio margin of four neighbours for BUCC.

    Args:
        layer: number of the hidden state, 0 for the embeddings; or, as a fraction between 0 and 1, a share of
            the model's layers, rounded to the nearest.
        margin: "none" for the cosine, "ratio" or "distance" for its margin over the neighbours' mean.
        neighbours: how many are in that mean, >= 1.
        special_tokens: whether they count in the mean of a sentence.
        threshold_split: on which split the threshold of mining is chosen; the language is the evaluation's.
            Without it every source has a target and each gets its best one.

    Example:
        >>> [Retrieval(layer=0.6).layer_of(layers) for layers in (6, 12, 24)]
        [4, 7, 14]

    Reference:
        Hu et al., "XTREME", ICML 2020, https://arxiv.org/abs/2003.11080, and its `evaluate_retrieval.py`.
    """

    layer: int | float
    margin: str = "none"
    neighbours: int = 4
    special_tokens: bool = True
    threshold_split: str = ""

    def __post_init__(self) -> None:
        whole, share = type(self.layer) is int, type(self.layer) is float
        if not (whole and self.layer >= 0) and not (share and 0 < self.layer < 1):
            raise ValueError(
                f"layer = {self.layer!r} is no number of a hidden state (0, 1, ...) and no share in (0, 1)"
            )
        if self.margin not in MARGINS:
            raise ValueError(f"margin = {self.margin!r} is none of {', '.join(MARGINS)}")
        if type(self.neighbours) is not int or self.neighbours < 1:
            raise ValueError(f"neighbours = {self.neighbours!r} is no whole number from 1")
        if type(self.special_tokens) is not bool:
            raise ValueError(f"special_tokens = {self.special_tokens!r} is not true or false")
        if not re.fullmatch(r"[A-Za-z0-9_]*", self.threshold_split):
            raise ValueError(f"threshold_split = {self.threshold_split!r} is not like 'validation'")

    def layer_of(self, layers: int) -> int:
        """The number of the hidden state in a model of so many layers.

        Raises:
            ValueError: the model has fewer layers.
        """
        number = self.layer if isinstance(self.layer, int) else int(self.layer * layers + 0.5)
        if number > layers:
            raise ValueError(
                f"reads hidden state {number} and the model has {layers} layers: states 0 (the embeddings) "
                f"to {layers}; in a task file of your own, set layer in [retrieval] to one of them, or to a "
                "share of the layers such as 0.6"
            )
        return number

    def threshold_for(self, split: str) -> str:
        """The split on which the threshold for an evaluation split is chosen; "" where there is none."""
        language = split.partition(".")[2]
        return ".".join(filter(None, (self.threshold_split, self.threshold_split and language)))


def check_retrieval(task: "Task") -> None:
    """Refuse a task whose keys for retrieval do not fit each other.

    Raises:
        ValueError: a key is missing, or there without its use; the message names it.
    """
    pairs, settings = task.head == "retrieval", task.retrieval
    require(not pairs or settings, "retrieval", "is missing; it says which layer stands for a sentence")
    require(pairs or not settings, "retrieval", "is for head = 'retrieval' alone")
    require(not pairs or task.train_from, "train_from", "is missing; it names the task to train on")
    require(pairs or not task.train_from, "train_from", "is for head = 'retrieval' alone")
    if settings is None:
        return
    require(not task.train, "train", f"is that of {task.train_from!r}; leave it out")
    require(not task.label, "label", "head 'retrieval' has none")
    mined = bool(settings.threshold_split)
    for name in task.metrics:
        need = "needs" if name == "mining_f1" else "goes without"
        require(
            (name == "mining_f1") == mined, "metrics", f"{name!r} {need} the key retrieval.threshold_split"
        )
    for split in task.evaluation.values():
        shown, key = settings.threshold_for(split), "retrieval.threshold_split"
        require(shown != split, key, f"{split!r} is reported; choose the threshold on another split")
        require(shown not in task.train_splits, key, f"{shown!r} is the train split")
