"""Where the elements of converted tensors come from: conversions run on tensors that have no values.

Loading a model may merge, split and transpose stored tensors. The code that does so runs here on tensors of
the meta device that remember what they are made of. What comes out are links: boxes of elements that are
copied from one memory to another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

_CUTS = frozenset(["chunk", "narrow", "select", "split", "unbind"])
_TURNS = frozenset(["movedim", "permute", "squeeze", "swapaxes", "swapdims", "t", "transpose", "unsqueeze"])
_SIZES = frozenset(
    ["__len__", "dim", "element_size", "nelement", "numel", "size", "storage_offset", "stride"]
)
_KINDS = frozenset(["__get__", "__hash__", "__repr__", "is_contiguous", "is_floating_point"])
_VIEWS, _QUESTIONS = _CUTS | _TURNS | {"view"}, _SIZES | _KINDS
_JOINS = {"cat": "narrow", "concat": "narrow", "concatenate": "narrow", "stack": "select"}


@dataclass(eq=False)
class Memory:
    """Elements in a row: of a stored tensor, of one on the way, or of a parameter.

    Attributes:
        size: how many there are.
        path: of the parameter that they are, or "".
        links: where they are copied to.
    """

    size: int
    path: str = ""
    links: list["Link"] = field(default_factory=list)


@dataclass(frozen=True)
class Link:
    """A box of elements in one memory that is copied to a box in another.

    Attributes:
        dims: (size, stride there, stride here) of each dimension, the widest stride here first.
        start: of the box here.
        target: the other memory.
        target_start: of the box there.
    """

    dims: tuple[tuple[int, int, int], ...]
    start: int
    target: Memory
    target_start: int

    @classmethod
    def between(cls, here: "Traced", there: Tensor, target: Memory) -> "Link":
        """The copy of a traced tensor into a view of another memory, of the same shape."""
        rows = zip(here.shape, there.stride(), here.stride(), strict=True)
        dims: list[tuple[int, int, int]] = []
        for size, far, near in sorted((row for row in rows if row[0] > 1), key=lambda row: row[2]):
            if dims and near < dims[-1][0] * dims[-1][2]:
                raise Untraceable("it reads elements twice")
            if dims and (far, near) == (dims[-1][0] * dims[-1][1], dims[-1][0] * dims[-1][2]):
                dims[-1] = (dims[-1][0] * size, *dims[-1][1:])
            else:
                dims.append((size, far, near))
        if dims and dims[0][2] == 0:
            raise Untraceable("it repeats elements")
        return cls(tuple(reversed(dims)), int(here.storage_offset()), target, int(there.storage_offset()))


class Untraceable(ValueError):
    """A conversion does something else than to move elements."""


class Traced(Tensor):
    """A tensor without values that knows its memory; what moves elements is followed, all else refused.

    Example:
        >>> one = traced((2, 3), torch.float32, Memory(6))
        >>> two = torch.stack([one, traced((2, 3), torch.float32, Memory(6))])
        >>> two.shape, one.memory.links[0].target is two.memory
        (torch.Size([2, 2, 3]), True)
    """

    memory: Memory

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Called by torch for every operation."""
        name, kwargs = func.__name__, dict(kwargs or {})
        if name in _JOINS:
            return _joined(_JOINS[name], func, *args, **kwargs)
        if name in ("contiguous", "clone"):
            return args[0] if args[0].is_contiguous() else _copied(args[0])
        if name in ("reshape", "flatten"):
            return _reshaped(args[0], func, *args[1:], **kwargs)
        known = name in _VIEWS or name in _QUESTIONS or (name == "__getitem__" and _is_view(args[1]))
        found = super().__torch_function__(func, types, args, kwargs) if known else None
        made = [
            row for row in (found if isinstance(found, tuple | list) else [found]) if isinstance(row, cls)
        ]
        if not known or (made and name in _QUESTIONS):
            raise Untraceable(f"it computes with {name}")
        for row in made:
            row.memory = args[0].memory
        return found


def traced(shape: Sequence[int], dtype: torch.dtype, memory: Memory) -> Traced:
    """A tensor that is all of a memory, in row-major order."""
    found = torch.empty(tuple(shape), dtype=dtype, device="meta").as_subclass(Traced)
    found.memory = memory
    return found


def _is_view(index: Any) -> bool:
    """Whether indexing by it copies nothing, as indexing by a list would."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)


def arrive(tensor: Traced, path: str) -> None:
    """Say that a tensor is a parameter: its elements in row-major order."""
    end = Memory(tensor.numel(), path)
    _copy(tensor, torch.empty(tensor.shape, device="meta"), end)


def _copied(tensor: Traced) -> Traced:
    found = traced(tensor.shape, tensor.dtype, Memory(tensor.numel()))
    _copy(tensor, found, found.memory)
    return found


def _copy(tensor: Traced, place: Tensor, target: Memory) -> None:
    if tensor.numel():
        tensor.memory.links.append(Link.between(tensor, place, target))


def _reshaped(tensor: Traced, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
    shape = func(torch.empty(tensor.shape, device="meta"), *args, **kwargs).shape
    try:
        return tensor.view(shape)
    except RuntimeError:  # its elements do not lie so that it is a view
        return _copied(tensor).view(shape)


def _joined(how: str, func: Callable[..., Any], tensors: Sequence[Traced], dim: int = 0) -> Traced:
    if len({tensor.dtype for tensor in tensors}) > 1:
        raise Untraceable("it joins tensors of several dtypes")
    shape = func([torch.empty(tensor.shape, device="meta") for tensor in tensors], dim=dim).shape
    found, place = traced(shape, tensors[0].dtype, Memory(prod(shape))), 0
    for tensor in tensors:
        if how == "select":
            _copy(tensor, found.select(dim, place), found.memory)
            place += 1
        else:
            _copy(tensor, found.narrow(dim, place, tensor.shape[dim]), found.memory)
            place += tensor.shape[dim]
    return found
