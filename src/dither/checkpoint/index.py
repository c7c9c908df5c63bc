"""What a checkpoint consists of: a folder of one or several safetensors files, or one such file."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dither.checkpoint.headers import StoredFile, StoredTensor, read_header
from dither.checkpoint.strict_json import parsed, shown
from dither.core.names import left_by_wrappers

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SUFFIX = ".safetensors"
MANIFEST = "dither.json"
ADAPTER = "adapter_config.json"  # PEFT's, beside adapter_model.safetensors
MARKS = "dither"  # the key in config.json under which transformers keeps model.config.dither
_CONVERT = (
    "Weights in pickles are not read: where you trust them, load the model once and save it with "
    "model.save_pretrained(folder)"
)
_AGAIN = "fetch the folder again; or, where its files are what you want, correct weight_map in the index"
_ADAPTER_WEIGHTS = "adapter_model"
_MAX_JSON = 100_000_000
_LONGEST = 255  # bytes of a file's name, on the usual file systems


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose headers are read and checked.

    Attributes:
        root: the folder, or the file.
        files: with the weights, in the order of their names.
        tensors: by name, in the order of the files.
        config: what config.json says, or None where there is none.
    """

    root: Path
    files: tuple[StoredFile, ...]
    tensors: Mapping[str, StoredTensor]
    config: Mapping[str, Any] | None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder and not a single file."""
        return self.root.is_dir()

    @property
    def folder(self) -> Path:
        """Where config.json lies, if there is one."""
        return self.root if self.is_folder else self.root.parent

    @property
    def manifest(self) -> Path:
        """Where dither.json lies, if the weights were noised before."""
        return manifest_path(self.root, is_folder=self.is_folder)


def manifest_path(root: Path, *, is_folder: bool) -> Path:
    """dither.json in a folder, NAME.dither.json beside NAME.safetensors."""
    return root / MANIFEST if is_folder else root.with_name(f"{root.stem}.{MANIFEST}")


def open_checkpoint(root: Path) -> Checkpoint:
    """Find the weights of a checkpoint and check all their headers.

    Raises:
        ValueError: there are none in safetensors, or something in them is not as it must be; the message
            names the file and the tensor.
        FileNotFoundError: there is nothing at `root`.
    """
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; give a checkpoint folder or a *{SUFFIX} file")
    if not root.is_dir() and root.suffix != SUFFIX:
        raise ValueError(
            f"{root} is no folder and no *{SUFFIX} file; dither reads no other format. {_CONVERT}"
        )
    paths = _weight_files(root) if root.is_dir() else [root]
    if root.is_dir():
        refuse_adapter(root, [path.name for path in paths])
    files = tuple(read_header(path) for path in paths)
    tensors: dict[str, StoredTensor] = {}
    for row in (row for file in files for row in file.tensors):
        if row.name in tensors:
            raise ValueError(
                f"tensor {shown(row.name)} stands in {tensors[row.name].path.name} and in {row.path.name} of "
                f"{root}; each may stand in one file only"
            )
        tensors[row.name] = row
    if root.is_dir() and (root / INDEX).is_file():
        _check_index(root, tensors)
    folder = root if root.is_dir() else root.parent
    config = read_json(inside(folder / CONFIG, folder)) if (folder / CONFIG).is_file() else None
    return Checkpoint(root, files, tensors, config)


def refuse_adapter(folder: Path, weights: Sequence[str]) -> None:
    """Refuse a folder that holds a model and an adapter of PEFT: loading it gives both in one.

    Args:
        folder: of the model.
        weights: names of its files of weights.

    Raises:
        ValueError: the message names the files and says how to part or merge them.
    """
    others = [name for name in weights if not name.startswith(_ADAPTER_WEIGHTS)]
    if others and (folder / ADAPTER).is_file():
        files = [ADAPTER, *sorted(path.name for path in folder.glob(f"{_ADAPTER_WEIGHTS}*"))]
        raise ValueError(
            f"{folder} holds a model ({others[0]}) and an adapter of PEFT ({', '.join(files)}), which "
            "transformers puts on the model while it loads; move the files of the adapter to a folder of "
            "their own, or merge both: peft.PeftModel.from_pretrained(model, adapter_folder)"
            ".merge_and_unload().save_pretrained(new_folder)"
        )


def refuse_wrapped(root: Path, names: Iterable[str], *, instead: str = "") -> None:
    """Refuse weights that a wrapped model saved: loading finds none of them and draws all at random.

    Args:
        root: the folder, or the file.
        names: of all tensors in it.
        instead: what else there is to do.

    Raises:
        ValueError: the message names what the wrapper put into the names, and takes it out.
    """
    names = list(names)
    if not (left := left_by_wrappers(names)):
        return
    first = next(name for name in names if left in name)
    if any(part in ("base_layer", "lora_A") for name in names for part in name.split(".")):
        way = "save model.merge_and_unload() of the PEFT model"
    else:
        at_start = all(name.startswith(left) for name in names)
        out = f"removeprefix({left!r})" if at_start else f"replace({left!r}, '')"
        way = (
            f"take that out of every name, in each file f by safetensors.torch.save_file({{name.{out}: "
            "tensor for name, tensor in safetensors.torch.load_file(f).items()}, f, {'format': 'pt'}), and "
            f"in {INDEX} where there is one; or save the model inside"
        )
    raise ValueError(
        f"{root}: a wrapper left {left!r} in the names of its tensors ({shown(first)}), so loading would "
        f"find none of them and draw all at random; {way}{instead and f', {instead}'}"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; what is none is a ValueError that names the file."""
    if path.stat().st_size > _MAX_JSON:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; at most {_MAX_JSON} are read")
    try:
        value = parsed(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file ({error}); fetch it again") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}; it must be a JSON object")
    return value


def inside(path: Path, folder: Path) -> Path:
    """A path in a folder with its links resolved; one that leads out of the folder is refused.

    The cache of the Hugging Face Hub is known: there the files of a snapshot are links to its own blobs.
    """
    real, home = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    blobs = home.parent.parent / "blobs"
    allowed = [home, blobs] if home.parent.name == "snapshots" else [home]
    if not any(real.is_relative_to(place) for place in allowed):
        raise ValueError(
            f"{path} is a link that leads out of its folder, to {real}; dither does not follow it: put the "
            f"file itself there (cp -rL {folder} makes such a copy)"
        )
    return real


def _weight_files(folder: Path) -> list[Path]:
    single, index = folder / SINGLE, folder / INDEX
    if index.is_file():
        inside(index, folder)
        if single.exists():
            raise ValueError(f"{folder} has {SINGLE} and {INDEX}; which one holds? Move the other away")
        names = sorted(set(_weight_map(index).values()))
        paths = [folder / name for name in names]
    elif single.exists():
        paths = [single]
    else:
        paths = sorted(folder.glob(f"*{SUFFIX}"))
        if len(paths) != 1 and (snapshots := sorted(folder.glob("snapshots/*/"))):
            raise ValueError(
                f"{folder} is of the Hub's cache; give one of its snapshots, such as {snapshots[-1]}"
            )
        if len(paths) > 1:
            found = ", ".join(path.name for path in paths)
            raise ValueError(
                f"{folder} has several *{SUFFIX} files ({found}) and no {INDEX} that says which are the "
                f"model's; fetch that, too, or call the one file that holds all weights {SINGLE}"
            )
        if not paths:
            raise ValueError(
                f"{folder} needs its weights in {SINGLE}, or in several files named by {INDEX}; *{SUFFIX} "
                f"there: none. {_CONVERT}"
            )
    for path in paths:
        if not inside(path, folder).is_file():
            raise ValueError(f"{path} is missing, or no file, and {INDEX} names it; fetch it again")
    return paths


def _weight_map(index: Path) -> dict[str, str]:
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{index}: weight_map is missing or empty; it must map each tensor to its file")
    for name, file in found.items():
        plain = isinstance(file, str) and file == os.path.basename(file) and "\\" not in file
        named = plain and "\0" not in file and file.endswith(SUFFIX) and file != SUFFIX
        if not named or len(os.fsencode(file)) > _LONGEST:
            raise ValueError(
                f"{index}: weight_map gives tensor {shown(name)} the file {shown(file)}; it must be the name "
                f"of a *{SUFFIX} file in the same folder, without a path"
            )
    return found


def _check_index(folder: Path, tensors: Mapping[str, StoredTensor]) -> None:
    listed = _weight_map(folder / INDEX)
    for name, file in listed.items():
        where = "no file" if name not in tensors else tensors[name].path.name
        if where != file:
            ghosts = [one for one in listed if one not in tensors]
            right = f"its file is {where}" if name in tensors else f"take out {_some(ghosts)}"
            raise ValueError(
                f"{folder / INDEX}: tensor {shown(name)} should stand in {file} and stands in {where}; "
                f"{_AGAIN}: {right}"
            )
    if extra := sorted(set(tensors) - set(listed)):
        raise ValueError(
            f"{folder / INDEX} does not list tensor {shown(extra[0])} of {tensors[extra[0]].path.name}; "
            f"{_AGAIN}: add {_some(extra)}, each with its file"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in names[:3]) + (
        f", … ({len(names)} in all)" if len(names) > 3 else ""
    )
