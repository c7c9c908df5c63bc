"""An interrupt that falls into a finalizer, where Python drops what is raised."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator

import pytest

from dither.cli.interrupts import interrupts_heard


class Finalized:
    """Raises when it goes, as a signal that arrives in its finalizer would."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Hear Ctrl-C: a shell that runs tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_after(error: BaseException) -> None:
    """Lose an error in a finalizer, and go on for longer than an interrupt takes."""
    with interrupts_heard():
        Finalized(error)
        time.sleep(10)


def test_it_comes_again() -> None:
    hook, began = sys.unraisablehook, time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        wait_after(KeyboardInterrupt())
    assert time.monotonic() - began < 5
    assert sys.unraisablehook is hook


def test_other_errors_are_told_as_ever(monkeypatch) -> None:
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with interrupts_heard():
        Finalized(ValueError("lost"))
    assert [str(one.exc_value) for one in told] == ["lost"]
