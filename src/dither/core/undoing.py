"""Undoing what was done to tensors: exactly, from copies, and whatever interrupts it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from dither.core.memory import overwrite

_TRIES = 10


def insist(work: Callable[[], None]) -> None:
    """Call something until it has ended, whatever interrupts it; then raise what did.

    An interrupt is what signals raise (KeyboardInterrupt, SystemExit); errors are raised at once.

    Args:
        work: may be called again after an interrupt, and does nothing once it has ended.

    Example:
        >>> calls = []
        >>> def work() -> None:
        ...     calls.append("call")
        ...     if len(calls) < 3:
        ...         raise KeyboardInterrupt
        >>> try:
        ...     insist(work)
        ... except KeyboardInterrupt:
        ...     calls
        ['call', 'call', 'call']
    """
    raised: BaseException | None = None
    for _ in range(_TRIES):
        try:
            work()
            break
        except Exception:
            raise
        except BaseException as interrupt:  # Ctrl-C above all, which falls anywhere
            raised = interrupt
    if raised is not None:
        raise raised


@contextmanager
def values_kept(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Whatever happens to some tensors in a block, they have their values of before afterwards, bit for bit.

    Needs memory for a copy of each.

    Example:
        >>> import torch
        >>> one = torch.zeros(2)
        >>> with values_kept([one]):
        ...     _ = one.add_(1.0)
        >>> one
        tensor([0., 0.])
    """
    kept = [tensor.detach().clone() for tensor in tensors]
    done = False

    def put_back() -> None:
        nonlocal done
        if not done:
            for tensor, copy in zip(tensors, kept, strict=True):
                overwrite(tensor, copy)
            done = True

    try:
        try:
            yield
        finally:
            insist(put_back)
    finally:  # an interrupt may have fallen before or between its tries
        insist(put_back)
