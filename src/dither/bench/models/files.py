"""Models by name: found, and their files checked, before anything is loaded."""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from dither.builtin import MODEL_DIR

BUILTIN = "builtin"
_WEIGHTS = "*.safetensors"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
# All that loading reads: nothing else is downloaded, nothing else can change a result.
READ_FILES = ("*.json", _WEIGHTS, "*.txt", "*.model")
_FLOATS = frozenset(["F64", "F32", "BF16", "F16"])


Stamp = tuple[int, ...]
"""What a file's metadata say of its content: inode, size, and both times of change."""


@dataclass(frozen=True)
class ModelSource:
    """A model as the user typed it, the folder where it lies, and a digest of its files.

    `stamps` are those of the files when the digest was made, by name.
    """

    name: str
    folder: Path
    digest: str
    stamps: Mapping[str, Stamp] = field(default_factory=dict, compare=False, repr=False)


def find_model(name: str) -> ModelSource:
    """Find a model by `builtin`, a folder, or a name on the Hugging Face Hub, and check its files.

    The digest is over the files that loading reads, so a folder and the Hub have the same one for the same
    model.

    Raises:
        ValueError: nothing of that name, no tokenizer, weights only in pickles, damaged or integer weights;
            the message says what to do.

    Example:
        >>> find_model("builtin").folder == MODEL_DIR
        True
    """
    folder = MODEL_DIR if name == BUILTIN else Path(name)
    if not folder.is_dir():
        folder = _from_hub(name)
    stamps = _stamps(folder)
    _check_folder(folder)
    return ModelSource(name, folder, _digest(folder), stamps)


@contextmanager
def unchanged(source: ModelSource) -> Iterator[None]:
    """Refuse to read other files than those of a model's digest: a run is recorded under it.

    Metadata are compared, before and after what is read inside; where they differ, the files themselves.

    Raises:
        ValueError: a file was changed, added or removed; the message names it.
    """
    _check_unchanged(source)
    yield
    _check_unchanged(source)


def _check_unchanged(source: ModelSource) -> None:
    old, new = source.stamps, _stamps(source.folder)
    if new == old or _digest_of(source.folder, tuple(new.items())) == source.digest:
        return
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    raise ValueError(
        f"model {source.name}: {', '.join(names)} in {source.folder} changed since the runs were planned, so "
        "they would not be of the model that they are recorded under; put the old files back and start "
        "again, or take another --out for the new ones"
    )


def _read_files(folder: Path) -> list[Path]:
    return sorted({path for pattern in READ_FILES for path in folder.glob(pattern) if path.is_file()})


def _stamps(folder: Path) -> dict[str, Stamp]:
    found = {path.name: path.stat() for path in _read_files(folder)}
    return {name: (row.st_ino, row.st_size, row.st_mtime_ns, row.st_ctime_ns) for name, row in found.items()}


def _digest(folder: Path) -> str:
    digest = sha256()
    for path in _read_files(folder):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=8)  # it reads all weights
def _digest_of(folder: Path, stamps: tuple[tuple[str, Stamp], ...]) -> str:
    return _digest(folder)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(READ_FILES)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(
            f"model {name!r} is no folder here, and the Hugging Face Hub did not give it "
            f"({type(error).__name__}); give a folder with config.json and *.safetensors, a name on the "
            f"Hub, or {BUILTIN!r}"
        ) from error


def _check_folder(folder: Path) -> None:
    from dither.checkpoint.index import ADAPTER, INDEX, SINGLE, read_json, refuse_adapter, refuse_wrapped

    if (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        raise ValueError(
            f"model folder {folder} holds an adapter of PEFT ({ADAPTER}) and no model; merge it into its "
            "base: model.merge_and_unload().save_pretrained(folder), and save the tokenizer beside it"
        )
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
    index = folder / INDEX
    if index.is_file() and not (folder / SINGLE).is_file() and "metadata" not in read_json(index):
        raise ValueError(f'{index} has no metadata, which transformers asks for; add "metadata": {{}} to it')
    refuse_adapter(folder, [path.name for path in weights])
    names = [name for path in weights for name in _checked(path)]
    refuse_wrapped(folder, names)


def tensor_names(folder: Path) -> list[str]:
    """The names of all tensors in a model's files."""
    return [name for path in sorted(folder.glob(_WEIGHTS)) for name in _header(path)]


def _checked(path: Path) -> Iterable[str]:
    """The names of tensors in a safetensors file; integer and quantised weights are refused by its header."""
    for name, row in (tensors := _header(path)).items():
        # Integer buffers such as position ids are no weights.
        if name.endswith("weight") and row.get("dtype") not in _FLOATS:
            raise ValueError(
                f"{path}: tensor {name!r} is {row.get('dtype')}, and fine-tuning needs floating-point "
                f"weights ({', '.join(sorted(_FLOATS))}); take the model before it was quantised"
            )
    return tensors


def _header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors that a safetensors file says it holds; all of it must be there."""
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        size = path.stat().st_size - 8
        try:
            if not 0 < length <= size:
                raise ValueError("its length is wrong")
            header = json.loads(file.read(length))
            tensors = {name: dict(row) for name, row in header.items() if name != "__metadata__"}
            end = max((row["data_offsets"][1] for row in tensors.values()), default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is no safetensors file: its header is damaged ({error})") from None
    if end != size - length:
        raise ValueError(
            f"{path} is not whole: its header promises {end} bytes of weights, and {size - length} are "
            "there; fetch it again"
        )
    return tensors
