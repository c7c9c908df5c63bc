"""Undoing goes on where it was interrupted, and says afterwards what interrupted it."""

from __future__ import annotations

import pytest
import torch

from dither.core import undoing
from dither.core.memory import values_of
from dither.core.undoing import insist, values_kept
from tensor_kinds import READABLE, values


class Work:
    """Ends when it has been called often enough."""

    def __init__(self, *raised: BaseException) -> None:
        self.raised, self.ended = list(raised), 0

    def __call__(self) -> None:
        if self.raised:
            raise self.raised.pop(0)
        self.ended += 1


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt("Ctrl-C"), SystemExit(3), GeneratorExit()])
@pytest.mark.parametrize("times", [1, 9])
def test_interrupts_are_raised_when_the_work_has_ended(interrupt: BaseException, times: int) -> None:
    work = Work(*[interrupt] * times)
    with pytest.raises(type(interrupt)):
        insist(work)
    assert work.ended == 1


def test_errors_are_raised_at_once() -> None:
    work = Work(OSError("gone"), KeyboardInterrupt())
    with pytest.raises(OSError, match="gone"):
        insist(work)
    assert (work.ended, len(work.raised)) == (0, 1)


def test_a_finger_that_stays_on_the_key_is_heard_in_the_end() -> None:
    work = Work(*[KeyboardInterrupt("Ctrl-C")] * 100)
    with pytest.raises(KeyboardInterrupt):
        insist(work)
    assert work.ended == 0


def doubled_with_an_error(tensor: torch.Tensor) -> None:
    undoing.overwrite(tensor, values() * 2)
    raise OSError("in the block")


@pytest.mark.parametrize("kind", READABLE)
def test_values_of_any_kind_are_put_back(kind: str) -> None:
    tensor = READABLE[kind](values())
    with pytest.raises(OSError, match="in the block"), values_kept([tensor]):
        doubled_with_an_error(tensor)
    assert torch.equal(values_of(tensor), values())


def test_values_are_put_back_through_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, work = [torch.zeros(3), torch.ones(3)], Work(*[KeyboardInterrupt()] * 4)
    overwrite = undoing.overwrite
    monkeypatch.setattr(undoing, "overwrite", lambda *args: (work(), overwrite(*args)))
    with pytest.raises(KeyboardInterrupt), values_kept(tensors):
        torch._foreach_add_(tensors, 7.0)
    assert [tensor.tolist() for tensor in tensors] == [[0.0] * 3, [1.0] * 3]
