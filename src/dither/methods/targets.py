"""Which parameters a method noises, and why it leaves the others alone."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from math import isfinite

import torch
from torch import nn

from dither.core.logical import moments
from dither.core.memory import inner_tensors, unwritable
from dither.core.names import NamedParameter, named_parameters, unwrapped
from dither.core.noise import Noise
from dither.core.overlaps import boxes, first_meeting
from dither.core.quantised import PART, quantised_parts
from dither.core.selection import Strength, as_patterns, check_patterns_used, matches, strength_of
from dither.core.sharding import local, place_of, reshard
from dither.core.statistics import Moments, float32
from dither.methods.noisytune import NoisyTune
from dither.methods.pats import PATS
from dither.methods.settings import strength

TRAINING_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

# How transformers names its models without a head.
_BARE = re.compile(
    r"^(?!.*(For[A-Z]|Head|WithProjection)).*(Model|Encoder|Decoder|Backbone|Transformer|Stack)$"
)


@dataclass(frozen=True)
class Target:
    """A parameter and what a method means to do with it.

    Attributes:
        named: the parameter with its names.
        strength: its λ; 0 where it is skipped.
        reason: why it is skipped, or None where it is noised.
    """

    named: NamedParameter
    strength: float
    reason: str | None


def targets(
    model: nn.Module,
    method: NoisyTune | PATS,
    *,
    stored: bool = False,
    stepped: Set[int] = frozenset(),
) -> list[Target]:
    """Account for every parameter of a model, in the model's order; no weight is written.

    FSDP2 drops its gathered weights first: what counts are the parameters that are sharded. Reasons that only
    the values can tell (a constant tensor) come later, with the statistics.

    Args:
        model: whose parameters are meant.
        method: what is to be done with them.
        stored: the values lie in files and not in the model, which may be on the meta device.
        stepped: ids of parameters that count although they are frozen now: an optimizer holds them, and
            steps them as soon as they have a gradient.

    Raises:
        ValueError: a pattern that fits no tensor, two tensors of one name, a parameter whose values are not
            to be had (on the meta device, of FSDP1, partitioned by ZeRO-3); one to be noised that cannot be
            read and written, or that shares a part of its memory; or the strength has no number yet
            ("matched").

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        >>> [(row.named.name, row.reason) for row in targets(net, NoisyTune(exclude="0.*"))]
        [('0.weight', 'excluded'), ('0.bias', 'excluded'), ('1.weight', None), ('1.bias', 'one element')]
    """
    strengths = strength(method)
    if not stored:
        refuse_flat(model)
        reshard(model)
    rows = named_parameters(model)
    for row in rows if not stored else ():
        refuse_unwhole(row)
    names = [row.name for row in rows if row.tied_to is None]
    _check_patterns(method, strengths, names)
    if method.scope == "backbone":
        _check_has_backbone(model, rows)
    embeddings = set() if method.token_embeddings else _token_embeddings(model)
    parts = _parts_of_quantised(rows)
    found = [
        _target(
            row,
            method,
            strengths,
            is_embedding=id(row.parameter) in embeddings,
            is_part=row.name in parts,
            counts_frozen=method.frozen or id(row.parameter) in stepped,
        )
        for row in rows
    ]
    if not stored:
        _refuse_unwritable(found)
    return found


def optimizer_targets(model: nn.Module, method: PATS, held: set[int]) -> list[Target]:
    """The targets of a method that follows an optimizer; what the optimizer does not step is skipped.

    Args:
        model: whose parameters the optimizer steps.
        method: that follows it.
        held: ids of the parameters that the optimizer steps.

    Raises:
        ValueError: see `targets`; or the optimizer holds parameters that are not the model's.
    """
    rows = targets(model, method, stepped=held)
    if strangers := held - {id(row.named.parameter) for row in rows}:
        raise ValueError(
            f"the optimizer holds {len(strangers)} parameters that are not the model's, so they have no "
            "name; pass the model that is optimised, and build the optimizer after the model is in place and "
            "after fully_shard"
        )
    missing = "not in the optimizer"
    return [
        row if row.reason or id(row.named.parameter) in held else Target(row.named, 0.0, missing)
        for row in rows
    ]


def _target(
    row: NamedParameter,
    method: NoisyTune | PATS,
    strengths: Strength,
    *,
    is_embedding: bool,
    is_part: bool,
    counts_frozen: bool,
) -> Target:
    value = strength_of(row.name, strengths)
    reasons = (
        (row.tied_to is not None, f"tied to {row.tied_to}"),
        (method.include is not None and not matches(row.name, method.include), "not included"),
        (method.exclude is not None and matches(row.name, method.exclude), "excluded"),
        (method.scope == "backbone" and row.in_head, "outside the backbone"),
        (is_embedding, "token embeddings"),
        (row.parameter.dtype.is_complex, "complex"),
        (_is_quantised(row.parameter), "integer or quantised"),
        (is_part, PART),
        (not row.parameter.requires_grad and not counts_frozen, "frozen"),
        (row.parameter.numel() == 0, "empty"),
        (row.parameter.numel() == 1, "one element"),
        (not method.vectors and row.parameter.dim() < 2, "vector"),
        (value is None, "no pattern of noise_lambda fits"),
        (value == 0.0, "strength 0"),
    )
    reason = next((text for applies, text in reasons if applies), None)
    return Target(row, 0.0 if reason or value is None else value, reason)


def _parts_of_quantised(rows: Sequence[NamedParameter]) -> set[str]:
    """Names of what quantised parameters are made with, such as codebooks that lie beside their codes."""
    codes = [row for row in rows if _is_quantised(row.parameter) and not row.parameter.dtype.is_complex]
    integers = [row.name for row in codes if row.parameter.dtype != torch.bool and row.parameter.numel() > 1]
    return quantised_parts([row.name for row in rows if not _is_quantised(row.parameter)], integers)


def _is_quantised(parameter: nn.Parameter) -> bool:
    """Whether its numbers are no floats of training, or a type that shows such ones makes them of others."""
    if parameter.dtype not in TRAINING_DTYPES or parameter.is_quantized:
        return True
    is_made_of_others = hasattr(parameter, "__tensor_flatten__") and not parameter.is_nested
    return is_made_of_others and any(inner.dtype not in TRAINING_DTYPES for inner in inner_tensors(parameter))


def _refuse_unwritable(rows: Sequence[Target]) -> None:
    """Refuse, by name, what noise cannot be written to, and what would be noised twice or by the way."""
    for row in rows:
        if row.reason is None and (problem := unwritable(local(row.named.parameter))) is not None:
            raise ValueError(f"{_called(row)} {problem}, or leave it out with exclude={row.named.name!r}")
    every = [row for row in rows if row.named.tied_to is None]
    held = [boxes(row.named.parameter) for row in every]
    for row, own in zip(every, held, strict=True):
        if row.reason is None and any(box.meets_itself for box in own):
            raise ValueError(
                f"{_called(row)} has elements that share memory, as an expanded tensor has; give it memory "
                "of its own, nn.Parameter(w.detach().contiguous()), or leave it out with "
                f"exclude={row.named.name!r}"
            )
    noised = {place for place, row in enumerate(every) if row.reason is None}
    if (meeting := first_meeting(held, among=noised)) is not None:
        one, other = (every[place] for place in meeting)
        raise ValueError(
            f"{_called(one)} and {_called(other)} share a part of their memory, so noise on one changes the "
            "other; give one memory of its own, nn.Parameter(w.detach().clone()), or leave both out with "
            f"exclude=[{one.named.name!r}, {other.named.name!r}]"
        )


def _called(row: Target) -> str:
    return f"parameter {row.named.path!r}"


def finite_moments(rows: Sequence[Target]) -> list[Moments]:
    """The moments of some targets; values that are not finite are refused by the tensor's name."""
    found = moments([row.named.parameter for row in rows])
    for row, moment in zip(rows, found, strict=True):
        refuse_nonfinite(moment, f"tensor {row.named.name!r}", row.named.name)
    return found


def refuse_infinite_scales(rows: Sequence[Target], found: Sequence[Moments]) -> None:
    """Refuse strengths whose noise is no float32 number."""
    for row, moment in zip(rows, found, strict=True):
        if not isfinite(float32(row.strength * moment.std)):
            raise ValueError(
                f"tensor {row.named.name!r} cannot get noise of strength {row.strength:.3g}: times its "
                f"standard deviation, {moment.std:.3g}, it is no float32 number; use a smaller noise_lambda"
            )


def refuse_nonfinite(found: Moments, where: str, name: str) -> None:
    """Refuse a tensor with NaN or infinite values; `where` names it, `name` is its canonical one."""
    if found.nonfinite:
        raise ValueError(
            f"{where} holds NaN or infinite values; nothing was written. It is {found.nonfinite} of "
            f"{found.count} elements; repair the checkpoint, or leave the tensor out with exclude={name!r}"
        )


def may_overflow(found: Moments, noise: Noise, dtype: torch.dtype) -> bool:
    """Whether noise might take an element of a tensor out of its dtype's range; no is certain.

    Example:
        >>> ones = moments([torch.ones(4)])[0]
        >>> [may_overflow(ones, Noise((0, 0), scale), torch.float16) for scale in (1.0, 131072.0)]
        [False, True]
    """
    return not found.reach + noise.reach <= torch.finfo(dtype).max


def refuse_overflow(count: int, where: str, name: str, noise: Noise, dtype: str) -> None:
    """Refuse noise that makes elements infinite; `where` names the tensor, `name` is its canonical one."""
    if count:
        raise ValueError(
            f"{where} would leave the range of {dtype}: noise of up to ±{noise.reach:.3g} makes {count} of "
            "its elements infinite; nothing was written. Use a smaller noise_lambda, or weights of a wider "
            f"dtype such as float32, or leave the tensor out with exclude={name!r}"
        )


def refuse_flat(model: nn.Module) -> None:
    """Refuse a model inside FSDP1: its parameters are pieces of flat ones, or views that come and go."""
    for path, module in model.named_modules():
        if any(kind.__name__ == "FullyShardedDataParallel" for kind in type(module).__mro__):
            raise ValueError(
                f"module {path or type(module).__name__!r} is wrapped by FSDP1 (FullyShardedDataParallel), "
                "whose parameters are pieces of flat ones; noise the model before wrapping it, or use FSDP2, "
                "torch.distributed.fsdp.fully_shard"
            )


def refuse_unwhole(row: NamedParameter) -> None:
    """Refuse a parameter whose values are not all to be had: its statistics would be wrong."""
    parameter = row.parameter
    kind = type(parameter).__name__
    problem = None
    if nn.parameter.is_lazy(parameter):
        problem = "has no values yet; run one batch through the model first"
    elif parameter.is_meta:
        problem = "lies on the meta device; load or materialise the weights first"
    elif kind == "FlatParameter" or hasattr(parameter, "_sharded_size"):
        problem = "is a flat parameter of FSDP1; noise the model before wrapping it, or use fully_shard"
    elif hasattr(parameter, "ds_id"):
        problem = "is partitioned by DeepSpeed ZeRO-3; noise the model before deepspeed.initialize"
    else:
        try:
            place_of(parameter)
        except ValueError as error:
            problem = str(error)
    if problem:
        raise ValueError(f"parameter {row.path!r} {problem}")


def _check_patterns(method: NoisyTune | PATS, strengths: Strength, names: Sequence[str]) -> None:
    check_patterns_used(as_patterns(method.include), names, "include")
    check_patterns_used(as_patterns(method.exclude), names, "exclude")
    if not isinstance(strengths, float | int):
        check_patterns_used(list(strengths), names, "noise_lambda")


def _check_has_backbone(model: nn.Module, rows: Sequence[NamedParameter]) -> None:
    """Refuse a model of which nobody can say what its head is; a bare backbone has none."""
    inner = unwrapped(model)
    prefix = getattr(inner, "base_model_prefix", "")
    # The class as it was written: sharding and parametrisations derive others from it.
    kind = next(one for one in type(inner).__mro__ if not one.__module__.startswith("torch."))
    if not prefix:
        raise ValueError(
            "scope='backbone' needs a model with base_model_prefix, as those of transformers have; "
            f"{type(inner).__name__} has none: name its head with exclude= instead"
        )
    bare = kind.__module__.startswith("transformers.") and _BARE.search(kind.__name__)
    if not bare and not any(row.in_head for row in rows):
        raise ValueError(
            f"scope='backbone' cannot tell the head of {kind.__name__}: no parameter stands outside of "
            f"{prefix!r}, its base_model_prefix; name its head with exclude= instead, or leave scope out if "
            "it has none"
        )


def _token_embeddings(model: nn.Module) -> set[int]:
    inner = unwrapped(model)
    find = getattr(inner, "get_input_embeddings", None)
    if find is None:
        raise ValueError(
            "token_embeddings=False needs a model with get_input_embeddings(), as those of transformers "
            f"have; {type(inner).__name__} has none: name its embeddings with exclude= instead"
        )
    return {id(parameter) for parameter in find().parameters()}
