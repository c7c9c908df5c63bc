"""Whether a model serves a task, seen before the first run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dither.bench.heads import HEADS, Row
from dither.bench.models.loading import ModelSource, load_model, load_tokenizer
from dither.bench.tasks.task import Task

_POSITIONS = ("position_embeddings", "wpe")  # modules with a row for each place of an input


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
        How many tokens an input may have: the rows of the position embeddings, or 2^31 - 1 where the
        model has none.

    Raises:
        ValueError: as `load_model` and `load_tokenizer`; or the tokenizer has more tokens than the model has
            embeddings; or a pattern fits no tensor; or the model cannot compute activations twice.
    """
    import torch
    from torch import nn

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
    positions = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _POSITIONS
    ]
    return min(positions, default=2**31 - 1)


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


def check_lengths(
    source: ModelSource, task: Task, rows: Mapping[str, Sequence[Row]], *, max_length: int, positions: int
) -> None:
    """Refuse rows that would reach beyond the positions of a model.

    Args:
        source: from `find_model`.
        task: whose rows these are.
        rows: of every split, by its name.
        max_length: to which inputs are cut.
        positions: from `check_model`.

    Raises:
        ValueError: an input has more tokens than the model has positions.
    """
    if max_length <= positions:
        return
    tokenizer = load_tokenizer(source)
    for split, each in rows.items():
        reader = task.reader(split)
        inputs = HEADS[reader.head].encode(reader, each, tokenizer, max_length)
        if (longest := inputs.lengths.max()) > positions:
            raise ValueError(
                f"model {source.name} has {positions} positions, and an input of task {task.name!r} has "
                f"{longest} tokens; cut them with --set train.max_length={positions}"
            )
