"""Tensors that kernels do not expect: without memory, in another layout, or behind a type of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

QUIET = pytest.mark.filterwarnings("ignore:.*(MaskedTensors|nested tensors|Sparse CSR)")
"""Torch warns of kinds that are new to it."""


def values() -> Tensor:
    """Sixteen numbers, always the same."""
    return torch.randn(4, 4, generator=torch.Generator().manual_seed(3))


class Boxed(Tensor):
    """A wrapper without memory of its own: every operation goes to the one tensor that it holds."""

    @staticmethod
    def __new__(cls, held: Tensor) -> Any:
        return Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype, device=held.device)  # type: ignore[attr-defined]

    def __init__(self, held: Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        opened = torch.utils._pytree.tree_map_only(Boxed, lambda one: one.held, (args, kwargs or {}))
        found = func(*opened[0], **opened[1])
        if func is torch.ops.aten.copy_.default:
            return args[0]
        return torch.utils._pytree.tree_map_only(Tensor, cls, found)


class Forgetful(Boxed):
    """It takes what is written to it and keeps nothing."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.copy_.default and isinstance(args[0], Forgetful):
            return args[0]
        return super().__torch_dispatch__(func, types, args, kwargs)


class Quantised(Boxed):
    """It shows floats and holds whole numbers, as wrappers of quantised weights do."""

    @staticmethod
    def __new__(cls, held: Tensor) -> Any:
        return Tensor._make_wrapper_subclass(cls, held.shape, dtype=torch.float32)  # type: ignore[attr-defined]

    def __tensor_flatten__(self) -> Any:
        return ["held"], None


class Renamed(nn.Parameter):
    """A subclass with torch's own memory and operations."""


def two(first: Tensor, second: Tensor) -> Tensor:
    """A wrapper that holds two tensors, as those of quantisation hold values and scales."""
    from torch.testing._internal.two_tensor import TwoTensor

    return TwoTensor(first, second)


def promised(held: Tensor) -> Tensor:
    """What a functional collective returns."""
    from torch.distributed._functional_collectives import AsyncCollectiveTensor

    return AsyncCollectiveTensor(held)


def negated(held: Tensor) -> Tensor:
    """A view with the bit that says: the other sign."""
    pairs = torch.view_as_complex(torch.stack((torch.zeros_like(held), -held), dim=-1))
    found = pairs.conj().imag
    assert found.is_neg()
    return found


def fake(held: Tensor) -> Tensor:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return torch.empty(held.shape)


def functional(held: Tensor) -> Tensor:
    from torch._subclasses.functional_tensor import FunctionalTensor, FunctionalTensorMode

    with FunctionalTensorMode():
        return FunctionalTensor.to_functional(held)


def masked(held: Tensor) -> Tensor:
    from torch.masked import masked_tensor

    return masked_tensor(held, held > 0)


def nested(layout: torch.layout) -> Tensor:
    return torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)], layout=layout)


def cut(held: Tensor, count: int) -> Tensor:
    """A tensor whose storage has been given back, down to some bytes."""
    found = held.clone()
    found.untyped_storage().resize_(count)
    return found


def traced(held: Tensor) -> Tensor:
    """What is left of a tensor within a function that torch.func transforms."""
    seen: list[Tensor] = []
    torch.func.grad(lambda one: (seen.append(one), one.sum())[1])(held)
    return seen[0]


READABLE: dict[str, Callable[[Tensor], Tensor]] = {
    "boxed": Boxed,
    "two alike": lambda held: two(held, held.clone()),
    "promised": promised,
    "promised and boxed": lambda held: promised(Boxed(held)),
    "negated": negated,
    "renamed": Renamed,
    "of inference mode": torch.inference_mode()(lambda held: nn.Parameter(held.clone())),
    "transposed": lambda held: held.t().contiguous().t(),
}
"""Kinds whose elements can be read and written, made of their values."""

UNREADABLE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "two": (
        lambda held: two(held, held + 1),
        "is a TwoTensor that cannot be read and written: it holds more",
    ),
    "forgetful": (Forgetful, "is a Forgetful that cannot be read and written: what is written"),
    "masked": (masked, "is a MaskedTensor that cannot be read and written"),
    "fake": (fake, "is a FakeTensor, which has no values"),
    "functional": (functional, "is a FunctionalTensor that cannot be read and written"),
    "to be functional": (torch._to_functional_tensor, "has no memory"),
    "traced": (traced, "has no memory"),
    "freed": (lambda held: cut(held, 0), "has no memory that holds its elements"),
    "freed in part": (lambda held: cut(held, 60), "has no memory that holds its elements"),
    "jagged": (lambda held: nested(torch.jagged), "is a nested tensor, whose rows differ"),
    "nested": (lambda held: nested(torch.strided), "is a nested tensor, whose rows differ"),
    "sparse": (Tensor.to_sparse, "is stored in the layout torch.sparse_coo"),
    "sparse rows": (Tensor.to_sparse_csr, "is stored in the layout torch.sparse_csr"),
    "mkldnn": (Tensor.to_mkldnn, "is stored in the layout torch._mkldnn"),
}
"""Kinds that noise cannot be written to, with what is said of them."""
