"""Whether a model serves a task, seen before the first run."""

import inspect
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dither.bench.data.loading import TaskData
from dither.bench.heads import HEADS, Row
from dither.bench.heads.retrieval import sentences
from dither.bench.models.loading import ModelSource, load_model, load_tokenizer
from dither.bench.runs.features import Features
from dither.bench.tasks.task import Task

if TYPE_CHECKING:
    from dither.bench.models.trial import Trial

logger = logging.getLogger("dither")

_Made = tuple[Task, Sequence[Row], Features]


def check_model(
    source: ModelSource,
    task: Task,
    methods: Iterable[Any],
    *,
    dtype: str = "float32",
    checkpointing: bool = False,
) -> int:
    """Load a model and its tokenizer once, to see that both serve a task, and the methods the model.

    Its new head is drawn and thrown away: the global random state is where it was.

    Args:
        source: from `find_model`.
        task: what the model is for.
        methods: of `dither.methods`; their patterns must fit names of the model.
        dtype: of the weights.
        checkpointing: whether activations are to be computed twice (`gradient_checkpointing`).

    Returns:
        How many tokens an input may have: the rows of the table of positions for tokens, or 2^31 - 1 where
        the model has none.

    Raises:
        ValueError: as `load_model` and `load_tokenizer`; or the tokenizer has more tokens than the model has
            embeddings; or a pattern fits no tensor; or the model cannot compute activations twice, or no
            input of its tokenizer.
    """
    import torch

    from dither.methods.plain import Plain
    from dither.methods.targets import targets

    with torch.random.fork_rng(devices=[]):
        model, tokenizer = load_model(source, task.learned, dtype), load_tokenizer(source)
    if checkpointing and not model.supports_gradient_checkpointing:
        raise ValueError(
            f"model {source.name} ({type(model).__name__}) does not support "
            "train.gradient_checkpointing; leave that out, or compute a batch in parts: "
            "train.gradient_accumulation"
        )
    for method in methods:
        if not isinstance(method, Plain):
            targets(model, method)
    for each in (task.learned, task):
        HEADS[each.head].encode(each, [], tokenizer, 16)  # a slow tokenizer is refused where words count
    embeddings = getattr(model.get_input_embeddings(), "num_embeddings", len(tokenizer))
    if len(tokenizer) > embeddings:
        raise ValueError(
            f"model {source.name} embeds {embeddings} tokens and its tokenizer has {len(tokenizer)}; put the "
            "tokenizer beside it that it was pretrained with"
        )
    trial = _tried(source, model, task.learned, tokenizer)
    if trial.notable:
        logger.warning(
            "model %s (%s): padding moves a row's outputs, by up to %.1g of their size, so they depend on "
            "what stands beside it in a batch (which is the same in every arm)",
            source.name,
            type(model).__name__,
            trial.change,
        )
    return trial.positions


def _tried(source: ModelSource, model: Any, task: Task, tokenizer: Any) -> "Trial":
    import torch

    from dither.bench.models.trial import UNLIMITED, Trial, try_model

    try:
        return try_model(model, task, tokenizer)
    except Exception as error:  # of any model
        if model.dtype != torch.float32:  # not every operation exists for it on the CPU
            return Trial(UNLIMITED, 0.0, notable=False)
        raise ValueError(
            f"model {source.name} ({type(model).__name__}) cannot compute what its tokenizer makes of a text "
            f"for task {task.name!r} ({type(error).__name__}: {error}). Is its config whole, and the "
            "tokenizer its own? Put the right ones there, or take another model"
        ) from error


def check_layer(source: ModelSource, task: Task) -> None:
    """Refuse a task of retrieval whose layer a model does not have.

    Raises:
        ValueError: the model has fewer layers; the message says how many.
    """
    from transformers import AutoConfig

    if task.retrieval is None:
        return
    config = AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    try:
        task.retrieval.layer_of(config.get_text_config().num_hidden_layers)
    except ValueError as error:
        raise ValueError(f"task {task.name!r} does not fit model {source.name}: it {error}") from None


def check_rows(source: ModelSource, task: Task, data: TaskData, *, max_length: int, positions: int) -> None:
    """Refuse rows that a model cannot compute: of no token, of too many, or with an end token inside.

    The rows are tokenised where one of these can be: the tokenizer adds no token of its own to a text, inputs
    may be longer than the positions, or the head reads the state at the end token, of which each input must
    have the same number.

    Args:
        source: from `find_model`.
        task: whose rows these are.
        data: of the task.
        max_length: to which inputs are cut.
        positions: from `check_model`.

    Raises:
        ValueError: naming the first row, and what to do.
    """
    tokenizer, end = load_tokenizer(source), _end_token(source, task.learned)
    if tokenizer.num_special_tokens_to_add() and max_length <= positions and end is None:
        return
    fewest = None
    for split, rows in data.splits.items():
        reader = task.reader(split)
        inputs = HEADS[reader.head].encode(reader, rows, tokenizer, max_length)
        lengths, place = inputs.lengths, data.sources[split].place

        def named(at: np.intp, place: str = place, made: _Made = (reader, rows, inputs)) -> str:
            return f"{place}, row {_row_of(*made, int(at)) + 1}"

        if not lengths.min():
            raise ValueError(
                f"{named(lengths.argmin())}: the tokenizer of model {source.name} makes no token of this "
                "text, and adds none of its own; take the row out, or give it a text"
            )
        if (longest := lengths.max()) > positions:
            raise ValueError(
                f"{named(lengths.argmax())}: model {source.name} has {positions} positions, and an input of "
                f"task {task.name!r} has {longest} tokens; cut them with --set train.max_length={positions}"
            )
        if end is None or reader is not task.learned:
            continue
        ends = _count(inputs, end)
        fewest = ends.min() if fewest is None else fewest
        if (ends != fewest).any():
            token = tokenizer.convert_ids_to_tokens(end)
            raise ValueError(
                f"{named((ends != fewest).argmax())}: the text holds {token!r}, the end token, at which the "
                f"head of model {source.name} reads: every input must have as many of them. Write it in "
                "another way there, or take the row out"
            )


def _end_token(source: ModelSource, task: Task) -> int | None:
    """The token at whose state a task's head reads, or None where it reads otherwise."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        source.folder, local_files_only=True, trust_remote_code=False
    )
    kind = getattr(transformers, HEADS[task.head].AUTO_MODEL)._model_mapping.get(type(config), None)
    reads = kind is not None and "eos_token_id" in inspect.unwrap(kind.forward).__code__.co_names
    return config.eos_token_id if reads else None


def _count(inputs: Features, token: int) -> np.ndarray:
    """How often a token stands in each input."""
    column = inputs.columns["input_ids"]
    before = np.concatenate([[0], np.cumsum(column.values == token)])
    return np.diff(before[column.offsets])


def _row_of(task: Task, rows: Sequence[Row], inputs: Features, at: int) -> int:
    """The number of the row that an input was made of."""
    if task.head == "retrieval":
        text = sentences(task, rows)[at]
        return next(number for number, row in enumerate(rows) if text in [row[key] for key in task.columns])
    return int(inputs[at].get("row_number", at))
