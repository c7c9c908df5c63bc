"""Where the elements of a tensor are: in ordinary memory, or behind a type that computes them.

Kernels go through memory by address, so nothing may reach them whose elements are not there: wrappers hold
theirs in other tensors, a fake tensor has none, the storage of a freed one is too small, and the bits of a
negated view have the other sign. What a tensor is decides: type, layout, storage, and these bits.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = frozenset((Tensor, nn.Parameter))
_NO_DISPATCH = Tensor.__torch_dispatch__
_BY_ADDRESS = frozenset(("cpu", "cuda"))  # elsewhere an address may be 0 and all is well


def settled(tensor: Tensor) -> Tensor:
    """The tensor as torch's own type where it is one in disguise; a collective's promise once it is kept.

    In both cases on the tensor's own memory.

    Example:
        >>> one = torch.zeros(3)
        >>> settled(one) is one
        True
    """
    if type(tensor) in _PLAIN:
        return tensor
    if _is_plain_type(tensor):
        with torch._C.DisableTorchFunctionSubclass():
            return tensor.as_subclass(Tensor)
    wait = getattr(tensor, "wait", None)
    return tensor if wait is None else settled(wait())


def has_addresses(tensor: Tensor) -> bool:
    """Whether address and strides lead to the elements, all of them; their bits may have the other sign.

    Example:
        >>> has_addresses(torch.zeros(3)), has_addresses(torch.zeros(3).to_sparse())
        (True, False)
    """
    if not _is_plain_type(tensor) or tensor.layout is not torch.strided or tensor.is_nested:
        return False
    count = tensor.numel()
    try:
        address, held = tensor.data_ptr(), tensor.untyped_storage().nbytes()
    except (RuntimeError, NotImplementedError):  # torch's own wrappers for functions have neither
        return False
    if address == 0 or count == 0:
        return False
    last = count - 1
    if not tensor.is_contiguous():
        last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (tensor.storage_offset() + last + 1) * tensor.element_size() <= held


def is_ordinary(tensor: Tensor) -> bool:
    """Whether a kernel may work on a tensor as it is: all elements in memory, with the bits that they have.

    Example:
        >>> is_ordinary(torch.zeros(3)), is_ordinary(torch.zeros(3, device="meta"))
        (True, False)
    """
    if not _is_plain_type(tensor) or tensor.layout is not torch.strided or tensor.is_nested:
        return False
    return not tensor.is_neg() and not tensor.is_conj() and _has_memory(tensor)


def is_plainly_ordinary(tensor: Tensor) -> bool:
    """Whether a few cheap questions show that a contiguous tensor is ordinary, unless its address is 0.

    No says nothing: `is_ordinary` asks the others.

    Example:
        >>> is_plainly_ordinary(torch.zeros(3)), is_plainly_ordinary(torch.zeros(3, 2).t())
        (True, False)
    """
    try:
        return (
            type(tensor) in _PLAIN
            and tensor.is_contiguous()
            and not tensor.is_neg()
            and not tensor.is_nested
            and tensor.storage_offset() * tensor.itemsize + tensor.nbytes <= tensor.untyped_storage().nbytes()
        )
    except (RuntimeError, NotImplementedError):  # sparse layouts and torch's wrappers for functions
        return False


def values_of(tensor: Tensor) -> Tensor:
    """The elements as a tensor in ordinary memory: the tensor itself, or a copy where it is of another kind.

    Raises:
        TypeError: it has no elements of that kind: it is fake, on the meta device, nested, or freed.

    Example:
        >>> values_of(torch.eye(2).to_sparse())
        tensor([[1., 0.],
                [0., 1.]])
    """
    if is_plainly_ordinary(tensor) and tensor.data_ptr() != 0:  # nearly always
        return tensor
    tensor = settled(tensor)
    if is_ordinary(tensor):
        return tensor
    if _is_plain_type(tensor) and tensor.layout is torch.strided and not _has_memory(tensor):
        raise TypeError(f"a tensor {_described(tensor)} has no memory that holds its elements")
    try:
        copy = _copied(tensor.detach())
    except Exception as error:  # whatever a type that is not ours may raise
        raise TypeError(f"a tensor {_described(tensor)} gives no values: {_reason(error)}") from error
    if not is_ordinary(copy):
        raise TypeError(f"a tensor {_described(tensor)} has no values")
    return copy


def overwrite(tensor: Tensor, values: Tensor) -> None:
    """Put values into a tensor, in place, whether it requires gradients or was made in inference mode.

    Example:
        >>> with torch.inference_mode():
        ...     one = torch.zeros(2)
        >>> overwrite(one, torch.ones(2))
        >>> one
        tensor([1., 1.])
    """
    with torch.inference_mode() if tensor.is_inference() else torch.no_grad():
        tensor.copy_(values)


def unwritable(tensor: Tensor) -> str | None:
    """Why a tensor cannot be read and written, as a predicate; None where it can.

    A type with elements of its own kind is tried out on a copy: what is written must come back, and what is
    read and written back must leave everything inside as it was.

    Example:
        >>> unwritable(torch.zeros(1, 3).expand(2, 3).contiguous()) is None
        True
        >>> unwritable(torch.eye(2).to_sparse())
        'is stored in the layout torch.sparse_coo, which noise cannot be written to; make it dense'
    """
    tensor = settled(tensor)
    if tensor.is_nested:
        return "is a nested tensor, whose rows differ in length; noise each part as a parameter of its own"
    if tensor.layout is not torch.strided:
        return f"is stored in the layout {tensor.layout}, which noise cannot be written to; make it dense"
    if _is_plain_type(tensor):  # of a negated view torch's own copy gives and takes the right sign
        return None if _has_memory(tensor) else "has no memory that holds its elements"
    if type(tensor).__name__ == "FakeTensor":
        return "is a FakeTensor, which has no values; build the model outside of FakeTensorMode"
    try:
        problem = _trial(tensor.detach())
    except Exception as error:  # whatever a type that is not ours may raise
        problem = _reason(error)
    return problem and f"is a {type(tensor).__name__} that cannot be read and written: {problem}"


def inner_tensors(tensor: Tensor) -> Iterator[Tensor]:
    """The ordinary tensors that hold what a tensor is made of: itself, if it is one.

    Example:
        >>> one = torch.zeros(3)
        >>> [inner is one for inner in inner_tensors(one)]
        [True]
    """
    if _is_plain_type(tensor):
        yield settled(tensor)
        return
    flatten = getattr(tensor, "__tensor_flatten__", None)
    held: dict[str, Any] = vars(tensor)
    if flatten is not None:
        held = {name: getattr(tensor, name) for name in flatten()[0]}
    for one in held.values():
        if isinstance(one, Tensor) and one is not tensor:
            yield from inner_tensors(one)


def _is_plain_type(tensor: Tensor) -> bool:
    """Whether torch itself implements every operation on it."""
    kind = type(tensor)
    return kind in _PLAIN or kind.__torch_dispatch__ is _NO_DISPATCH


def _has_memory(tensor: Tensor) -> bool:
    """Whether all elements are there; on some devices an address is no address, and torch knows."""
    if tensor.numel() == 0 or tensor.device.type not in _BY_ADDRESS:
        return not tensor.is_meta
    return has_addresses(tensor)


@torch.no_grad()
def _copied(tensor: Tensor) -> Tensor:
    if tensor.layout is not torch.strided:
        return tensor.to_dense()
    if tensor.is_nested:
        raise TypeError("its rows differ in length")
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


@torch.no_grad()
def _trial(tensor: Tensor) -> str | None:
    """Read and write a copy of a tensor; returns what went wrong, or None."""
    before, copy = values_of(tensor), tensor.clone()
    parts = [part.clone() for part in inner_tensors(copy)]
    copy.copy_(before)
    if not all(_equal(*pair) for pair in zip(inner_tensors(copy), parts, strict=True)):
        return "it holds more than its values, and writing them back changes it"
    other = torch.where(before == 0, torch.ones_like(before), -before)
    copy.copy_(other)
    if not _equal(values_of(copy), other):
        return "what is written to it does not come back"
    return None if _equal(values_of(tensor), before) else "a clone of it is no copy"


def _equal(one: Tensor, other: Tensor) -> bool:
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _described(tensor: Tensor) -> str:
    return f"of type {type(tensor).__name__} on {tensor.device}"


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
