"""Interrupts that fall into a finalizer, where Python drops what is raised; SIGTERM and SIGHUP."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from dither.cli import main, tasks
from dither.cli.interrupts import Ended, interrupts_heard

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Finalized:
    """Raises when it goes, as a signal that arrives in its finalizer would."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


class SignalledAtItsEnd:
    """Gets a signal in its finalizer."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        signal.raise_signal(self._number)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Hear all of them: a shell that runs tests in the background has them ignore Ctrl-C."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_for_it() -> None:
    """Wait for a signal; the time is only an end for a test that fails."""
    time.sleep(300)


def wait_after(kind: Callable[..., object], *arguments: object) -> None:
    """Lose what comes in a finalizer, and go on."""
    with interrupts_heard():
        kind(*arguments)
        wait_for_it()


def test_it_comes_again() -> None:
    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt):
        wait_after(Finalized, KeyboardInterrupt())
    assert sys.unraisablehook is hook


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_was_lost_comes_again(number) -> None:
    with pytest.raises(Ended) as raised:
        wait_after(SignalledAtItsEnd, number)
    assert raised.value.number == number


def test_other_errors_are_told_as_ever(monkeypatch) -> None:
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with interrupts_heard():
        Finalized(ValueError("lost"))
    assert [str(one.exc_value) for one in told] == ["lost"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_they_end_a_command_as_ctrl_c_does(monkeypatch, capsys, number, status) -> None:
    cleaned = []

    def run(args: object) -> int:
        try:
            os.kill(os.getpid(), number)
            wait_for_it()
        finally:
            os.kill(os.getpid(), number)  # once more, as from `timeout`
            cleaned.append(number)
        return 0

    monkeypatch.setattr(tasks, "run", run)
    assert main(["tasks"]) == status
    assert cleaned == [number]
    said = f"\ndither: ended by {number.name}; finished runs are kept, the same command goes on from there\n"
    assert capsys.readouterr().err == said
    assert signal.getsignal(number) == signal.SIG_DFL


def test_what_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # by `nohup`
    with interrupts_heard():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL


def test_of_several_processes_the_first_one_cleans_up(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, handled in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        with interrupts_heard():
            assert (signal.getsignal(signal.SIGTERM) != signal.SIG_DFL) is handled
