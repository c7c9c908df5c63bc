"""A model tried on made-up inputs: how long inputs may be, and whether padding moves a row's outputs."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dither.bench.heads import HEADS, Row
from dither.bench.tasks.task import Task

UNLIMITED = 2**31 - 1
_TARGETS = ("labels", "start_positions", "end_positions")
_LEAST = 0.01  # that outputs are taken for, so that rounding stays small beside them
_LENGTH = 64  # of the made-up inputs, at most; they have about five, six and ten tokens


@dataclass(frozen=True)
class Trial:
    """What a model made of the inputs.

    Attributes:
        positions: tokens that an input may have; `UNLIMITED` where no table of positions was read.
        change: the largest change of an output of the shorter input when it stands in a batch with the longer
            one, which pads it, as a share of the largest output; 0 where they could not be compared.
        notable: whether that is more than rounding makes.
    """

    positions: int
    change: float
    notable: bool


def try_model(model: Any, task: Task, tokenizer: Any) -> Trial:
    """Compute two short inputs, and the second again in a batch with a longer one; no random state moves.

    Rows of tables that are read one after the other, token by token, are positions, whatever the table is
    called and wherever its first row for tokens is.

    Args:
        model: with the task's head, on the CPU.
        task: that is trained on.
        tokenizer: of the model.

    Raises:
        Exception: of the model, which cannot compute an input of this tokenizer.
    """
    model.eval()
    shorter, short = (_inputs(task, tokenizer, words) for words in (3, 4))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        _, tables = _outputs(model, task, tokenizer, [shorter])
        alone, again = _outputs(model, task, tokenizer, [short])
        # A table whose size goes with the input is none of positions.
        positions = min((rows - first for rows, first in tables & again), default=UNLIMITED)
        long = _inputs(task, tokenizer, 8, min(positions, _LENGTH))
        if len(long["input_ids"]) <= len(short["input_ids"]):
            return Trial(positions, 0.0, notable=False)
        beside, _ = _outputs(model, task, tokenizer, [short, long])
    change, precision = _change(alone, beside), torch.finfo(alone[0].dtype).eps
    return Trial(positions, change, notable=change > precision**0.5)


def _inputs(task: Task, tokenizer: Any, words: int, length: int = _LENGTH) -> dict[str, Any]:
    """The first input of a made-up row: one word again and again, so that positions alone count up."""
    return dict(HEADS[task.head].encode(task, [_row(task, words)], tokenizer, length)[0])


def _row(task: Task, words: int) -> Row:
    made = ["a"] * words
    row: Row = dict.fromkeys(task.columns, " ".join(made))
    if task.head == "tagging":
        return {task.columns[0]: made, task.label: [task.labels[0]] * words}
    if task.head == "span":
        return {**row, task.columns[0]: "a", task.label: {"text": ["a"], "answer_start": [0]}}
    return {**row, task.label: task.range[0] if task.range else 0}


def _outputs(
    model: Any, task: Task, tokenizer: Any, inputs: list[dict[str, Any]]
) -> tuple[list[Tensor], set[tuple[int, int]]]:
    """The outputs for the first of some inputs, and the tables that its tokens read in order."""
    head, taken = HEADS[task.head], inspect.signature(model.forward).parameters
    kept = [{key: one[key] for key in one if key in taken} for one in inputs]
    batch: Mapping[str, Any] = head.collator(tokenizer)(kept)
    with _Reads(len(kept[0]["input_ids"])) as reads:
        made = model(**{key: batch[key] for key in batch if key not in _TARGETS})
    return [output[0] for output in made.to_tuple()[: head.OUTPUTS]], reads.found


def _change(alone: list[Tensor], beside: list[Tensor]) -> float:
    """The largest difference as a share of the largest value; tokens of padding, at the end, do not count."""
    pairs = [(one, two[: len(one)]) for one, two in zip(alone, beside, strict=True)]
    if not all(torch.isfinite(part).all() for pair in pairs for part in pair):
        return 0.0
    # An output of a new head may be next to nothing by chance, and rounding would be much beside it.
    largest = max(_LEAST, *(float(one.abs().max()) for one, _ in pairs))
    return max(float((one - two).abs().max()) for one, two in pairs) / largest


class _Reads(TorchDispatchMode):
    """Notes (rows, first row) of every table of which the first tokens read one row after the other."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens, self.found = tokens, set[tuple[int, int]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        match func.overloadpacket.__name__:
            case "embedding":
                self._note(args[0].shape[0], args[1].reshape(-1))
            case "index_select":
                self._note(args[0].shape[args[1]], args[2].reshape(-1))
            case "gather":
                read = args[2].movedim(args[1], 0).flatten(1)
                if (read == read[:, :1]).all():  # a place for each pair of tokens is none in the input
                    self._note(args[0].shape[args[1]], read[:, 0])
            case "index" if args[1][0] is not None:
                self._note(args[0].shape[0], args[1][0].reshape(-1))
        return func(*args, **(kwargs or {}))

    def _note(self, rows: int, read: Tensor) -> None:
        first = read[: self.tokens].tolist()
        if len(first) > 2 and first == list(range(int(first[0]), int(first[0]) + self.tokens)):
            self.found.add((rows, first[0]))
