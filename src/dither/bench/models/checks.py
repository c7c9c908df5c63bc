"""Whether a model serves a task, seen before the first run."""

import inspect
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dither.bench.data.loading import TaskData
from dither.bench.heads import HEADS, Row
from dither.bench.heads.retrieval import sentences
from dither.bench.models.brought_heads import NEW
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
    head_weights: str = NEW,
) -> int:
    """Load a model and its tokenizer once, to see that both serve a task, and the methods the model.

    Its new head is drawn and thrown away: the global random state is where it was.

    Args:
        source: from `find_model`.
        task: what the model is for.
        methods: of `dither.methods`; their patterns must fit names of the model.
        dtype: of the weights.
        checkpointing: whether activations are to be computed twice (`gradient_checkpointing`).
        head_weights: "new", or "file" where the head is that of the model's file.

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
        model = load_model(source, task.learned, dtype, head_weights=head_weights)
    tokenizer = load_tokenizer(source)
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
    """Refuse rows that a model cannot compute: of no token, of too many, or with a token too many inside.

    The rows are tokenised where one of these can be: the tokenizer adds no token of its own to a text, inputs
    may be longer than the positions, or the head reads at an end token or a separator, of which each input
    must have the same number. A row of tagging of which no word has a token trains nothing, and has no loss.

    Args:
        source: from `find_model`.
        task: whose rows these are.
        data: of the task.
        max_length: to which inputs are cut.
        positions: from `check_model`.

    Raises:
        ValueError: naming the first row, and what to do.
    """
    tokenizer, read = load_tokenizer(source), _tokens_read(source, task.learned)
    whole = not tokenizer.num_special_tokens_to_add() or max_length > positions or bool(read)
    counted: dict[int, int] = {}
    for split, rows in data.splits.items():
        reader, place = task.reader(split), data.sources[split].place
        trains = split in task.train_splits
        if trains and reader.head == "tagging":
            _check_words(reader, rows, tokenizer, max_length, place)
        if not whole:
            continue
        inputs = HEADS[reader.head].encode(reader, rows, tokenizer, max_length)
        lengths = inputs.lengths

        def named(found: Any, place: str = place, made: _Made = (reader, rows, inputs)) -> str:
            return f"{place}, row {_row_of(*made, int(np.argmax(found))) + 1}"

        if not lengths.min():
            raise ValueError(
                f"{named(lengths == 0)}: the tokenizer of model {source.name} makes no token of this text, "
                "and adds none of its own; take the row out, or give it a text"
            )
        if (longest := lengths.max()) > positions:
            raise ValueError(
                f"{named(lengths)}: model {source.name} has {positions} positions, and an input of task "
                f"{task.name!r} has {longest} tokens; cut them with --set train.max_length={positions}"
            )
        for token in read if reader is task.learned else ():
            counts = _count(inputs, token)
            if (more := counts != counted.setdefault(token, counts.min())).any():
                raise ValueError(
                    f"{named(more)}: the text holds {tokenizer.convert_ids_to_tokens(token)!r}, a token at "
                    f"which the head of model {source.name} reads: every input must have as many of them. "
                    "Write it in another way there, or take the row out"
                )


def _check_words(task: Task, rows: Sequence[Row], tokenizer: Any, max_length: int, place: str) -> None:
    """Refuse a row of training without a word that has a token: a batch of it alone has no loss."""
    quiet = [at for at, row in enumerate(rows) if not any(map(str.isalnum, "".join(row[task.columns[0]])))]
    inputs = HEADS[task.head].encode(task, [rows[at] for at in quiet], tokenizer, max_length)
    for at, one in zip(quiet, inputs, strict=True):
        if max(one["row_words"], default=-1) < 0:
            words = rows[at][task.columns[0]]
            raise ValueError(
                f"{place}, row {at + 1}: the tokenizer makes no token of its words {words!r:.80}, so it "
                "trains nothing; take the row out"
            )


def _tokens_read(source: ModelSource, task: Task) -> list[int]:
    """The tokens at whose places a task's head reads: BART and T5 at the end, Longformer at separators."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        source.folder, local_files_only=True, trust_remote_code=False
    )
    kind = getattr(transformers, HEADS[task.head].AUTO_MODEL)._model_mapping.get(type(config), None)
    names = () if kind is None else inspect.unwrap(kind.forward).__code__.co_names
    found = [getattr(config, name, None) for name in ("eos_token_id", "sep_token_id") if name in names]
    return [token for token in found if token is not None]


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
