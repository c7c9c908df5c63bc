"""Models by name: found, checked, and loaded with a new head, or refused.

A model that would train from random weights is refused: everything but the head must come from the file.
"""

import contextlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from dither.bench.heads import HEADS
from dither.bench.task import Task
from dither.builtin import MODEL_DIR
from dither.core.names import canonical_name

BUILTIN = "builtin"
_WEIGHTS = "*.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
_HUB_FILES = ["*.json", _WEIGHTS, "*.txt", "*.model"]
_FLOATS = frozenset(["F64", "F32", "BF16", "F16"])


@dataclass(frozen=True)
class ModelSource:
    """A model as the user typed it, the folder where it lies, and a digest of its files."""

    name: str
    folder: Path
    digest: str


def find_model(name: str) -> ModelSource:
    """Find a model by `builtin`, a folder, or a name on the Hugging Face Hub, and check its files.

    Raises:
        ValueError: nothing of that name, no tokenizer, weights only in pickles, or integer weights; the
            message says what to do.

    Example:
        >>> find_model("builtin").folder == MODEL_DIR
        True
    """
    folder = MODEL_DIR if name == BUILTIN else Path(name)
    if not folder.is_dir():
        folder = _from_hub(name)
    _check_folder(folder)
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".md")
    digest = sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{file_digest(file, 'sha256').hexdigest()}\n".encode())
    return ModelSource(name, folder, digest.hexdigest())


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(
            f"model {name!r} is no folder here, and the Hugging Face Hub did not give it "
            f"({type(error).__name__}); give a folder with config.json and *.safetensors, a name on the "
            f"Hub, or {BUILTIN!r}"
        ) from error


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ValueError(f"model folder {folder} has no config.json; save the model with save_pretrained")
    weights = sorted(folder.glob(_WEIGHTS))
    if not weights:
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        found = f"only pickles ({', '.join(pickles)}), which can run code when loaded" if pickles else "none"
        raise ValueError(
            f"model folder {folder} needs weights in *.safetensors and has {found}; where you trust them, "
            "load the model once and save it with model.save_pretrained(folder)"
        )
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ValueError(
            f"model folder {folder} has no tokenizer (none of {', '.join(_TOKENIZERS)}); save it beside the "
            "model with tokenizer.save_pretrained(folder)"
        )
    for path in weights:
        _check_dtypes(path)


def _check_dtypes(path: Path) -> None:
    """Refuse integer and quantised weights, from the header of a safetensors file alone."""
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        try:
            if not 0 < length <= path.stat().st_size - 8:
                raise ValueError("its length is wrong")
            header = json.loads(file.read(length))
        except ValueError as error:
            raise ValueError(f"{path} is no safetensors file: its header is damaged ({error})") from None
    for name, row in header.items():
        # Integer buffers such as position ids are no weights.
        if name != "__metadata__" and name.endswith("weight") and row.get("dtype") not in _FLOATS:
            raise ValueError(
                f"{path}: tensor {name!r} is {row.get('dtype')}, and fine-tuning needs floating-point "
                f"weights ({', '.join(sorted(_FLOATS))}); take the model before it was quantised"
            )


def load_tokenizer(source: ModelSource) -> Any:
    """The model's tokenizer, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_model(source: ModelSource, task: Task, dtype: str = "float32") -> Any:
    """The pretrained backbone under a head for a task; the head's weights are drawn by torch.

    Args:
        source: from `find_model`.
        task: its kind of head is put on top.
        dtype: of the weights: "float32", "bfloat16" or "float16".

    Raises:
        ValueError: anything but the head would be random, the head in the file does not fit the task, the
            architecture has no such head, or a weight is not finite (its tensor is named).
    """
    import torch
    import transformers

    head = HEADS[task.head]
    auto = getattr(transformers, head.AUTO_MODEL)
    with _quiet(transformers), _explained(source, task):
        model, report = auto.from_pretrained(
            source.folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **head.config(task),
        )
    _refuse_random_backbone(source, model, report["missing_keys"])
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ValueError(f"model {source.name}: tensor {name!r} holds NaN or infinite values")
    if model.config.pad_token_id is None:
        model.config.pad_token_id = load_tokenizer(source).pad_token_id
    return model


def _refuse_random_backbone(source: ModelSource, model: Any, missing: Any) -> None:
    """Only the head may be new, and a pooler, which feeds nothing but the head."""
    names = {key: canonical_name(key, model.base_model_prefix) for key in missing}
    random = sorted(
        key for key, name in names.items() if not name.startswith("head:") and "pooler" not in name.split(".")
    )
    if random:
        raise ValueError(
            f"model {source.name}: {len(random)} tensors of the backbone of {type(model).__name__} are "
            f"not in the file (the first is {random[0]!r}), so it would train from random weights; "
            "take a checkpoint of this architecture, or another kind of task"
        )


@contextlib.contextmanager
def _explained(source: ModelSource, task: Task) -> Iterator[None]:
    """Say what a failed load means for the user."""
    try:
        yield
    except RuntimeError as error:
        if "size mismatch" not in str(error) and "mismatch" not in str(error):
            raise
        raise ValueError(
            f"model {source.name} brings a head that does not fit task {task.name!r} ({task.head}, "
            f"{len(task.labels) or 1} outputs); take the pretrained model before it was fine-tuned, or the "
            "task it was fine-tuned for"
        ) from error
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        raise ValueError(
            f"model {source.name} has an architecture without a head for {task.head}, which task "
            f"{task.name!r} needs"
        ) from error


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Loading reports every missing head on the terminal; we look at the report ourselves."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    bar = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        if bar:
            transformers.logging.enable_progress_bar()
