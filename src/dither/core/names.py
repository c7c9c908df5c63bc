"""Canonical names: what a parameter is called, whatever wraps its model.

The canonical name is the path inside the backbone. Wrappers are removed component by component
(torch.compile, DDP, FSDP, activation checkpointing, DeepSpeed, PEFT), the backbone's own
prefix (`base_model_prefix` of transformers) is removed, and what stands outside the backbone is called
`head:<path>`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from dither.core.overlaps import boxes
from dither.core.sharding import is_sharded

HEAD = "head:"

_WRAPPERS = frozenset(
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"]
)
_WRAPPED = re.compile(rf"(({'|'.join(sorted(_WRAPPERS))}|base_model\.model)\.)+")
# Inside a PEFT model a replaced layer keeps its own weights under base_layer, and the weights of the
# adapter called "default" lie one component deeper than the container (lora_A, modules_to_save, ...).
_PEFT_COMPONENTS = frozenset(["base_layer", "default"])


@dataclass(frozen=True)
class NamedParameter:
    """A parameter with its names.

    Attributes:
        name: canonical.
        path: as the model's own `named_parameters` gives it.
        parameter: the tensor itself.
        tied_to: canonical name of the parameter that is the same tensor and came first, or None.
    """

    name: str
    path: str
    parameter: nn.Parameter
    tied_to: str | None = None

    @property
    def in_head(self) -> bool:
        """Whether it stands outside the backbone."""
        return self.name.startswith(HEAD)


def named_parameters(model: nn.Module) -> list[NamedParameter]:
    """All parameters of a model with their canonical names, in the model's own order.

    Of tied parameters, one object or two on all of the same memory, the first counts; the others are listed
    with `tied_to`.

    Raises:
        ValueError: two different parameters have one canonical name.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        >>> [row.name for row in named_parameters(nn.DataParallel(net))]
        ['0.weight', '0.bias', '1.weight', '1.bias']
    """
    prefix = _backbone_prefix(model)
    first: dict[object, str] = {}
    paths: dict[str, str] = {}
    rows = []
    for path, parameter in model.named_parameters(remove_duplicate=False):
        name, identity = canonical_name(_as_tuned(path, model), prefix), _identity(parameter)
        tied_to = first.get(identity)
        if tied_to is None and name in paths:
            raise ValueError(
                f"parameters {paths[name]!r} and {path!r} have one canonical name, {name!r}, so they would "
                "get the same noise; rename one of the modules, or pass the inner model"
            )
        if tied_to is None:
            first[identity] = name
            paths[name] = path
        rows.append(NamedParameter(name, path, parameter, tied_to))
    return rows


def _identity(parameter: nn.Parameter) -> object:
    """What tied parameters share: all of their memory, or the object where that has no addresses."""
    held = () if is_sharded(parameter) else boxes(parameter)
    return (parameter.dtype, held) if held else id(parameter)


def canonical_name(path: str, backbone_prefix: str = "") -> str:
    """Canonical name of one path of `named_parameters`.

    Args:
        path: dotted path, wrappers and all.
        backbone_prefix: `base_model_prefix` if the model has a backbone under that name, else "".

    Example:
        >>> canonical_name("module.bert.encoder.layer.0.output.dense.weight", "bert")
        'encoder.layer.0.output.dense.weight'
        >>> canonical_name("base_model.model.bert.pooler.dense.lora_A.default.weight", "bert")
        'pooler.dense.lora_A.weight'
        >>> canonical_name("classifier.weight", "bert")
        'head:classifier.weight'
    """
    name = _without_wrappers(path)
    if not backbone_prefix:
        return name
    inside = name.removeprefix(backbone_prefix + ".")
    return inside if inside != name else HEAD + name


def left_by_wrappers(names: Iterable[str]) -> str:
    """What a wrapper left in the names of saved weights, or "": `module.`, `_orig_mod.`, `base_model.model.`

    Args:
        names: dotted, of all tensors that were saved.

    Example:
        >>> left_by_wrappers(["module._orig_mod.a.weight", "module._orig_mod.b.weight"])
        'module._orig_mod.'
        >>> left_by_wrappers(["layers.0._orig_mod.weight", "norm.weight"]), left_by_wrappers(["a.module.b"])
        ('_orig_mod.', '')
    """
    names = list(names)
    starts = [start[0] if (start := _WRAPPED.match(name)) else "" for name in names]
    if shortest := min(starts, key=len, default=""):
        return shortest
    parts = {part for name in names for part in name.split(".")[:-1]}
    return next((f"{part}." for part in sorted(parts & _WRAPPERS - {"module"})), "")


def _without_wrappers(path: str) -> str:
    components = [part for part in path.split(".") if part not in _WRAPPERS]
    if components[:2] == ["base_model", "model"]:
        components = components[2:]
    last = len(components) - 1
    kept = [part for i, part in enumerate(components) if i == last or part not in _PEFT_COMPONENTS]
    return ".".join(kept)


def _backbone_prefix(model: nn.Module) -> str:
    """The prefix under which a model holds its backbone, or "" where it holds none apart."""
    prefixes = (getattr(module, "base_model_prefix", "") for module in _wrapper_chain(model))
    prefix = next((value for value in prefixes if isinstance(value, str) and value), "")
    listed = model.named_parameters(remove_duplicate=False)
    paths = (_without_wrappers(_as_tuned(path, model)) for path, _ in listed)
    return prefix if prefix and any(path.startswith(prefix + ".") for path in paths) else ""


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside its wrappers: the innermost of the chain DDP, FSDP, torch.compile, PEFT.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> unwrapped(nn.DataParallel(net)) is net
        True
    """
    return _wrapper_chain(model)[-1]


def _wrapper_chain(model: nn.Module) -> list[nn.Module]:
    """The model, what it wraps, and so on inwards."""
    chain = [model]
    while True:
        children = dict(chain[-1].named_children())
        if len(children) == 1 and (wrapped := next(iter(children))) in _WRAPPERS:
            chain.append(children[wrapped])
        elif hasattr(chain[-1], "peft_config") and "base_model" in children:
            tuner = children["base_model"]
            chain.append(tuner)
            if not _is_direct(tuner):  # a layer of PEFT that holds the model under `model`
                chain += [child for name, child in tuner.named_children() if name == "model"]
        else:
            return chain


def _is_direct(base: nn.Module) -> bool:
    """Whether a PEFT model holds a model of transformers itself, as for prompts, and no tuner around it."""
    return hasattr(type(base), "base_model_prefix")


def _as_tuned(path: str, model: nn.Module) -> str:
    """A path with `base_model.model.` where a PEFT model without a tuner has `base_model.` alone."""
    peft = next((module for module in _wrapper_chain(model) if hasattr(module, "peft_config")), None)
    base = None if peft is None else dict(peft.named_children()).get("base_model")
    if base is None or not _is_direct(base):
        return path
    return path.replace("base_model.", "base_model.model.", 1)
