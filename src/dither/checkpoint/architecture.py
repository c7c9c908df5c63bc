"""Whose parameters the tensors of a checkpoint are: the model's, built without its weights, or nobody's."""

import contextlib
import itertools
import logging
import math
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from dither.checkpoint.blocks import same_bytes
from dither.checkpoint.conversions import Loading, NotFollowed, finish_loading, loading_of
from dither.checkpoint.headers import FLOATS, StoredTensor
from dither.checkpoint.index import CONFIG, Checkpoint, refuse_wrapped
from dither.checkpoint.rearrangement import Rearranged, Straight
from dither.checkpoint.strict_json import shown
from dither.core.extras import require
from dither.core.quantised import PART, quantised_parts

logger = logging.getLogger("dither")

Names = Literal["model", "file"]

NOT_NOISED = "integer or quantised"
_LAYERS = re.compile(r"(^|_)n(um)?_(\w+_)?layers?$")
_MOST_BUILT = 10  # parameters for each stored tensor: loading may split fused ones
_MOST_SHARED = 1000  # layers, or parameters more: layers may share their weights
_CONVERTED = (
    "If transformers loads it, save it once with model.save_pretrained(folder, save_original_format=False)"
)
_INSTEAD = "or noise the tensors under the names that they have in the file, with --names file"


@dataclass(frozen=True)
class Architecture:
    """A model on the meta device with the dtypes of a checkpoint.

    Attributes:
        model: its parameters have no values.
        kind: the class of the model, or "" where the names are the file's.
        others: stored tensors that are no parameters, by their names, and why they are left alone.
        sources: the stored tensors of each parameter, by its path.
        ways: where the elements of each stored tensor go, by its name.
    """

    model: nn.Module
    kind: str
    others: Mapping[str, str]
    sources: Mapping[str, tuple[StoredTensor, ...]]
    ways: Mapping[str, Straight | Rearranged]


def architecture_of(checkpoint: Checkpoint, names: Names) -> Architecture:
    """The parameters of a checkpoint: of the model that config.json names, or as they stand in the file.

    Raises:
        ValueError: there is no such model, or its names and shapes are not the file's.
    """
    if names not in ("model", "file"):
        raise ValueError(f"names is {names!r}; it must be 'model' or 'file'")
    if names == "file":
        scales = _scales(checkpoint.tensors)
        kept = {name: row for name, row in checkpoint.tensors.items() if name not in scales}
        ways = {name: Straight(name) for name in kept}
        return Architecture(StoredNames(kept), "", scales, {name: (row,) for name, row in kept.items()}, ways)
    model = _empty_model(checkpoint)
    refuse_wrapped(checkpoint.root, checkpoint.tensors, instead=_INSTEAD)
    with _followed(checkpoint, model):
        loading = loading_of(model, checkpoint.tensors)
    others = _compared(checkpoint, model, loading)
    sources = loading.sources | loading.packed
    _untie(checkpoint, model, sources)
    _take_dtypes(model, sources)
    with _followed(checkpoint, model):
        overwritten = finish_loading(model)
    if overwritten:
        logger.warning(
            "%s: %s sets parts of %s while it loads (such as a padding row), so the noise there may be lost",
            checkpoint.root,
            type(model).__name__,
            ", ".join(overwritten),
        )
    return Architecture(model, type(model).__name__, others, sources, loading.ways)


class StoredNames(nn.Module):
    """A stand-in for a model that nobody knows: its parameters are the tensors of the file."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        super().__init__()
        self._stored = {name: _as_stored(row, row.shape) for name, row in tensors.items()}

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The tensors of the file, in its order."""
        yield from self._stored.items()


def _as_stored(row: StoredTensor, shape: Sequence[int]) -> nn.Parameter:
    """A parameter in the dtype of the file; what is no float stands for itself as bytes."""
    dtype = FLOATS.get(row.dtype, torch.uint8)
    empty = torch.empty(tuple(shape if row.is_float else row.shape), dtype=dtype, device="meta")
    return nn.Parameter(empty, requires_grad=row.is_float)


def _take_dtypes(model: nn.Module, sources: Mapping[str, tuple[StoredTensor, ...]]) -> None:
    """Put parameters as loading makes them in the place of those that a class was built with.

    They are trainable, whatever the class froze while it was built: transformers loads them so.
    """
    loaded: dict[int, nn.Parameter] = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):
        if path in sources and id(parameter) not in loaded:
            loaded[id(parameter)] = _as_stored(sources[path][0], parameter.shape)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if id(parameter) in loaded:
                setattr(module, name, loaded[id(parameter)])


def _empty_model(checkpoint: Checkpoint) -> Any:
    """The model on the meta device, of the class that config.json names; no code of its own is run."""
    require("trainer", "noise under a model's names (--names model)")
    import transformers

    folder, config = checkpoint.folder, checkpoint.config
    if config is None:
        raise ValueError(f"{folder} has no {CONFIG}, so the model is not known; put it there, {_INSTEAD}")
    named = config.get("architectures")
    name = named[0] if isinstance(named, list) and named else None
    kind = getattr(transformers, name, None) if isinstance(name, str) and name.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise ValueError(
            f"{folder / CONFIG}: architectures is {named!r}, which names no model class of transformers "
            f"{transformers.__version__}; name the class that saved the weights, {_INSTEAD}"
        )
    most = _MOST_BUILT * len(checkpoint.tensors) + _MOST_SHARED
    for place, count in _layers(config):
        if count > most:
            raise ValueError(_too_large(checkpoint, f"{place} is {count}"))
    try:
        settings = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"), _safe_creation(), _at_most(most), torch.random.fork_rng(devices=[]):
            return kind(settings)  # some classes draw on the CPU all the same
    except _TooManyParameters:
        raise ValueError(_too_large(checkpoint, f"{name} has more than {most} parameters by it")) from None
    except Exception as error:  # whatever a config that does not fit may raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{folder / CONFIG}: no {name} can be built from it ({reason}); mend it, {_INSTEAD}"
        ) from error


def _too_large(checkpoint: Checkpoint, what: str) -> str:
    return (
        f"{checkpoint.folder / CONFIG}: {what}, and the files hold {len(checkpoint.tensors)} tensors in all; "
        f"take the {CONFIG} that belongs to the weights, {_INSTEAD}"
    )


def _layers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The numbers of layers in a config and in those inside it."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{place}", count) for place, count in _layers(value))
        elif type(value) is int and _LAYERS.search(key):
            yield key, value


class _TooManyParameters(Exception):
    pass


@contextlib.contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Stop building a model when it has more parameters than that: their files could not fill it."""
    here, seen = threading.get_ident(), itertools.count(1)

    def look(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if threading.get_ident() == here and parameter is not None and next(seen) > count:
            raise _TooManyParameters

    handle = register_module_parameter_registration_hook(look)
    try:
        yield
    finally:
        handle.remove()


def _safe_creation() -> contextlib.AbstractContextManager[Any]:
    """What transformers itself needs for models that compute with tensors while they are built."""
    from transformers import initialization

    return getattr(initialization, "meta_device_safe_creation_ops", contextlib.nullcontext)()


def _scales(tensors: Mapping[str, StoredTensor]) -> dict[str, str]:
    """The floating-point tensors that belong to quantised ones: noise on them is noise on everything."""
    floats = [name for name, row in tensors.items() if row.is_float]
    others = [name for name, row in tensors.items() if not row.is_float and _may_be_codes(row)]
    parts = quantised_parts(floats, others)
    return {name: PART for name in floats if name in parts}


def _may_be_codes(row: StoredTensor) -> bool:
    return row.dtype != "BOOL" and math.prod(row.shape) > 1


@contextlib.contextmanager
def _followed(checkpoint: Checkpoint, model: Any) -> Iterator[None]:
    try:
        yield
    except NotFollowed as problem:
        raise ValueError(
            f"{checkpoint.root} cannot be followed into {type(model).__name__}: {problem}. {_CONVERTED}, "
            f"{_INSTEAD}"
        ) from problem


def _compared(checkpoint: Checkpoint, model: Any, loading: Loading) -> dict[str, str]:
    """Refuse a checkpoint that does not fill the model; returns what is no parameter, and why."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    ignored, scales = _ignored(model), _scales(checkpoint.tensors)
    others: dict[str, str] = {}
    unknown = []
    for path, rows in loading.sources.items():
        row = rows[0]
        if path not in parameters:
            others |= {row.name: "no parameter of the model" for row in rows}
        elif isinstance(loading.ways[row.name], Straight) and row.shape != tuple(parameters[path].shape):
            raise ValueError(
                f"{row.path}: tensor {shown(row.name)} has shape {shown(list(row.shape))}, and "
                f"{type(model).__name__} wants {list(parameters[path].shape)}; take the {CONFIG} that "
                f"belongs to the weights, {_INSTEAD}"
            )
    for path, rows in loading.packed.items():
        others |= {row.name: NOT_NOISED for row in rows if path not in parameters}
    for name, path in loading.unused.items():
        if not checkpoint.tensors[name].is_float:
            others[name] = NOT_NOISED
        elif name in scales:
            others[name] = scales[name]
        elif ignored.search(path) or ignored.search(name):
            others[name] = "no parameter of the model"
        else:
            unknown.append(name)
    if missing := _missing(checkpoint.tensors, loading, parameters):
        raise ValueError(_mismatch(checkpoint, type(model).__name__, unknown, missing))
    return others | dict.fromkeys(unknown, f"not in {type(model).__name__}")


def _missing(
    tensors: Mapping[str, StoredTensor], loading: Loading, parameters: Mapping[str, nn.Parameter]
) -> list[str]:
    """Parameters that no tensor of the file fills, neither under this name nor under a tied one."""
    held = loading.sources.keys() | loading.packed.keys()
    filled = {id(parameter) for path, parameter in parameters.items() if path in held}
    names = [*loading.packed, *(name for name, row in tensors.items() if not row.is_float)]
    quantised = {name.rpartition(".")[0] for name in names}
    return [
        path
        for path, parameter in parameters.items()
        if id(parameter) not in filled and path.rpartition(".")[0] not in quantised
    ]


def _ignored(model: Any) -> re.Pattern[str]:
    """The names in files that a class of transformers leaves aside."""
    patterns = [*(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or [])]
    return re.compile("|".join(f"({one})" for one in [*sorted(patterns), r"rotary_emb\.inv_freq$"]))


def _mismatch(checkpoint: Checkpoint, kind: str, unknown: list[str], missing: list[str]) -> str:
    said = []
    if unknown:
        said.append(
            f"{len(unknown)} tensors of the file are none of its parameters (first: {shown(unknown[0])})"
        )
    said.append(f"{len(missing)} of its parameters are not in the file (first: {shown(missing[0])})")
    return (
        f"{checkpoint.root} is not stored as {kind} has it: {' and '.join(said)}, so loading would draw "
        f"these at random. Name the class that saved the weights under architectures in {CONFIG}; or, where "
        "they are meant to be drawn (a new head), load it once and save it with model.save_pretrained("
        f"folder); {_INSTEAD}"
    )


def _untie(checkpoint: Checkpoint, model: Any, sources: Mapping[str, tuple[StoredTensor, ...]]) -> None:
    """Tied parameters that are both stored, with different values, are two: transformers loads them so."""
    for path, source in dict(getattr(model, "all_tied_weights_keys", {})).items():
        if path in sources and source in sources and not _equal(sources[path], sources[source]):
            home, _, leaf = path.rpartition(".")
            separate = torch.empty_like(model.get_parameter(path), device="meta")
            setattr(model.get_submodule(home), leaf, nn.Parameter(separate))
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for path, parameter in model.named_parameters(remove_duplicate=False):
        groups[id(parameter)] += [path] * (path in sources)
    for first, *rest in (group for group in groups.values() if group):
        for path in rest:
            if not _equal(sources[first], sources[path]):
                raise ValueError(
                    f"{checkpoint.root}: tensors {first!r} and {path!r} are tied in {type(model).__name__} "
                    f"and differ in the file; set tie_word_embeddings to false in {CONFIG}, {_INSTEAD}"
                )


def _equal(one: Sequence[StoredTensor], other: Sequence[StoredTensor]) -> bool:
    return len(one) == len(other) and all(map(same_bytes, one, other))
